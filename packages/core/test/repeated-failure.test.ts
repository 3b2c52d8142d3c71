import { beforeEach, describe, expect, it } from '@jest/globals';
import { RepeatedFailure } from '../src/engine/repeated-failure.js';
import { Events, type ManagerEvents } from '../src/events.js';

describe('a failure that is repeated', () => {
  let nowMs = 0;
  let told: ManagerEvents['warning'][] = [];
  let beats: RepeatedFailure;

  beforeEach(() => {
    nowMs = 0;
    told = [];
    const events = new Events();
    events.on('warning', (warning) => { told.push(warning); });
    beats = new RepeatedFailure(events, () => nowMs, 'it works again');
  });

  it('is told once a minute', () => {
    for (; nowMs <= 120_000; nowMs += 20_000) beats.failed('failed', new Error('down'));
    expect(told).toHaveLength(3);
  });

  it('is another one if an error behind it is', () => {
    for (const behind of ['refused', 'refused', 'timed out']) {
      beats.failed('failed', new Error('the store failed', { cause: new Error('the connection failed', { cause: behind }) }));
    }
    expect(told).toHaveLength(2);
  });

  it('is told of no more than ten causes within a minute, and of others after it', () => {
    for (let cause = 0; cause < 20; cause += 1) beats.failed('failed', new Error(`request ${cause}`));
    expect(told).toHaveLength(10);
    nowMs = 60_000;
    beats.failed('failed', new Error('request 20'));
    expect(told).toHaveLength(11);
  });

  it('is told anew as soon as it has worked, and that it has worked only if it was told', () => {
    beats.worked();
    for (let times = 0; times < 2; times += 1) {
      beats.failed('failed', new Error('down'));
      nowMs += 1_500;
      beats.worked();
      beats.worked();
    }
    const works = { message: 'it works again, after 1.5 s; tries that failed: 1' };
    const failed = { message: 'failed', cause: new Error('down') };
    expect(told).toEqual([failed, works, failed, works]);
  });
});

import { afterEach, describe, it, expect } from '@jest/globals';
import { Affinity } from '../src/engine/affinity.js';
import { Cluster, found, Gate, increment } from './cluster.js';

let cluster = new Cluster();
afterEach(async () => {
  await cluster.stop();
  cluster = new Cluster();
});

describe('affinity', () => {
  it('keeps once 0.7 of the last uses were here, and not what was just taken from another', () => {
    const affinity = new Affinity('auto');
    let uses = 0;
    for (; !affinity.keeps(false); uses += 1) affinity.count(true);
    expect(uses).toBe(26); // 1 - 0.5 * 0.98 ** 26 is the first above 0.7
    expect(affinity.keeps(true)).toBe(false);
    affinity.count(false);
    expect(affinity.keeps(false)).toBe(false);
  });

  it('is forced by keep and release', () => {
    expect([new Affinity('keep').keeps(true), new Affinity('release').keeps(false)]).toEqual([true, false]);
  });
});

describe('a session that a snapshot finds free where sessions are kept', () => {
  it('is acquired ahead of the next request, and counted once', async () => {
    const [a, b] = [await cluster.add('a', { affinity: 'auto' }), await cluster.add('b', { affinity: 'release' })];
    const own = await cluster.session(a);
    for (let finds = 0; finds < 60; finds += 1) await cluster.within(100, a.manager.update(own, increment));
    // 1 - 0.5 * 0.98 ** 60 = 0.851; 0.851 * 0.98 ** 10 is the first below 0.7.
    const ids: string[] = [];
    for (let n = 0; n < 20; n += 1) ids.push(await cluster.session(b));
    a.table.calls = [];
    for (const id of ids) {
      await cluster.within(100, found(a.manager.findSession(id, { access: 'snapshot' })));
      await cluster.clock.advance(5);
    }
    expect([a.table.count('read'), a.table.count('acquire')]).toEqual([20, 9]);
  });

  it("refuses nobody meanwhile under onLocked 'error': no request has it", async () => {
    const a = await cluster.add('a', { onLocked: 'error' });
    const b = await cluster.add('b', { affinity: 'release' });
    const id = await cluster.session(b);
    const gate = new Gate();
    a.table.next('acquire', gate.fate);
    await cluster.within(100, found(a.manager.findSession(id, { access: 'snapshot' })));
    const posted = a.manager.update(id, increment);
    const second = cluster.failure(100, a.manager.findSession(id));
    await cluster.clock.advance(1);
    gate.open();
    await cluster.within(100, posted);
    expect((await second).code).toBe('CLUSTER_LOCKED');
    expect(await cluster.stored(id)).toEqual({ n: 1 });
  });
});

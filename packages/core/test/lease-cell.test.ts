import { beforeEach, describe, it, expect } from '@jest/globals';
import { manualClock, type ManualClock } from '../src/clock.js';
import { MapTable } from '../src/drivers/map-table.js';
import { context, ScriptedMap } from './scripted-map.js';

const LEASE_MS = 1000;
const cell = 'shop.l.a.1';

let clock: ManualClock;
let map: ScriptedMap;
let holder: MapTable;
let observer: MapTable;

beforeEach(async () => {
  clock = manualClock();
  map = new ScriptedMap(clock);
  holder = new MapTable(map, clock);
  observer = new MapTable(map, clock);
  await holder.start(context('a'));
  await observer.start(context('b'));
});

const beat = (n: number, on = holder) => on.beat('a.1', n, LEASE_MS);
const lapse = (quietMs: number) => observer.lapse('a.1', quietMs);

describe('beat', () => {
  it('is one put over the beat before it', async () => {
    for (const n of [0, 1, 2]) expect(await beat(n)).toEqual({ generation: '' });
    expect(map.took()).toBe('put put put');
    expect((await map.inner.get(cell))?.value).toBe('2');
    expect(map.lastEntry?.lifetimeMs).toBe(3 * LEASE_MS);
  });

  it('made again is fine, and so is one that arrives late', async () => {
    await beat(0);
    expect(await beat(0)).toEqual({ generation: '' });
    await beat(1);
    await beat(2);
    expect(await beat(1)).toEqual({ generation: '' });
    expect((await map.inner.get(cell))?.value).toBe('2');
    expect(await beat(3)).toEqual({ generation: '' });
  });

  it('needs a look where this table did not put the one before', async () => {
    await beat(0);
    map.took();
    expect(await beat(1, observer)).toEqual({ generation: '' });
    expect(map.took()).toBe('get put');
    expect(await beat(5, observer)).toEqual({ generation: '' });
    expect((await map.inner.get(cell))?.value).toBe('5');
  });

  it('of a lease that is absent or ended has lapsed; n = 0 makes one, not over an ended one', async () => {
    expect(await beat(1)).toBe('lapsed');
    await beat(0);
    expect(await lapse(0)).toBe(0);
    expect(await beat(1)).toBe('lapsed');
    expect(await beat(0)).toBe('lapsed');
    await clock.advance(6 * LEASE_MS * 10);
    expect(await beat(1)).toBe('lapsed');
    expect(await beat(0)).toEqual({ generation: '' });
  });

  it('rejects where the outcome is unknown, and the same beat again finds out', async () => {
    await beat(0);
    map.fates = ['executed, then rejected'];
    await expect(beat(1)).rejects.toThrow('connection lost');
    expect(await beat(1)).toEqual({ generation: '' });
    map.fates = ['rejected'];
    await expect(beat(2)).rejects.toThrow('connection lost');
    expect(await beat(2)).toEqual({ generation: '' });
    expect((await map.inner.get(cell))?.value).toBe('2');
  });

  it('names the generation, and looks before it puts when that has changed', async () => {
    map.generationName = 'before';
    expect(await beat(0)).toEqual({ generation: 'before' });
    map.took();
    map.generationName = 'after';
    expect(await beat(1)).toEqual({ generation: 'after' });
    expect(map.took()).toBe('get put');
  });

  it('rejects where the cell is not readable, and before the table is started', async () => {
    await map.inner.compareAndSet(cell, undefined, { value: 'x', lifetimeMs: 100 });
    await expect(beat(0)).rejects.toMatchObject({ code: 'CLUSTER_UNREADABLE' });
    await expect(beat(0, new MapTable(map, clock))).rejects.toMatchObject({ code: 'CLUSTER_UNAVAILABLE' });
  });
});

describe.each([['dated by the map', true], ['dated by the observer', false]])('lapse, %s', (_, dated) => {
  beforeEach(() => { map.dated = dated; });

  it('of an absent lease is 0, without a put', async () => {
    expect(await lapse(500)).toBe(0);
    expect(map.took()).toBe('get');
  });

  it('says how long to wait, ends the lease after that, and stays 0', async () => {
    await beat(0);
    expect(await lapse(500)).toBe(500);
    await clock.advance(499.5);
    expect(await lapse(500)).toBe(1);
    await clock.advance(0.5);
    expect(await lapse(500)).toBe(0);
    expect(await lapse(500)).toBe(0);
    expect((await map.inner.get(cell))?.value).toBe('ended');
    expect(await beat(1)).toBe('lapsed');
  });

  it('waits anew after each beat', async () => {
    await beat(0);
    expect(await lapse(500)).toBe(500);
    await clock.advance(400);
    await beat(1);
    expect(await lapse(500)).toBe(500);
    await clock.advance(400);
    expect(await lapse(500)).toBe(100);
    expect(await beat(2)).toEqual({ generation: '' });
  });

  it('with proof of death ends at once', async () => {
    await beat(0);
    expect(await lapse(0)).toBe(0);
  });

  it('loses against a beat that comes between look and put', async () => {
    await beat(0);
    await lapse(500);
    await clock.advance(500);
    map.meanwhile = () => beat(1);
    expect(await lapse(500)).toBe(500);
    expect(await beat(2)).toEqual({ generation: '' });
  });

  it('wins against a beat that comes after its put', async () => {
    await beat(0);
    map.meanwhile = () => lapse(0);
    expect(await beat(1)).toBe('lapsed');
  });
});

it('lapse keeps the end of a lease for six times its length', async () => {
  await beat(0);
  await observer.beat('b.1', 0, LEASE_MS);
  await lapse(0);
  expect(map.lastEntry).toEqual({ value: 'ended', lifetimeMs: 6 * LEASE_MS });
});

it('lapse gives up, changing nothing, when the cell never stands still', async () => {
  await beat(0);
  let n = 0;
  map.always = async () => {
    const found = await map.inner.get(cell);
    await map.inner.compareAndSet(cell, found?.revision, { value: String(n += 1), lifetimeMs: 1000 });
  };
  await expect(lapse(0)).rejects.toMatchObject({ code: 'CLUSTER_UNAVAILABLE' });
  expect((await map.inner.get(cell))?.value).toBe('8');
});

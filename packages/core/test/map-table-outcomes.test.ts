import { beforeEach, describe, it, expect } from '@jest/globals';
import { manualClock, type ManualClock } from '../src/clock.js';
import { MapTable } from '../src/drivers/map-table.js';
import { SeenRecords } from '../src/drivers/seen-records.js';
import { tableOf } from '../src/drivers/table-of.js';
import type { SessionMap } from '../src/drivers/session-map.js';
import type { StoredRecord } from '../src/record.js';
import type { Claim, SessionTable, Stamp, Write } from '../src/drivers/session-table.js';
import { context, ScriptedMap, sessionKey } from './scripted-map.js';

const key = sessionKey('2');
const one: Claim = { incarnation: 'a.1', grant: 'one' };
const two: Claim = { incarnation: 'b.1', grant: 'two' };
const at = (version: number, grant = 'one'): Stamp => ({ grant, version });
const setting = (n: string, lifetimeMs = 1000): Write => ({ change: { set: new Map([['n', n]]), remove: [], whole: false }, lifetimeMs });

let clock: ManualClock;
let map: ScriptedMap;
let table: MapTable;
let other: MapTable;

beforeEach(() => {
  clock = manualClock();
  map = new ScriptedMap(clock);
  table = new MapTable(map, clock);
  other = new MapTable(map, clock);
});

const valueOf = async () => {
  const read = await other.read(key);
  return read.kind === 'record' ? read.attributes?.get('n') : read;
};

describe('read', () => {
  it('is one look, and leaves out what the caller has', async () => {
    await table.create(key, one, setting('1'), 'keep');
    map.took();
    await clock.advance(250);
    expect(await other.read(key)).toEqual({
      kind: 'record', format: 1, stamp: { grant: 'one', version: 1 }, holder: one, last: undefined, ageMs: 250, idleMs: 250, lifetimeMs: 1000,
      attributes: new Map([['n', '1']]),
    });
    expect(map.took()).toBe('get');
    expect(await other.read(key, { grant: 'one', version: 1 })).toMatchObject({ attributes: undefined });
  });

  it('goes by the map\'s clock, or where it has none by the wall clocks, and never below 0', async () => {
    await table.create(key, one, setting('1'), 'keep');
    await clock.advance(100);
    clock.jumpWall(300);
    expect(await other.read(key)).toMatchObject({ ageMs: 100 });
    map.dated = false;
    expect(await other.read(key)).toMatchObject({ ageMs: 400, idleMs: 400 });
    clock.jumpWall(-1000);
    expect(await other.read(key)).toMatchObject({ ageMs: 0, idleMs: 0 });
    clock.jumpWall(5000);
    expect(await other.read(key)).toEqual({ kind: 'absent' });
  });

  it('expires at the lifetime, not before, also where the map still returns it', async () => {
    map.forgetful = true;
    await table.create(key, one, setting('1', 100), 'keep');
    await clock.advance(99);
    expect(await other.read(key)).toMatchObject({ kind: 'record', idleMs: 99 });
    await clock.advance(1);
    expect(await other.read(key)).toEqual({ kind: 'absent' });
    expect(await other.acquire(key, two, 'one')).toEqual({ kind: 'absent' });
    expect(await table.commit(key, 'one', at(1), setting('2'), 'keep')).toEqual({ kind: 'fenced' });
    expect(await table.remove(key, 'one', undefined, 'removed', 100)).toEqual({ kind: 'fenced' });
    expect(await table.touch(new Map([[key, 100]]))).toEqual(new Set([key]));
  });

  it('keeps up with a session\'s age, however many slow calls it takes part in', async () => {
    const slow = <A extends unknown[], R>(call: (...args: A) => Promise<R>) => async (...args: A) => {
      await clock.advance(2);
      const result = await call(...args);
      await clock.advance(2);
      return result;
    };
    await table.create(key, one, setting('0', 100_000), 'release');
    const bornMs = clock.monotonicMs();
    map.get = slow(map.get.bind(map));
    map.compareAndSet = slow(map.compareAndSet.bind(map));
    for (let version = 1; version <= 20; version += 1) {
      const claim = { incarnation: 'a.1', grant: `g${version}` };
      await table.acquire(key, claim);
      await table.commit(key, claim.grant, at(version, version === 1 ? 'one' : `g${version - 1}`), setting('1', 0), 'keep');
      await table.commit(key, claim.grant, undefined, { change: undefined, lifetimeMs: 0 }, 'release');
    }
    const read = await table.read(key);
    const ageMs = clock.monotonicMs() - bornMs;
    expect(ageMs).toBeGreaterThan(300);
    expect(Math.abs(ageMs - (read.kind === 'record' ? read.ageMs : NaN))).toBeLessThanOrEqual(8);
  });

  it('rejects with a code where the record is not readable', async () => {
    await map.inner.compareAndSet(key, undefined, { value: '{"format":9}', lifetimeMs: 1000 });
    await expect(table.read(key)).rejects.toMatchObject({ code: 'CLUSTER_FOREIGN_VERSION' });
    await expect(table.acquire(key, one)).rejects.toMatchObject({ code: 'CLUSTER_FOREIGN_VERSION' });
  });
});

describe('touch', () => {
  it('starts the idle time anew, and only lengthens', async () => {
    await table.create(key, one, setting('1', 1000), 'keep');
    await clock.advance(400);
    expect(await other.touch(new Map([[key, 100]]))).toEqual(new Set());
    expect(map.lastEntry?.lifetimeMs).toBe(600);
    await other.touch(new Map([[key, 3000]]));
    await other.touch(new Map([[key, 3000]]));
    expect(await other.read(key)).toMatchObject({ ageMs: 400, idleMs: 0, lifetimeMs: 3000, stamp: { version: 1 }, holder: one });
  });

  it('names the keys that are gone and brings none back', async () => {
    const keys = ['3', '4', '5'].map(sessionKey) as [string, string, string];
    await table.create(keys[0], one, setting('1', 1000), 'keep');
    await table.create(keys[1], one, setting('1', 1000), 'keep');
    await table.remove(keys[1], 'one', undefined, 'removed', 1000);
    expect(await other.touch(new Map(keys.map((each) => [each, 5000])))).toEqual(new Set([keys[1], keys[2]]));
    expect(await table.read(keys[1])).toEqual({ kind: 'absent', gone: 'removed' });
    expect(await table.read(keys[2])).toEqual({ kind: 'absent' });
  });

  it('keeps the holder\'s next commit at one put where the holder touches itself', async () => {
    await table.create(key, one, setting('1'), 'keep');
    await table.touch(new Map([[key, 1000]]));
    map.took();
    await table.commit(key, 'one', at(1), setting('2'), 'keep');
    expect(map.took()).toBe('put');
    await other.touch(new Map([[key, 1000]]));
    map.took();
    expect(await table.commit(key, 'one', at(2), setting('3'), 'keep')).toEqual({ kind: 'done', version: 3 });
    expect(map.took()).toBe('put get put');
  });

  it('does not remember what it touched for others', async () => {
    await table.create(key, one, setting('1'), 'keep');
    await other.touch(new Map([[key, 1000]]));
    map.took();
    await other.remove(key, undefined, undefined, 'removed', 1000);
    expect(map.took()).toBe('get put');
  });

  it('leaves it at that when others write again and again', async () => {
    await table.create(key, one, setting('1'), 'keep');
    let version = 1;
    map.always = async () => {
      const { always } = map;
      map.always = undefined;
      await table.commit(key, 'one', at(version), setting('x'), 'keep');
      version += 1;
      map.always = always;
    };
    expect(await other.touch(new Map([[key, 1000]]))).toEqual(new Set());
    expect(version).toBe(5);
    expect(await table.read(key)).toMatchObject({ stamp: { version: 5 } });
  });

  it('has at most 16 keys under way, and rejects if one of them does', async () => {
    const keys = Array.from({ length: 40 }, (_, i) => `shop.s.${String(i).padStart(64, '0')}`);
    for (const each of keys) await table.create(each, one, setting('1'), 'keep');
    let running = 0;
    let most = 0;
    map.always = async () => {
      most = Math.max(most, running += 1);
      await new Promise((resolve) => { setImmediate(resolve); });
      running -= 1;
    };
    const lifetimes = new Map(keys.map((each) => [each, 2000]));
    await table.touch(lifetimes);
    expect(most).toBe(16);
    map.fates = ['rejected'];
    await expect(table.touch(lifetimes)).rejects.toThrow('connection lost');
  });
});

describe('a put whose outcome is unknown', () => {
  const calls: [string, (on: SessionTable) => Promise<unknown>, unknown][] = [
    ['acquire', (on) => on.acquire(key, two, 'one'), expect.objectContaining({ kind: 'granted' })],
    ['create', (on) => on.create(sessionKey('9'), two, setting('1'), 'keep'), 'created'],
    ['commit', (on) => on.commit(key, 'one', at(1), setting('2'), 'keep'), { kind: 'done', version: 2 }],
    ['commit and release', (on) => on.commit(key, 'one', at(1), setting('2'), 'release'), { kind: 'done', version: 2 }],
    ['commit and hand-over', (on) => on.commit(key, 'one', at(1), setting('2'), two), { kind: 'done', version: 2 }],
    ['remove', (on) => on.remove(key, 'one', undefined, 'removed', 1000), { kind: 'removed' }],
    ['forced remove', (on) => on.remove(key, undefined, undefined, 'removed', 1000), { kind: 'removed', holder: one }],
    ['touch', (on) => on.touch(new Map([[key, 1000]])), new Set()],
  ];
  for (const fate of ['executed, then rejected', 'rejected'] as const) {
    it.each(calls)(`makes %s reject, and the same call again answers as if it had been the only one (${fate})`, async (_, call, answer) => {
      await table.create(key, one, setting('1'), 'keep');
      map.fates = [fate];
      await expect(call(table)).rejects.toThrow('connection lost');
      expect(await call(table)).toEqual(answer);
      expect(await call(table)).toEqual(answer);
    });
  }

  it('is never repeated by the table itself, and forgets what was last seen', async () => {
    await table.create(key, one, setting('1'), 'keep');
    map.took();
    map.fates = ['executed, then rejected'];
    await expect(table.commit(key, 'one', at(1), setting('2'), 'keep')).rejects.toThrow('connection lost');
    expect(map.took()).toBe('put');
    expect(await table.commit(key, 'one', at(2), setting('3'), 'keep')).toEqual({ kind: 'done', version: 3 });
    expect(map.took()).toBe('get put');
    map.fates = ['rejected'];
    await expect(table.commit(key, 'one', at(3), setting('4'), 'keep')).rejects.toThrow('connection lost');
    map.took();
    expect(await table.commit(key, 'one', at(3), setting('4'), 'keep')).toEqual({ kind: 'done', version: 4 });
    expect(map.took()).toBe('get put');
  });
});

describe('a store that rolled back', () => {
  it('is looked at before the next put when the generation changes', async () => {
    map.generationName = 'before';
    await table.create(key, one, setting('1'), 'keep');
    await table.commit(key, 'one', at(1), setting('2'), 'keep');
    map.took();
    map.generationName = 'after';
    expect(await table.commit(key, 'one', at(2), setting('3'), 'keep')).toEqual({ kind: 'done', version: 3 });
    expect(map.took()).toBe('get put');
    expect(await table.commit(key, 'one', at(3), setting('4'), 'keep')).toEqual({ kind: 'done', version: 4 });
    expect(map.took()).toBe('put');
  });

  it('is not written at a revision seen before the change', async () => {
    map.generationName = 'before';
    await table.create(key, one, setting('1'), 'release');
    map.took();
    const get = map.get.bind(map);
    map.get = async (each) => {
      const found = await get(each);
      map.generationName = 'after';
      return found;
    };
    expect(await other.acquire(key, two)).toMatchObject({ kind: 'granted' });
    expect(map.took()).toBe('get get put');
  });

  it('answers behind, and takes a whole, where it fell back to an earlier version', async () => {
    await table.create(key, one, setting('1'), 'keep');
    const earlier = await map.inner.get(key);
    await table.commit(key, 'one', at(1), setting('2'), 'keep');
    const later = await map.inner.get(key);
    await map.inner.compareAndSet(key, later?.revision, { value: earlier?.value ?? '', lifetimeMs: 1000 });
    expect(await table.commit(key, 'one', at(2), setting('3'), 'keep')).toEqual({ kind: 'behind' });
    const whole: Write = { change: { set: new Map([['n', '3']]), remove: [], whole: true }, lifetimeMs: 1000 };
    expect(await table.commit(key, 'one', at(1), whole, 'keep')).toEqual({ kind: 'done', version: 2 });
    expect(await valueOf()).toBe('3');
  });
});

describe('the table', () => {
  it('declares the map\'s class without deltas and passes the rest on', async () => {
    expect(table.capabilities).toEqual({ durability: 'process', gone: 'unknown', rollback: true, delta: false });
    expect(table.sweep).toBeUndefined();
    const calls: unknown[] = [];
    const offering: SessionMap = {
      capabilities: map.capabilities, get: (name) => map.get(name), compareAndSet: (name, expected, entry) => map.compareAndSet(name, expected, entry),
      async *keys() { yield key; },
      async sweep(limit) { calls.push(limit); return 1; },
      async signal(...signal) { calls.push(signal); return false; },
    };
    const passing = new MapTable(offering, clock);
    const keys: string[] = [];
    for await (const each of passing.keys?.() ?? []) keys.push(each);
    expect(keys).toEqual([key]);
    expect(await passing.sweep?.(5)).toBe(1);
    expect(await passing.signal('nobody', 'x')).toBe(false);
    expect(calls).toEqual([5, ['nobody', 'x']]);
    await table.start(context());
    expect(await table.signal('nobody', 'x')).toBe(true);
  });

  it('says that no signals are heard where the map has none', async () => {
    const heard: boolean[] = [];
    await table.start({ ...context(), listening: (up) => heard.push(up) });
    expect(heard.at(-1)).toBe(false);
  });

  it('leaves word in a cell where the map has no signals: it is there with a later beat, once', async () => {
    const received: string[] = [];
    await table.start({ ...context('a'), receive: (message) => received.push(message) });
    await other.start(context('b'));
    await table.beat('a.1', 0, 1_000);
    for (let n = 1; n <= 10; n += 1) expect(await other.signal('a', `word ${n}`)).toBe(true);
    await clock.advance(200);
    await table.beat('a.1', 1, 1_000);
    await clock.advance(0);
    expect(received).toEqual([]);
    await clock.advance(50);
    await table.beat('a.1', 2, 1_000);
    await clock.advance(0);
    expect(received).toEqual(Array.from({ length: 8 }, (_, n) => `word ${n + 1}`));
    await other.signal('a', 'later');
    await clock.advance(250);
    await table.beat('a.1', 3, 1_000);
    await clock.advance(250);
    await table.beat('a.1', 4, 1_000);
    await clock.advance(0);
    expect(received.slice(8)).toEqual(['later']);
  });

  it('asks a map that has been stopped neither about leases nor for mail', async () => {
    await table.start(context('a'));
    await table.beat('a.1', 0, 1_000);
    await table.stop();
    map.get = () => { throw new Error('closed'); };
    map.compareAndSet = () => { throw new Error('closed'); };
    const calls: (() => Promise<unknown>)[] = [() => table.lapse('b.1', 0), () => table.signal('b', 'word'), () => table.beat('a.1', 1, 1_000)];
    for (const call of calls) await expect(call()).rejects.toMatchObject({ code: 'CLUSTER_UNAVAILABLE' });
  });

  it('leaves no word for itself, and says nothing where the map fails', async () => {
    const received: string[] = [];
    await table.start({ ...context('a'), receive: (message) => received.push(message) });
    await other.start(context('b'));
    expect(await table.signal('a', 'test')).toBe(true);
    await other.signal('a', 'word');
    await table.beat('a.1', 0, 1_000);
    map.get = () => Promise.reject(new Error('connection lost'));
    await clock.advance(250);
    await table.beat('a.1', 1, 1_000);
    await clock.advance(0);
    expect(received).toEqual([]);
  });

  it('is made of a map; a table stays what it is; anything else is refused', () => {
    expect(tableOf(map)).toBeInstanceOf(MapTable);
    expect(tableOf(table)).toBe(table);
    const wrongs: unknown[] = [{}, null, 'redis', { get: () => 1 }];
    for (const wrong of wrongs) {
      expect(() => tableOf(wrong as SessionMap)).toThrow(expect.objectContaining({ code: 'CLUSTER_BAD_OPTION' }));
    }
  });

  it('remembers a bounded number and size of records, the least recently used leave', () => {
    const seen = new SeenRecords(3, 100);
    const entry = (bytes: number) => ({ stored: {} as StoredRecord, revision: '1', sinceMs: 0, atMs: 0, generation: '', bytes });
    for (const name of ['a', 'b', 'c']) seen.set(name, entry(10));
    seen.get('a');
    seen.set('d', entry(10));
    expect(['a', 'b', 'c', 'd'].filter((name) => seen.has(name))).toEqual(['a', 'c', 'd']);
    seen.set('e', entry(75));
    expect(['a', 'c', 'd', 'e'].filter((name) => seen.has(name))).toEqual(['a', 'd', 'e']);
    seen.set('f', entry(101));
    expect(seen.size).toBe(0);
  });
});

import { beforeEach, describe, it, expect } from '@jest/globals';
import { manualClock, type ManualClock } from '../src/clock.js';
import { MemoryTable } from '../src/drivers/memory-table.js';
import type { Manager } from '../src/manager.js';
import { MemoryStore } from '../src/memory-store.js';
import { context, sessionKey } from './scripted-map.js';

let clock: ManualClock;
let table: MemoryTable;
let other: MemoryTable;

beforeEach(() => {
  clock = manualClock();
  table = new MemoryTable({ clock });
  other = new MemoryTable({ shareWith: table });
});

const claim = { incarnation: 'a.1', grant: 'g' };
const create = (key: string, lifetimeMs: number) => table.create(key, claim, { change: { set: new Map([['n', '1']]), remove: [], whole: true }, lifetimeMs }, 'release');

const keysOf = async (of: MemoryTable) => {
  const keys: string[] = [];
  for await (const key of of.keys()) keys.push(key);
  return keys;
};

// The rules of a session table are the conformance kit's.
describe('MemoryTable', () => {
  beforeEach(() => table.start(context('a')));

  it('forgets a record at the end of its lifetime, not before', async () => {
    await create(sessionKey('1'), 100);
    await clock.advance(99.9);
    expect(await table.read(sessionKey('1'))).toMatchObject({ kind: 'record', ageMs: 99.9, idleMs: 99.9 });
    await clock.advance(0.1);
    expect(await table.read(sessionKey('1'))).toEqual({ kind: 'absent' });
    expect(await create(sessionKey('1'), 100)).toBe('created');
  });

  it('sweeps up to the limit what has expired, records and leases, and only that', async () => {
    for (const digit of ['1', '2', '3']) await create(sessionKey(digit), 10);
    await create(sessionKey('4'), 1000);
    await table.beat('a.1', 0, 1);
    await table.beat('a.2', 0, 1000);
    await clock.advance(10);
    expect([await table.sweep(3), await table.sweep(3), await table.sweep(3)]).toEqual([3, 1, 0]);
    expect(await keysOf(table)).toEqual([sessionKey('4')]);
    expect(await table.beat('a.2', 1, 1000)).toEqual({ generation: '' });
  });

  it('lists the keys of its context that are there', async () => {
    await create('shop.s.1', 10);
    await create('shopping.s.1', 10);
    expect(await keysOf(table)).toEqual(['shop.s.1']);
    await clock.advance(10);
    expect(await keysOf(table)).toEqual([]);
  });

  it('keeps a lease that was ended so for as long again', async () => {
    await table.beat('a.1', 0, 100);
    expect(await table.lapse('a.1', 0)).toBe(0);
    await clock.advance(599);
    expect(await table.beat('a.1', 0, 100)).toBe('lapsed');
  });

  it('refuses calls before the start and after the stop', async () => {
    await table.stop();
    for (const call of [create('shop.s.1', 10), table.read('shop.s.1'), table.beat('a.1', 0, 1), table.signal('a', 'x')]) {
      await expect(call).rejects.toMatchObject({ code: 'CLUSTER_UNAVAILABLE' });
    }
  });
});

describe('signals', () => {
  const heard: string[] = [];
  const listener = (instanceId: string, name = 'shop') => ({
    context: name, instanceId, receive: (message: string) => heard.push(`${instanceId}: ${message}`), listening: (up: boolean) => heard.push(`${instanceId} ${String(up)}`),
  });
  beforeEach(() => { heard.length = 0; });

  it('arrive after the call that sent them', async () => {
    await table.start(listener('a'));
    await other.start(listener('b'));
    const sent = table.signal('b', 'hello');
    expect(heard).toEqual(['a true', 'b true']);
    expect(await sent).toBe(true);
    expect(heard).toEqual(['a true', 'b true', 'b: hello']);
  });

  it('reach nobody who is not started, has stopped, or is of another context or space', async () => {
    await table.start(listener('a'));
    expect(await table.signal('b', 'x')).toBe(false);
    await other.start(listener('b', 'bank'));
    expect(await table.signal('b', 'x')).toBe(false);
    await new MemoryTable({ clock }).start(listener('c'));
    expect(await table.signal('c', 'x')).toBe(false);
    await other.stop();
    await other.start(listener('b'));
    const sent = table.signal('b', 'too late');
    await other.stop();
    await sent;
    expect(await table.signal('b', 'x')).toBe(false);
    expect(heard.filter((line) => line.includes(':'))).toEqual([]);
  });

  it('have one address each: a second instance of that name is refused, until the first has stopped', async () => {
    await table.start(listener('a'));
    await expect(other.start(listener('a'))).rejects.toMatchObject({ code: 'CLUSTER_BAD_OPTION' });
    await table.stop();
    await other.start(listener('a'));
    await table.stop();
    expect(await other.signal('a', 'x')).toBe(true);
  });
});

describe('MemoryStore', () => {
  it('checks its options', () => {
    expect(new MemoryStore({ instanceId: 'web-1' }).instanceId).toBe('web-1');
    expect(new MemoryStore().instanceId).not.toBe(new MemoryStore().instanceId);
    const wrong: object = { instanceId: 'web 1', shareWith: {} };
    expect(() => new MemoryStore(wrong)).toThrow(expect.objectContaining({
      code: 'CLUSTER_BAD_OPTION', message: expect.stringMatching(/^MemoryStore: instanceId: .*; shareWith: expected a MemoryStore, found {}$/) as unknown,
    }));
  });

  it('shares sessions with the store that it names, and with no other', async () => {
    const first = new MemoryStore({ clock });
    const second = new MemoryStore({ shareWith: first });
    const third = new MemoryStore({ clock });
    const manager = { context: 'shop' } as Manager; // a store asks it for nothing else
    for (const store of [first, second, third]) await store.start(manager);
    const session = { id: 'x', attributes: new Map([['n', '1']]), ageMs: 0, idleMs: 0, lifetimeMs: 1000 };
    await first.sendSession(session, { keep: false, isNew: true });
    expect((await second.readSession('x'))?.attributes).toEqual(new Map([['n', '1']]));
    expect(await third.readSession('x')).toBeUndefined();
    await clock.advance(1000);
    expect(await second.readSession('x')).toBeUndefined();
    for (const store of [first, second, third]) await store.stop();
  });
});

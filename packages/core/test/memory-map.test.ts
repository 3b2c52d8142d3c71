import { beforeEach, describe, it, expect } from '@jest/globals';
import { manualClock, type ManualClock } from '../src/clock.js';
import type { Manager } from '../src/manager.js';
import { MemoryMap } from '../src/drivers/memory-map.js';
import { MemoryStore } from '../src/memory-store.js';
import { context } from './scripted-map.js';

let clock: ManualClock;
let map: MemoryMap;
let other: MemoryMap;

beforeEach(() => {
  clock = manualClock();
  map = new MemoryMap({ clock });
  other = new MemoryMap({ shareWith: map });
});

const put = (expected: string | undefined, value = 'v', lifetimeMs = 100, key = 'k') => map.compareAndSet(key, expected, { value, lifetimeMs });

const keysOf = async (of: MemoryMap) => {
  const keys: string[] = [];
  for await (const key of of.keys()) keys.push(key);
  return keys;
};

describe('MemoryMap', () => {
  it('puts over the expected revision only', async () => {
    const first = await put(undefined);
    expect(first).toBeDefined();
    expect(await put(undefined)).toBeUndefined();
    const second = await put(first, 'w');
    expect(await put(first, 'x')).toBeUndefined();
    await clock.advance(30);
    expect(await other.get('k')).toEqual({ value: 'w', revision: second, ageMs: 30 });
  });

  it('never names two contents by one revision, also after an expiry', async () => {
    const revisions = new Set<string | undefined>();
    for (let i = 0; i < 5; i += 1) {
      revisions.add(await put(undefined));
      await clock.advance(100);
    }
    revisions.add(await put(undefined, 'v', 100, 'another'));
    expect(revisions.size).toBe(6);
  });

  it('forgets an entry at the end of its lifetime, not before; an update of it is refused', async () => {
    const first = await put(undefined);
    await clock.advance(99.9);
    expect(await map.get('k')).toMatchObject({ value: 'v' });
    await clock.advance(0.1);
    expect(await put(first, 'late')).toBeUndefined();
    expect(await map.get('k')).toBeUndefined();
  });

  it('sweeps up to the limit what has expired, and only that', async () => {
    for (const key of ['a', 'b', 'c']) await put(undefined, 'v', 10, key);
    await put(undefined, 'v', 1000, 'd');
    await clock.advance(10);
    expect([await map.sweep(2), await map.sweep(2), await map.sweep(2)]).toEqual([2, 1, 0]);
    expect(await keysOf(map)).toEqual(['d']);
  });

  it('lists the keys of its context', async () => {
    await map.start(context('a'));
    await put(undefined, 'v', 10, 'shop.s.1');
    await put(undefined, 'v', 10, 'shopping.s.1');
    expect(await keysOf(map)).toEqual(['shop.s.1']);
    await clock.advance(10);
    expect(await keysOf(map)).toEqual([]);
  });
});

describe('signals', () => {
  const heard: string[] = [];
  const listener = (instanceId: string, name = 'shop') => ({
    context: name, instanceId, receive: (message: string) => heard.push(`${instanceId}: ${message}`), listening: (up: boolean) => heard.push(`${instanceId} ${String(up)}`),
  });
  beforeEach(() => { heard.length = 0; });

  it('arrive after the call that sent them', async () => {
    await map.start(listener('a'));
    await other.start(listener('b'));
    const sent = map.signal('b', 'hello');
    expect(heard).toEqual(['a true', 'b true']);
    expect(await sent).toBe(true);
    expect(heard).toEqual(['a true', 'b true', 'b: hello']);
  });

  it('reach nobody who is not started, has stopped, or is of another context or space', async () => {
    await map.start(listener('a'));
    expect(await map.signal('b', 'x')).toBe(false);
    await other.start(listener('b', 'bank'));
    expect(await map.signal('b', 'x')).toBe(false);
    await new MemoryMap({ clock }).start(listener('c'));
    expect(await map.signal('c', 'x')).toBe(false);
    await other.stop();
    await other.start(listener('b'));
    const sent = map.signal('b', 'too late');
    await other.stop();
    await sent;
    expect(await map.signal('b', 'x')).toBe(false);
    expect(heard.filter((line) => line.includes(':'))).toEqual([]);
  });

  it('have one address each: a second instance of that name is refused, until the first has stopped', async () => {
    await map.start(listener('a'));
    await expect(other.start(listener('a'))).rejects.toMatchObject({ code: 'CLUSTER_BAD_OPTION' });
    await map.stop();
    await other.start(listener('a'));
    await map.stop();
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

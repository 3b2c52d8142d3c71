import { describe, it, expect } from '@jest/globals';
import { ClusterError, DistributedManager, MemoryStore, type SessionSnapshot } from '../src/index.js';
import { Clock, ClusterStoreBase, type SessionMap } from '../src/driver.js';
import { MemoryMap } from './memory-map.js';

const clock = Clock.manual();

/** Two started stores over one space, used without a manager. */
async function pair(): Promise<[MemoryStore, MemoryStore]> {
  const a = new MemoryStore({ clock, instanceId: 'a' });
  const b = new MemoryStore({ shareWith: a, instanceId: 'b' });
  const manager = new DistributedManager(new MemoryStore({ clock }), { clock });
  await a.start(manager);
  await b.start(manager);
  return [a, b];
}

const fresh = (id: string, n = 0): SessionSnapshot => ({ id, attributes: new Map([['n', String(n)]]), ageMs: 0, idleMs: 0, lifetimeMs: 60_000 });
const code = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'resolved', (error: unknown) => (ClusterError.is(error) ? error.code : String(error)));
const add = (session: SessionSnapshot | undefined): SessionSnapshot => {
  if (session === undefined) throw new Error('expected a session');
  return { ...session, attributes: new Map([['n', String(Number(session.attributes.get('n')) + 1)]]) };
};

describe('a store without a manager', () => {
  it('locks at find, publishes and unlocks at send', async () => {
    const [a, b] = await pair();
    await a.sendSession(fresh('x'), { isNew: true, keep: false });
    const found = await a.findSession('x');
    expect(await code(b.findSession('x', { waitMs: 0 }))).toBe('CLUSTER_LOCKED');
    expect((await b.readSession('x'))?.attributes.get('n')).toBe('0');
    await a.sendSession(add(found), { isNew: false, keep: false });
    expect((await b.findSession('x'))?.attributes.get('n')).toBe('1');
    expect(await code(a.sendSession(fresh('x', 9), { isNew: false, keep: false }))).toBe('CLUSTER_FENCED');
    await Promise.all([a.stop(), b.stop()]);
  });

  it('that is stopped while it starts is stopped after that, and started once', async () => {
    const steps: string[] = [];
    let started: () => void = () => undefined;
    const map = new MemoryMap(clock);
    const driver: SessionMap = {
      capabilities: { durability: 'process', gone: 'unknown', rollback: false },
      get: (key) => map.get(key),
      compareAndSet: (key, expected, entry) => map.compareAndSet(key, expected, entry),
      start: () => {
        steps.push('starts');
        return new Promise((resolve) => { started = resolve; });
      },
      stop: async () => { steps.push('stopped'); },
    };
    const store = new ClusterStoreBase(driver, { clock });
    const manager = new DistributedManager(new MemoryStore({ clock }), { clock });
    const starting = Promise.all([store.start(manager), store.start(manager)]);
    await clock.advance(0);
    const stopping = store.stop();
    await clock.advance(0);
    expect(steps).toEqual(['starts']);
    started();
    await Promise.all([starting, stopping]);
    expect(steps).toEqual(['starts', 'stopped']);
  });

  it('finds a session again that it has locked', async () => {
    const [a, b] = await pair();
    await a.sendSession(fresh('x'), { isNew: true, keep: true });
    const [one, two] = await Promise.all([a.findSession('x'), a.findSession('x')]);
    expect([one?.attributes, two?.attributes]).toEqual([new Map([['n', '0']]), new Map([['n', '0']])]);
    await a.sendSession(add(one), { isNew: false, keep: true });
    expect((await a.findSession('x'))?.attributes.get('n')).toBe('1');
    expect(await code(b.findSession('x', { waitMs: 0 }))).toBe('CLUSTER_LOCKED');
    await a.sendSession(add(await a.findSession('x')), { isNew: false, keep: false });
    expect((await b.findSession('x'))?.attributes.get('n')).toBe('2');
    await Promise.all([a.stop(), b.stop()]);
  });

  it('refuses a second session under one id, and what was not found', async () => {
    const [a, b] = await pair();
    await a.sendSession(fresh('x'), { isNew: true, keep: false });
    expect(await code(b.sendSession(fresh('x'), { isNew: true, keep: false }))).toBe('CLUSTER_FENCED');
    expect(await code(b.sendSession(fresh('y'), { isNew: false, keep: false }))).toBe('CLUSTER_FENCED');
    expect(await b.findSession('y')).toBe(undefined);
    await Promise.all([a.stop(), b.stop()]);
  });

  it('ends a session for its holder as well', async () => {
    const [a, b] = await pair();
    await a.sendSession(fresh('x'), { isNew: true, keep: false });
    const found = await a.findSession('x');
    const removed = b.removeSession('x', 'removed');
    await clock.advance(100);
    await removed;
    expect(await code(a.sendSession(add(found), { isNew: false, keep: false }))).toBe('CLUSTER_FENCED');
    expect([await a.findSession('x'), await b.findSession('x'), await b.readSession('x')]).toEqual([undefined, undefined, undefined]);
    await Promise.all([a.stop(), b.stop()]);
  });

  it('moves a session for its holder alone, and then ends it no more', async () => {
    const [a, b] = await pair();
    await a.sendSession(fresh('z'), { isNew: true, keep: false });
    expect(await code(a.removeSession('z', 'moved'))).toBe('CLUSTER_FENCED');
    await a.findSession('z');
    expect(await code(b.removeSession('z', 'moved'))).toBe('CLUSTER_FENCED');
    await a.removeSession('z', 'moved');
    expect([await code(b.findSession('z')), await code(b.readSession('z'))]).toEqual(['CLUSTER_MOVED', 'CLUSTER_MOVED']);
    expect([await code(b.removeSession('z', 'removed')), await code(a.removeSession('z', 'removed'))]).toEqual(['CLUSTER_MOVED', 'CLUSTER_MOVED']);
    expect(await code(b.findSession('z'))).toBe('CLUSTER_MOVED');
    await Promise.all([a.stop(), b.stop()]);
  });

  it('waits where it is told to', async () => {
    const [a, b] = await pair();
    await a.sendSession(fresh('x'), { isNew: true, keep: false });
    const found = await a.findSession('x');
    const waiting = b.findSession('x', { waitMs: 1_000 });
    await clock.advance(300);
    await a.sendSession(add(found), { isNew: false, keep: false });
    await clock.advance(300);
    expect((await waiting)?.attributes.get('n')).toBe('1');
    await Promise.all([a.stop(), b.stop()]);
  });

  it('gives everything back when it stops, and says that it has stopped', async () => {
    const [a, b] = await pair();
    await a.sendSession(fresh('x'), { isNew: true, keep: true });
    await a.stop();
    expect((await b.findSession('x', { waitMs: 0 }))?.id).toBe('x');
    expect(() => a.findSession('x')).toThrow(expect.objectContaining({ code: 'CLUSTER_STOPPED' }));
    await b.stop();
  });

  it.each([true, false])('sets the lifetime with a send that changes nothing, longer or shorter; the lock is kept: %s', async (keep) => {
    const [a, b] = await pair();
    for (const [id, lifetimeMs] of [['long', 100_000], ['short', 10_000]] as const) {
      await a.sendSession(fresh(id), { isNew: true, keep: false });
      const found = await a.findSession(id);
      await a.sendSession({ ...fresh(id), ...found, lifetimeMs }, { isNew: false, keep });
    }
    await clock.advance(10_001);
    expect(await b.readSession('short')).toBe(undefined);
    await clock.advance(80_000);
    expect(await b.readSession('long')).toBeDefined();
    if (keep) expect(await code(a.sendSession(fresh('short'), { isNew: false, keep }))).toBe('CLUSTER_FENCED');
    await Promise.all([a.stop(), b.stop()]);
  });

  it('touches', async () => {
    const [a, b] = await pair();
    await a.sendSession(fresh('x'), { isNew: true, keep: false });
    await clock.advance(50_000);
    await a.touchSessions(new Map([['x', 60_000]]));
    await clock.advance(50_000);
    expect(await b.readSession('x')).toBeDefined();
    await clock.advance(10_000);
    expect(await b.readSession('x')).toBe(undefined);
    await Promise.all([a.stop(), b.stop()]);
  });
});

it('a driver of neither shape is refused', () => {
  expect(() => new ClusterStoreBase({} as never)).toThrow(/expected a SessionMap/);
  expect(() => new MemoryStore({ instanceId: 'a.b' })).toThrow(/instanceId: expected 1 to 64/);
});

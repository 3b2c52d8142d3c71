import { afterEach, describe, it, expect, jest } from '@jest/globals';
import { DistributedManager, MemoryStore, type Session } from '../src/index.js';
import { Clock } from '../src/driver.js';
import { shortName } from '../src/session-id.js';
import { callLost, Cluster, eventsOf, found, hangs, increment, keyOf, refusedByStore } from './cluster.js';

let cluster = new Cluster();
afterEach(async () => {
  await cluster.stop();
  cluster = new Cluster();
});

describe('a manager', () => {
  it.each([['nothing', undefined], ['options with a store', { store: new MemoryStore() }], ['another manager', new DistributedManager(new MemoryStore())]])('refuses %s in place of a store', (_, store) => {
    // Such values reach it from JavaScript.
    expect(() => new DistributedManager(store as unknown as MemoryStore)).toThrow(/^DistributedManager: store: expected a ClusterStore as the first argument, found /);
  });
});

describe('the start', () => {
  it('that fails is told of each new session that could not be stored for it', async () => {
    const a = cluster.make('a');
    a.table.always('start', () => Promise.reject(new Error('connection refused')));
    const told = new Promise((resolve) => { a.manager.on('sendFailed', resolve); });
    const session = a.manager.createSession({ label: 'POST /cart' });
    session.set('n', 1);
    const error = await cluster.failure(20_000, a.manager.sendSession(session));
    expect([error.code, await told]).toEqual(['CLUSTER_UNAVAILABLE', { session: shortName(keyOf(session.id)), label: 'POST /cart', error }]);
    expect((await cluster.failure(20_000, a.manager.sendSession(session))).code).toBe('CLUSTER_SESSION_ENDED');
  });

  it('comes with the first request, once for all that wait for it', async () => {
    const a = cluster.make('a');
    expect(a.manager.health()).toMatchObject({ status: 'new', store: 'unknown', incarnation: undefined });
    expect(await cluster.within(10, Promise.all([a.manager.findSession('x'), a.manager.findSession('y')]))).toEqual([undefined, undefined]);
    expect(a.table.count('start')).toBe(1);
    expect(a.manager.health()).toMatchObject({ status: 'up', store: 'up', listening: true });
  });

  it('comes with the first session that is sent', async () => {
    const a = cluster.make('a');
    const session = a.manager.createSession();
    session.set('n', 1);
    await cluster.within(10, a.manager.sendSession(session));
    expect(await cluster.stored(session.id)).toEqual({ n: 1 });
  });

  for (const method of ['start', 'beat', 'create'] as const) {
    it(`that fails in ${method} can be tried again`, async () => {
      const a = cluster.make('a');
      a.table.next(method, callLost);
      expect((await cluster.failure(100, a.manager.findSession('x'))).code).toBe('CLUSTER_UNAVAILABLE');
      expect(a.manager.health().status).toBe('new');
      await cluster.within(100, a.manager.start());
      const id = await cluster.session(a);
      await a.manager.update(id, increment);
      expect(await cluster.stored(id)).toEqual({ n: 1 });
      // Touches go on as well.
      await cluster.clock.advance(70_000);
      await found(cluster.within(100, a.manager.findSession(id, { access: 'snapshot' })));
      a.table.next('touch', callLost);
      a.table.calls = [];
      await cluster.clock.advance(3_000);
      expect(a.table.count('touch')).toBeGreaterThanOrEqual(2);
    });
  }

  it('is refused where settings differ, each named', async () => {
    await cluster.add('a');
    const b = cluster.make('b', { leaseMs: 20_000, readLeaseMs: 100 });
    const error = await cluster.failure(100, b.manager.start());
    expect(error.code).toBe('CLUSTER_BAD_OPTION');
    expect(error.message).toMatch(/leaseMs: here 20000, in the cluster 10000/);
    expect(error.message).toMatch(/readLeaseMs: here 100, in the cluster 200/);
    expect(error.message).not.toMatch(/codec/);
    const c = cluster.make('c', { leaseMs: 20_000, context: 'other' });
    await c.manager.start();
  });

  it('is refused with what is wrong, also where the store does not stop after it', async () => {
    await cluster.add('a');
    const b = cluster.make('b', { leaseMs: 20_000 });
    b.table.always('lapse', callLost);
    expect((await cluster.failure(100, b.manager.start())).code).toBe('CLUSTER_BAD_OPTION');
  });

  it('keeps the record of settings alive, and makes it anew should it be gone', async () => {
    const a = await cluster.add('a');
    await cluster.clock.advance(120_000);
    const key = 'default.c.settings';
    expect(cluster.space.kept.get(key)?.endMs).toBeGreaterThan(cluster.clock.monotonicMs());
    cluster.space.kept.delete(key);
    await cluster.clock.advance(10_000);
    expect(cluster.space.kept.get(key)?.value).toContain('leaseMs');
    expect(eventsOf(a, 'warning')).toEqual([]);
  });

  it('is refused for options that do not fit, all of them named', () => {
    expect(() => new DistributedManager(new MemoryStore(), { leaseMs: 1, maxWaiting: -1, affinity: 'maybe' as never }))
      .toThrow(/leaseMs.*maxWaiting|maxWaiting.*leaseMs|affinity/);
    expect(() => new DistributedManager(new MemoryStore(), { leaseMs: 300, readLeaseMs: 200 })).toThrow(/readLeaseMs: expected at most half of leaseMs/);
  });
});

describe('drain', () => {
  it('takes effect from the first request on where the manager has not started yet', async () => {
    const a = cluster.make('a');
    await a.manager.drain();
    expect(a.manager.health().status).toBe('new');
    await cluster.within(10, a.manager.start());
    expect(a.manager.health().status).toBe('draining');
    const id = await cluster.session(a);
    expect(await cluster.holder(id)).toBe(undefined);
  });

  it('gives back what is idle, and what is in use at its end', async () => {
    const a = await cluster.add('a');
    const [x, y] = [await cluster.session(a), await cluster.session(a)];
    const session = await found(a.manager.findSession(x));
    await a.manager.drain();
    expect(a.manager.health()).toMatchObject({ status: 'draining', held: 1 });
    expect(await cluster.holder(y)).toBe(undefined);
    await cluster.within(10, a.manager.sendSession(session));
    expect(await cluster.holder(x)).toBe(undefined);
    await cluster.within(10, a.manager.update(y, increment));
    expect(await cluster.holder(y)).toBe(undefined);
    expect(await cluster.stored(y)).toEqual({ n: 1 });
  });

  it('serves those who wait in their order, here and elsewhere, and keeps nothing', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a, { order: [] });
    const note = (name: string) => (session: Session) => { session.set('order', [...session.get('order') as string[], name]); };
    const first = await found(a.manager.findSession(id));
    const waiting: Promise<unknown>[] = [];
    for (const [name, { manager }] of [['a1', a], ['b1', b], ['a2', a], ['b2', b]] as const) {
      waiting.push(manager.update(id, note(name)));
      await cluster.clock.advance(300);
    }
    await cluster.within(100, a.manager.drain());
    expect(a.manager.health()).toMatchObject({ status: 'draining', held: 1, running: 1, waiting: 2 });
    await a.manager.sendSession(first);
    await cluster.within(2_000, Promise.all(waiting));
    expect(await cluster.stored(id)).toEqual({ order: ['a1', 'b1', 'a2', 'b2'] });
    expect(a.manager.health()).toMatchObject({ held: 0, waiting: 0 });
  });

  it('with requests that share a session gives it back after the last', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const [first, second] = [await found(a.manager.findSession(id, { access: 'shared' })), await found(a.manager.findSession(id, { access: 'shared' }))];
    await cluster.within(100, a.manager.drain());
    for (const each of [first, second]) {
      expect(a.manager.health().held).toBe(1);
      increment(each);
      await cluster.within(100, a.manager.sendSession(each));
    }
    expect(await cluster.holder(id)).toBe(undefined);
    expect(await cluster.stored(id)).toEqual({ n: 2 });
  });
});

describe('a process that was suspended', () => {
  it('beyond its lease serves nothing from memory, has its change refused, and goes on as a new incarnation', async () => {
    const [a, b] = [await cluster.add('a', { leaseMs: 1_000 }, 'unknown'), await cluster.add('b', { leaseMs: 1_000 }, 'unknown')];
    const [idle, busy] = [await cluster.session(a), await cluster.session(a)];
    const session = await found(a.manager.findSession(busy));
    increment(session);
    const { incarnation } = a.manager.health();
    cluster.kill(a, 'a');
    await cluster.within(5_000, b.manager.update([idle, busy], (...both) => { for (const each of both) each.set('n', 10); }));
    a.table.behave();
    for (const id of [idle, busy]) {
      const snapshot = await cluster.within(3_000, found(a.manager.findSession(id, { access: 'snapshot' })));
      expect(snapshot.get('n')).toBe(10);
    }
    expect((await cluster.failure(3_000, a.manager.sendSession(session))).code).toBe('CLUSTER_FENCED');
    await cluster.clock.advance(3_000);
    expect(a.manager.health().incarnation).not.toBe(incarnation);
    expect(eventsOf(a, 'lapsed')).toEqual([{ incarnation, next: a.manager.health().incarnation, held: 0 }]);
    await cluster.within(3_000, a.manager.update(busy, increment));
    expect(await cluster.stored(busy)).toEqual({ n: 11 });
  });
});

describe('bad arguments', () => {
  it('are named', async () => {
    const a = await cluster.add('a');
    for (const id of ['', 'x'.repeat(513), 5, undefined, null, {}]) {
      expect((await cluster.failure(1, a.manager.findSession(id as never))).code).toBe('CLUSTER_BAD_OPTION');
      expect((await cluster.failure(1, a.manager.removeSession(id as never))).code).toBe('CLUSTER_BAD_OPTION');
    }
    expect((await cluster.failure(1, a.manager.findSession('x', { access: 'none' as never }))).message).toContain("'none'");
    for (const waitMs of [-1, NaN, Infinity]) expect((await cluster.failure(1, a.manager.findSession('x', { waitMs }))).message).toContain('waitMs');
    expect(await a.manager.findSession('../../etc/passwd')).toBe(undefined);
    expect(a.table.took()).toBe('acquire');
  });
});

describe('events', () => {
  it('that a listener throws at do not reach the engine', async () => {
    const a = await cluster.add('a');
    const b = await cluster.add('b');
    const id = await cluster.session(a);
    const thrown: unknown[] = [];
    const nextTick = jest.spyOn(process, 'nextTick').mockImplementation((callback) => {
      try {
        Reflect.apply(callback, undefined, []);
      } catch (error) {
        thrown.push(error);
      }
    });
    const listener = () => { throw new Error('listener'); };
    a.manager.on('handover', listener);
    const updated = b.manager.update(id, increment);
    for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
    nextTick.mockRestore();
    await cluster.within(500, updated);
    expect(thrown).toEqual([new Error('listener')]);
    a.manager.off('handover', listener);
    await cluster.within(500, a.manager.update(id, increment));
    expect(await cluster.stored(id)).toEqual({ n: 2 });
  });

  it('never show an id', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    await cluster.within(500, b.manager.update(id, increment));
    const snapshot = await found(cluster.within(100, a.manager.findSession(id, { access: 'snapshot' })));
    increment(snapshot);
    await cluster.within(100, b.manager.removeSession(id));
    await cluster.within(100, a.manager.sendSession(snapshot));
    const shown = JSON.stringify([a.events, b.events]);
    expect(a.events.length + b.events.length).toBeGreaterThanOrEqual(2);
    expect(shown).not.toContain(id);
    expect(shown).not.toContain(keyOf(id));
  });
});

describe('health', () => {
  it('counts what is held, runs and waits, and every call', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a, { text: 'xxxx' });
    const session = await found(a.manager.findSession(id));
    const waiting = a.manager.findSession(id);
    await cluster.clock.advance(0);
    expect(a.manager.health()).toMatchObject({
      status: 'up', store: 'up', listening: true, held: 1, running: 1, waiting: 1, inMemory: { sessions: 1, bytes: 10 }, storeCalls: { create: 2 },
    });
    await a.manager.releaseSession(session);
    await a.manager.releaseSession(await found(waiting));
    expect(a.manager.health()).toMatchObject({ running: 0, waiting: 0 });
  });
});

it('two managers over memory stores that share a space lose no update', async () => {
  const clock = Clock.manual();
  const storeA = new MemoryStore({ clock });
  const managers = [storeA, new MemoryStore({ shareWith: storeA })].map((store) => new DistributedManager(store, { clock, affinity: 'keep' }));
  const [a, b] = managers as [DistributedManager, DistributedManager];
  const session = a.createSession();
  session.set('n', 0);
  await a.sendSession(session);
  const updates = Promise.all(Array.from({ length: 60 }, (_, turn) => (turn % 2 === 0 ? a : b).update(session.id, increment)));
  const state = { isDone: false };
  void updates.then(() => { state.isDone = true; });
  for (let ms = 0; !state.isDone && ms < 5_000; ms += 1) await clock.advance(1);
  await updates;
  const result = await found(a.findSession(session.id, { access: 'snapshot' }));
  expect(result.get('n')).toBe(60);
  const stopped = Promise.all([a.stop(), b.stop()]);
  await clock.advance(100);
  await stopped;
});

it('a new session that cannot be stored is given up after storeTimeoutMs, whatever others may wait for', async () => {
  const a = await cluster.add('a', { lockTimeoutMs: 15_000, storeTimeoutMs: 500 });
  await cluster.session(a);
  for (const fate of [callLost, hangs]) {
    a.table.always('create', fate);
    const fresh = a.manager.createSession();
    fresh.set('n', 1);
    const error = await cluster.failure(600, a.manager.sendSession(fresh));
    expect(error).toMatchObject({ code: 'CLUSTER_UNKNOWN_OUTCOME', message: fate === hangs ? expect.stringContaining("did not answer 'create' within 500 ms") : "the store failed in 'create'" });
  }
});

it('a store that refuses everything or hangs leaves no request without an answer', async () => {
  const a = await cluster.add('a', { lockTimeoutMs: 500, storeTimeoutMs: 500 });
  const id = await cluster.session(a);
  for (const fate of [refusedByStore, callLost, hangs]) {
    for (const method of ['acquire', 'create', 'commit', 'remove', 'read', 'touch', 'beat', 'lapse', 'signal'] as const) a.table.always(method, fate);
    const fresh = a.manager.createSession();
    fresh.set('n', 1);
    const asked = [
      a.manager.update(id, increment), a.manager.findSession('unknown', { access: 'snapshot' }), a.manager.sendSession(fresh),
      a.manager.removeSession(id), a.manager.findSession('other'),
    ];
    const outcomes = await cluster.within(2_200, Promise.allSettled(asked));
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected', 'rejected', 'rejected']);
    for (const outcome of outcomes) expect(Reflect.get(Reflect.get(outcome, 'reason') as object, 'code')).toMatch(/UNAVAILABLE|UNKNOWN_OUTCOME|LOCKED/);
  }
  a.table.behave();
  await cluster.within(5_000, a.manager.update(id, increment));
  expect(await cluster.stored(id)).toEqual({ n: 1 });
});

import { afterEach, describe, it, expect } from '@jest/globals';
import { callLost, Cluster, found, Gate, increment } from './cluster.js';

let cluster = new Cluster();
afterEach(async () => {
  await cluster.stop();
  cluster = new Cluster();
});

/** The timers of the cluster's clock that have neither fired nor been cancelled. */
function openTimers(): ReadonlySet<object> {
  const open = new Set<object>();
  const { timer } = cluster.clock;
  Object.assign(cluster.clock, {
    timer: (callback: () => void, ms: number) => {
      const entry = {};
      open.add(entry);
      const cancel = timer(() => { open.delete(entry); callback(); }, ms);
      return () => { open.delete(entry); cancel(); };
    },
  });
  return open;
}

describe('stop', () => {
  it('leaves nothing: no lock, no lease, no timer, no listener', async () => {
    const open = openTimers();
    const a = await cluster.add('a');
    const ids = [await cluster.session(a), await cluster.session(a)];
    await a.manager.update(ids[0] ?? '', increment);
    await cluster.clock.advance(500);
    await cluster.within(100, a.manager.stop());
    await cluster.clock.advance(0);
    expect(open.size).toBe(0);
    expect([await cluster.holder(ids[0] ?? ''), await cluster.holder(ids[1] ?? '')]).toEqual([undefined, undefined]);
    expect(cluster.space.listeners.size).toBe(0);
    expect(a.manager.health().status).toBe('stopped');
    a.table.calls = [];
    await cluster.clock.advance(60_000);
    expect(a.table.calls).toEqual([]);
  });

  it('waits for requests that run and for those that wait here; others take over at once', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    const waiting = a.manager.update(id, increment);
    const stopped = a.manager.stop();
    expect((await cluster.failure(1, a.manager.findSession(id))).code).toBe('CLUSTER_STOPPED');
    await cluster.clock.advance(1_000);
    expect(a.manager.health().status).toBe('draining');
    increment(session);
    await a.manager.sendSession(session);
    await cluster.within(100, Promise.all([waiting, stopped]));
    expect(await cluster.stored(id)).toEqual({ n: 2 });
    await cluster.within(1, b.manager.update(id, increment));
  });

  it('lets requests that run change the id of their session and remove another one', async () => {
    const a = await cluster.add('a');
    const [id, other] = [await cluster.session(a), await cluster.session(a)];
    const session = await found(a.manager.findSession(id));
    const stopped = a.manager.stop();
    await cluster.clock.advance(100);
    expect(await cluster.within(100, a.manager.removeSession(other))).toBe('confirmed');
    const moved = await cluster.within(100, a.manager.changeSessionId(session));
    increment(moved);
    await cluster.within(100, a.manager.sendSession(moved));
    await cluster.within(100, stopped);
    expect([await cluster.stored(moved.id), await cluster.holder(moved.id)]).toEqual([{ n: 1 }, undefined]);
  });

  it('waits for requests that wait for another instance, and has them served', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    const waiting = b.manager.update(id, increment);
    await cluster.clock.advance(100);
    const stopped = b.manager.stop();
    await cluster.clock.advance(100);
    await a.manager.sendSession(session);
    await cluster.within(300, waiting);
    await cluster.within(300, stopped);
    expect(await cluster.stored(id)).toEqual({ n: 1 });
  });

  it('ends within its bound where a request never ends, whose send is refused; others take over', async () => {
    const open = openTimers();
    const [a, b] = [await cluster.add('a', { lockTimeoutMs: 1_000, storeTimeoutMs: 500 }), await cluster.add('b')];
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    const other = await cluster.session(b);
    const taken = await found(b.manager.findSession(other));
    const waiting = [id, other].map((each) => cluster.failure(2_000, a.manager.findSession(each, { waitMs: 60_000 })));
    await cluster.within(1_600, a.manager.stop());
    expect((await Promise.all(waiting)).map(({ code }) => code)).toEqual(['CLUSTER_STOPPED', 'CLUSTER_STOPPED']);
    await b.manager.releaseSession(taken);
    expect((await cluster.failure(1, a.manager.sendSession(session))).code).toBe('CLUSTER_STOPPED');
    await cluster.within(1, b.manager.update(id, increment));
    await cluster.within(100, b.manager.stop());
    expect(open.size).toBe(0);
  });

  it('ends every status, also where the store fails', async () => {
    const a = await cluster.add('a');
    await cluster.session(a);
    for (const method of ['commit', 'lapse', 'touch'] as const) a.table.always(method, callLost);
    await cluster.within(100, a.manager.stop().catch(() => undefined));
    expect(a.manager.health().status).toBe('stopped');
  });

  it('before a start needs no store, and no start follows', async () => {
    const a = cluster.make('a');
    await a.manager.stop();
    expect(a.table.calls).toEqual([]);
    expect((await cluster.failure(1, a.manager.start())).code).toBe('CLUSTER_STOPPED');
    expect((await cluster.failure(1, a.manager.findSession('x'))).code).toBe('CLUSTER_STOPPED');
  });

  it('during a start ends it', async () => {
    const a = cluster.make('a');
    const gate = new Gate();
    a.table.next('beat', gate.fate);
    const started = a.manager.start();
    const stopped = a.manager.stop();
    gate.open();
    await cluster.within(10, Promise.all([started, stopped]));
    expect(cluster.space.listeners.size).toBe(0);
  });

  it('does not wait for a start that hangs: the store is stopped, and again if it started after all', async () => {
    const a = cluster.make('a', { storeTimeoutMs: 500 });
    const gate = new Gate();
    a.table.next('beat', gate.fate);
    const started = a.manager.start().catch((error: unknown) => error);
    await cluster.within(600, a.manager.stop());
    expect(a.manager.health().status).toBe('stopped');
    gate.open();
    await cluster.within(100, started);
    await cluster.clock.advance(60_000);
    expect([a.manager.health().status, cluster.space.listeners.size]).toEqual(['stopped', 0]);
    const calls = a.table.calls.length;
    await cluster.clock.advance(60_000);
    expect(a.table.calls.length).toBe(calls);
  });

  it('has a session stored that was begun before it, while it waits for others', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const running = await found(cluster.within(10, a.manager.findSession(await cluster.session(a))));
    const login = a.manager.createSession();
    login.set('n', 1);
    const stopped = a.manager.stop();
    await cluster.clock.advance(10);
    await cluster.within(10, a.manager.sendSession(login));
    await cluster.within(10, a.manager.sendSession(running));
    await cluster.within(100, stopped);
    await cluster.within(100, b.manager.update(login.id, increment));
    expect(await cluster.stored(login.id)).toEqual({ n: 2 });
  });

  it('may be asked twice, and comes with await using', async () => {
    const a = await cluster.add('a');
    await cluster.within(100, Promise.all([a.manager.stop(), a.manager.stop(), a.manager[Symbol.asyncDispose]()]));
    expect(a.table.count('lapse')).toBe(1);
  });
});

import { afterEach, describe, it, expect } from '@jest/globals';
import { Cluster, eventsOf, found, Gate, increment, keyOf, type Instance } from './cluster.js';

let cluster = new Cluster();
afterEach(async () => {
  await cluster.stop();
  cluster = new Cluster();
});

/** Finds on each instance in turn, 10 ms apart; who gets the session appends its name to `order`, adds one and sends. */
function queue(id: string, names: readonly (readonly [Instance, string])[], order: string[]) {
  return Promise.all(names.map(async ([{ manager }, name], place) => {
    await new Promise<void>((resolve) => { cluster.clock.timer(resolve, place * 10); });
    const session = await found(manager.findSession(id));
    order.push(name);
    increment(session);
    await manager.sendSession(session);
  }));
}

describe('the queue', () => {
  it('is first in first out on one instance', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const order: string[] = [];
    await cluster.within(1_000, queue(id, [[a, '1'], [a, '2'], [a, '3'], [a, '4']], order));
    expect(order).toEqual(['1', '2', '3', '4']);
  });

  it('goes by waiting time across instances, is passed on with the session, and nobody polls for it', async () => {
    const [a, b, c] = [await cluster.add('a'), await cluster.add('b'), await cluster.add('c')];
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    const order: string[] = [];
    const queued = queue(id, [[b, 'b1'], [c, 'c1'], [a, 'a1'], [b, 'b2'], [c, 'c2'], [a, 'a2']], order);
    await cluster.clock.advance(1_000);
    for (const { table } of [a, b, c]) table.calls = [];
    increment(session);
    await a.manager.sendSession(session);
    await cluster.within(5, queued);
    expect(order).toEqual(['b1', 'c1', 'a1', 'b2', 'c2', 'a2']);
    expect(await cluster.stored(id)).toEqual({ n: 7 });
    // Two visits each, and one acquire for each: the claim that was passed on waits to be woken.
    expect([a, b, c].map(({ table }) => table.count('acquire'))).toEqual([2, 2, 2]);
    expect(eventsOf(b, 'handover').map((event) => Reflect.get(event, 'direction') as string)).toEqual(['in', 'out', 'in', 'out']);
  });

  it('still moves when every signal is lost', async () => {
    const [a, b, c] = [await cluster.add('a'), await cluster.add('b'), await cluster.add('c')];
    const id = await cluster.session(a);
    for (const { table } of [a, b, c]) table.answersSignals = () => true;
    const order: string[] = [];
    await cluster.within(5_000, queue(id, [[a, 'a'], [b, 'b'], [c, 'c'], [a, 'a'], [b, 'b']], order));
    expect(order.length).toBe(5);
    expect(await cluster.stored(id)).toEqual({ n: 5 });
  });

  it('still moves when a session is held idle and the revoke is lost', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    let lost = 0;
    b.table.answersSignals = (instance) => (instance === 'a' && lost++ < 3 ? true : undefined);
    await cluster.within(500, b.manager.update(id, increment));
    expect(lost).toBeGreaterThan(3);
  });

  it('refuses the one too many at once, and the abort of one makes room', async () => {
    const a = await cluster.add('a', { maxWaiting: 2 });
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    const abort = new AbortController();
    const first = a.manager.findSession(id, { signal: abort.signal });
    const second = a.manager.findSession(id);
    expect((await cluster.failure(1, a.manager.findSession(id))).code).toBe('CLUSTER_QUEUE_FULL');
    abort.abort();
    await expect(first).rejects.toMatchObject({ name: 'AbortError' });
    const third = a.manager.findSession(id);
    await a.manager.sendSession(session);
    await a.manager.sendSession(await found(second));
    await a.manager.sendSession(await found(third));
    expect(a.manager.health()).toMatchObject({ waiting: 0, running: 0 });
  });

  it('on one instance names who has the session when the wait is over', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id, { label: 'POST /a' }));
    expect((await cluster.failure(1, a.manager.findSession(id, { waitMs: 0 }))).message).toContain("'POST /a'");
    const error = await cluster.failure(101, a.manager.findSession(id, { waitMs: 100 }));
    expect(error.code).toBe('CLUSTER_LOCKED');
    expect(error.message).toMatch(/'POST \/a' on this instance since 100 ms; waited 100 ms/);
    await a.manager.sendSession(session);
  });
});

describe('a grant that its receiver no longer wants', () => {
  it('is passed on to who waits next', async () => {
    const [a, b, c] = [await cluster.add('a'), await cluster.add('b'), await cluster.add('c')];
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    const givenUp = cluster.failure(200, b.manager.findSession(id, { waitMs: 50 }));
    await cluster.clock.advance(5);
    const waiting = c.manager.findSession(id);
    expect((await givenUp).code).toBe('CLUSTER_LOCKED');
    increment(session);
    await a.manager.sendSession(session);
    const next = await found(cluster.within(3, waiting));
    await c.manager.sendSession(next);
  });

  it('is released where nobody else waits', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    await cluster.failure(200, b.manager.findSession(id, { waitMs: 50 }));
    await a.manager.sendSession(session);
    await cluster.clock.advance(1);
    expect(await cluster.holder(id)).toBe(undefined);
    expect([a, b].map(({ manager }) => manager.health().held)).toEqual([0, 0]);
  });
});

describe('where signals do not arrive in time', () => {
  it('a session is not handed to one that may wait no more, and goes to whoever asks next', async () => {
    const [a, b, c] = [await cluster.add('a'), await cluster.add('b'), await cluster.add('c')];
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    await cluster.failure(200, b.manager.findSession(id, { waitMs: 50 }));
    for (const { table } of [a, b, c]) table.answersSignals = () => true;
    await cluster.clock.advance(2_000);
    increment(session);
    await a.manager.sendSession(session);
    expect(await cluster.holder(id)).toBe(undefined);
    await cluster.within(5, c.manager.update(id, increment));
    expect(await cluster.stored(id)).toEqual({ n: 2 });
  });

  it('requests of the instance that has a session do not keep it from those who waited longer', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    const order: string[] = [];
    const waiting = b.manager.update(id, () => { order.push('b'); });
    await cluster.clock.advance(10);
    for (const { table } of [a, b]) table.answersSignals = () => true;
    await cluster.clock.advance(2_000);
    const later = a.manager.update(id, () => { order.push('a'); });
    await cluster.clock.advance(1);
    await a.manager.sendSession(session);
    await cluster.within(1_000, Promise.all([waiting, later]));
    expect(order).toEqual(['b', 'a']);
  });
});

describe('a message', () => {
  it('that this version does not know is ignored, with a warning', async () => {
    const a = await cluster.add('a');
    for (const message of ['', 'null', '{"type":"dance"}', '[1]', '"revoke"']) cluster.space.listeners.get('a')?.(message);
    expect(eventsOf(a, 'warning').length).toBe(5);
  });

  it('of a known type that is incomplete breaks nothing', async () => {
    const a = await cluster.add('a');
    for (const type of ['revoke', 'held', 'handover', 'removed', 'confirmed', 'not-me', 'test']) {
      expect(() => cluster.space.listeners.get('a')?.(JSON.stringify({ type }))).not.toThrow();
    }
    const id = await cluster.session(a);
    await a.manager.update(id, increment);
    expect(await cluster.stored(id)).toEqual({ n: 1 });
  });

  it('fits into its 7,500 bytes, however long a label is', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id, { label: `GET /${'ü'.repeat(20_000)}` }));
    await cluster.failure(300, b.manager.findSession(id, { waitMs: 50 }));
    expect(Math.max(...b.table.heard.map((message) => Buffer.byteLength(message)))).toBeLessThanOrEqual(7_500);
    expect(b.table.heard.some((message) => message.includes('"held"'))).toBe(true);
    await a.manager.sendSession(session);
  });
});

describe('forced removal', () => {
  it('is confirmed at once where nobody holds the session, or this instance does', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b', { affinity: 'release' })];
    expect(await a.manager.removeSession('nobody')).toBe('confirmed');
    expect(await a.manager.removeSession(await cluster.session(a))).toBe('confirmed');
    expect(await a.manager.removeSession(await cluster.session(b))).toBe('confirmed');
    expect(a.table.count('signal')).toBe(0);
  });

  it('is confirmed by the holder, which serves nothing of it any more', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    expect(await cluster.within(1, b.manager.removeSession(id))).toBe('confirmed');
    expect(await a.manager.findSession(id, { access: 'snapshot' })).toBe(undefined);
    expect(await a.manager.findSession(id)).toBe(undefined);
    expect(a.manager.health()).toMatchObject({ held: 0, inMemory: { sessions: 0, bytes: 0 } });
  });

  it('is confirmed to each of two who ask at once', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    let lost = 0;
    b.table.answersSignals = (instance) => (instance === 'a' && lost++ < 4 ? true : undefined);
    const removed = Promise.all([b.manager.removeSession(id), b.manager.removeSession(id)]);
    expect(await cluster.within(300, removed)).toEqual(['confirmed', 'confirmed']);
  });

  it('is confirmed where the holder has died', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    cluster.kill(a, 'a');
    expect(await cluster.within(10, b.manager.removeSession(id))).toBe('confirmed');
  });

  it('is unconfirmed where the holder does not answer, within storeTimeoutMs; its next look at the store ends the session there', async () => {
    const options = { idleTimeoutMs: 60_000 };
    const [a, b] = [await cluster.add('a', options), await cluster.add('b', options)];
    const id = await cluster.session(a);
    b.table.answersSignals = (instance) => (instance === 'a' ? true : undefined);
    expect(await cluster.within(2_100, b.manager.removeSession(id))).toBe('unconfirmed');
    let last = 0;
    for (let second = 1; second <= 20; second += 1) {
      if (await cluster.within(100, a.manager.findSession(id, { access: 'snapshot' })) !== undefined) last = second;
      await cluster.clock.advance(1_000);
    }
    // The first look asks the store, which denies it.
    expect(last).toBe(0);
    expect(a.manager.health().held).toBe(0);
  });

  it('is learned from the next touch by an instance that reads from memory and hears nothing of it', async () => {
    const options = { idleTimeoutMs: 60_000 };
    const [a, b] = [await cluster.add('a', options), await cluster.add('b', options)];
    const id = await cluster.session(a);
    const isServed = async () => await cluster.within(100, a.manager.findSession(id, { access: 'snapshot' })) !== undefined;
    await isServed();
    await cluster.clock.advance(1);
    b.table.answersSignals = (instance) => (instance === 'a' ? true : undefined);
    const removed = b.manager.removeSession(id);
    let servedMs = 0;
    for (const begun = cluster.clock.monotonicMs(); await isServed(); servedMs = cluster.clock.monotonicMs() - begun) await cluster.clock.advance(20);
    expect(await removed).toBe('unconfirmed');
    // The touch window of 6 s, and a second until the batch leaves.
    expect(servedMs).toBeGreaterThan(2_000);
    expect(servedMs).toBeLessThanOrEqual(7_100);
  });

  it('reports moved where the session goes on under another id', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    const moved = await a.manager.changeSessionId(await found(a.manager.findSession(id)));
    await a.manager.sendSession(moved);
    expect(await b.manager.removeSession(id)).toBe('moved');
    expect(await cluster.stored(moved.id)).toEqual({ n: 0 });
  });

  it('is not undone by a late commit, touch or create', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    const gate = new Gate();
    a.table.next('commit', gate.fate);
    const updated = a.manager.update(id, increment).catch((error: unknown) => error);
    await cluster.clock.advance(1);
    const removed = b.manager.removeSession(id);
    await cluster.clock.advance(1);
    gate.open();
    expect(await cluster.within(100, updated)).toMatchObject({ code: 'CLUSTER_SESSION_ENDED' });
    expect(await cluster.within(100, removed)).toBe('confirmed');
    await a.table.touch(new Map([[keyOf(id), 60_000]]));
    expect(await cluster.stored(id)).toBe(undefined);
  });

  it('leaves no timer behind that keeps a process', async () => {
    const awaited = new Set<object>();
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    const { timer } = cluster.clock;
    Object.assign(cluster.clock, {
      timer: (callback: () => void, ms: number, isAwaited?: boolean) => {
        const entry = {};
        if (isAwaited === true) awaited.add(entry);
        const cancel = timer(() => { awaited.delete(entry); callback(); }, ms, isAwaited);
        return () => { awaited.delete(entry); cancel(); };
      },
    });
    const gate = new Gate();
    b.table.next('lapse', gate.afterwards);
    const removed = b.manager.removeSession(id);
    await cluster.clock.advance(0);
    gate.open();
    await cluster.within(1, removed);
    expect(awaited.size).toBe(0);
    Object.assign(cluster.clock, { timer });
  });
});

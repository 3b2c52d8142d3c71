import { afterEach, describe, it, expect } from '@jest/globals';
import { answerLost, callLost, Cluster, eventsOf, found, Gate, hangs, increment, keyOf, Late, refusedByStore } from './cluster.js';

let cluster = new Cluster();
afterEach(async () => {
  await cluster.stop();
  cluster = new Cluster();
});

const slow = { leaseMs: 10_000, storeTimeoutMs: 1_000 };

describe('a find', () => {
  it('with waitMs 0 fails at once where another instance uses the session; the error names holder, label and time', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id, { label: 'POST /cart' }));
    await cluster.clock.advance(40);
    expect((await cluster.failure(1, b.manager.findSession(id, { waitMs: 0 }))).code).toBe('CLUSTER_LOCKED');
    const error = await cluster.failure(300, b.manager.findSession(id, { waitMs: 100 }));
    expect(error).toMatchObject({ code: 'CLUSTER_LOCKED', status: 503, headers: { 'Retry-After': '1' } });
    expect(error.message).toContain(`instance ${String(a.manager.health().incarnation)} for 'POST /cart' since `);
    expect(error.message).toContain('waited 100 ms');
    expect(error.message).not.toContain(id);
    await a.manager.sendSession(session);
  });

  it('fails at the deadline, not before, and polls meanwhile at most after 25, 50, 100, then every 200 ms', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    const waiting = cluster.failure(2_100, b.manager.findSession(id, { waitMs: 2_000 }));
    await cluster.clock.advance(1_995);
    expect(b.manager.health()).toMatchObject({ waiting: 1, running: 0 });
    // ±25 % of 200 ms: between 8 and 13 in two seconds, and 3 to begin with.
    const polls = b.table.count('acquire');
    expect(polls).toBeGreaterThanOrEqual(8);
    expect(polls).toBeLessThanOrEqual(17);
    expect((await waiting).code).toBe('CLUSTER_LOCKED');
    expect(b.manager.health().waiting).toBe(0);
    await a.manager.sendSession(session);
  });

  it('is given up by its signal, and the grant that was on its way goes to who waits', async () => {
    const [a, b, c] = [await cluster.add('a'), await cluster.add('b'), await cluster.add('c')];
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    const abort = new AbortController();
    const given = b.manager.findSession(id, { signal: abort.signal });
    await cluster.clock.advance(5);
    const waiting = c.manager.findSession(id);
    await cluster.clock.advance(5);
    abort.abort(new Error('client left'));
    await expect(cluster.within(10, given)).rejects.toThrow('client left');
    await a.manager.sendSession(session);
    const next = await found(cluster.within(10, waiting)); // without a poll in between
    await c.manager.sendSession(next);
    await expect(b.manager.findSession(id, { signal: abort.signal })).rejects.toThrow('client left');
  });

  for (const [fate, what] of [[hangs, 'does not answer'], [callLost, 'fails']] as const) {
    it(`ends within its wait and storeTimeoutMs where the store ${what}`, async () => {
      const a = await cluster.add('a', slow);
      const id = await cluster.session(a, { n: 0 });
      const b = await cluster.add('b', slow);
      b.table.always('acquire', fate);
      expect((await cluster.failure(1_010, b.manager.findSession(id, { waitMs: 0 }))).code).toBe('CLUSTER_UNAVAILABLE');
      expect((await cluster.failure(1_510, b.manager.findSession(id, { waitMs: 500 }))).code).toBe('CLUSTER_UNAVAILABLE');
      b.table.always('acquire', undefined);
      await cluster.within(2_000, b.manager.update(id, increment));
      expect(await cluster.stored(id)).toEqual({ n: 1 });
    });
  }

  it('fails at once where the store refuses', async () => {
    const a = await cluster.add('a', { affinity: 'release' });
    const id = await cluster.session(a);
    a.table.next('acquire', refusedByStore);
    expect((await cluster.failure(1, a.manager.findSession(id))).message).toBe('the store is read-only');
    await a.manager.update(id, increment);
    expect(await cluster.stored(id)).toEqual({ n: 1 });
  });

  it('is not shown an older copy that a slow snapshot read left meanwhile', async () => {
    const [a, b] = [await cluster.add('a', { affinity: 'release' }), await cluster.add('b', { affinity: 'release' })];
    const id = await cluster.session(b);
    const reading = new Gate();
    a.table.next('read', reading.afterwards);
    const snapshot = a.manager.findSession(id, { access: 'snapshot' });
    await cluster.clock.advance(1);
    await cluster.within(100, b.manager.update(id, increment));
    await cluster.within(100, a.manager.update(id, increment));
    const acquiring = new Gate();
    a.table.next('acquire', acquiring.afterwards);
    const finding = a.manager.findSession(id);
    await cluster.clock.advance(1);
    reading.open();
    await snapshot;
    acquiring.open();
    const session = await found(cluster.within(10, finding));
    expect(session.get('n')).toBe(2);
    increment(session);
    await cluster.within(10, a.manager.sendSession(session));
    expect(await cluster.stored(id)).toEqual({ n: 3 });
  });

  it('does not take a session for empty whose standby copy is dropped meanwhile', async () => {
    const a = await cluster.add('a', { affinity: 'release' });
    const id = await cluster.session(a);
    const acquiring = new Gate();
    a.table.next('acquire', acquiring.afterwards);
    const finding = a.manager.findSession(id);
    await cluster.clock.advance(1);
    a.manager.receive({ id: keyOf(id), attributes: new Map(), ageMs: 0, idleMs: 0, lifetimeMs: 1 });
    acquiring.open();
    const session = await found(cluster.within(10, finding));
    expect({ ...session }).toEqual({ n: 0 });
    await a.manager.sendSession(session);
  });

  it('does not count a standby copy that was dropped', async () => {
    const a = await cluster.add('a', { affinity: 'release' });
    const id = await cluster.session(a);
    expect(a.manager.health().inMemory.sessions).toBe(1);
    a.manager.receive({ id: keyOf(id), attributes: new Map(), ageMs: 0, idleMs: 0, lifetimeMs: 1 });
    expect(a.manager.health().inMemory).toEqual({ sessions: 0, bytes: 0 });
  });
});

describe('an orphan grant', () => {
  it('of an own late acquire is taken from in two calls', async () => {
    const a = await cluster.add('a', { affinity: 'release', ...slow });
    const id = await cluster.session(a);
    const late = new Late();
    a.table.next('acquire', late.fate);
    expect((await cluster.failure(1_010, a.manager.findSession(id, { waitMs: 0 }))).code).toBe('CLUSTER_UNAVAILABLE');
    expect(await late.execute()).toMatchObject({ kind: 'granted' });
    a.table.calls = [];
    await a.manager.update(id, increment);
    expect(a.table.took()).toBe('acquire acquire commit');
    expect(await cluster.stored(id)).toEqual({ n: 1 });
  });

  it('of a late acquire of another instance is released at the first revoke', async () => {
    const [a, b] = [await cluster.add('a', { affinity: 'release', ...slow }), await cluster.add('b')];
    const id = await cluster.session(a);
    const late = new Late();
    a.table.next('acquire', late.fate);
    await cluster.failure(1_010, a.manager.findSession(id, { waitMs: 0 }));
    await late.execute();
    await cluster.within(5, b.manager.update(id, increment));
    expect(await cluster.stored(id)).toEqual({ n: 1 });
  });

  it('is the same grant again where the first answer was lost', async () => {
    const a = await cluster.add('a', { affinity: 'release' });
    const id = await cluster.session(a);
    a.table.next('acquire', answerLost);
    await cluster.within(100, a.manager.update(id, increment));
    expect(a.table.took()).toBe('acquire acquire commit');
  });

  it('of an earlier incarnation of this process is taken from', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    const other = await cluster.session(a);
    b.table.answersSignals = (instance) => (instance === 'a' ? false : undefined);
    await cluster.within(100, b.manager.update(other, increment)); // ends the lease of A
    b.table.answersSignals = undefined;
    await cluster.clock.advance(3_400);
    expect(eventsOf(a, 'lapsed')).toEqual([expect.objectContaining({ held: 2 })]);
    a.table.calls = [];
    await cluster.within(10, a.manager.update(id, increment));
    expect(a.table.took()).toBe('acquire acquire commit');
  });
});

describe('taking over', () => {
  const killed = async (gone: 'dead' | 'disconnected' | 'unknown') => {
    const a = await cluster.add('a', {}, gone);
    const b = await cluster.add('b', {}, gone);
    const id = await cluster.session(a);
    await a.manager.sendSession(await found(a.manager.findSession(id)));
    await cluster.clock.advance(70); // a beat
    cluster.kill(a, 'a');
    return { a, b, id };
  };

  it('from an instance proved dead takes no time', async () => {
    const { b, id } = await killed('dead');
    await cluster.within(1, b.manager.update(id, increment));
    expect(eventsOf(b, 'takeover')).toEqual([expect.objectContaining({ evidence: 'dead' })]);
    expect(b.table.count('signal')).toBeLessThanOrEqual(2);
  });

  it('from a disconnected one takes two asks and 1.25 times its read lease', async () => {
    const { b, id } = await killed('disconnected');
    const updated = b.manager.update(id, increment);
    let isDone = false;
    void updated.then(() => { isDone = true; });
    await cluster.clock.advance(24);
    expect(b.table.count('lapse')).toBe(0);
    await cluster.clock.advance(150);
    expect(isDone).toBe(false);
    await cluster.within(150, updated);
    expect(eventsOf(b, 'takeover')).toEqual([expect.objectContaining({ evidence: 'disconnected' })]);
  });

  it('from a silent one takes its lease', async () => {
    const { b, id } = await killed('unknown');
    const updated = b.manager.update(id, increment);
    let isDone = false;
    void updated.then(() => { isDone = true; });
    await cluster.clock.advance(9_800);
    expect(isDone).toBe(false);
    await cluster.within(700, updated);
    expect(eventsOf(b, 'takeover')).toEqual([expect.objectContaining({ evidence: 'silence' })]);
  });

  it('from a silent one costs no wait for its other sessions', async () => {
    const a = await cluster.add('a', {}, 'unknown');
    const b = await cluster.add('b', {}, 'unknown');
    const [id, other] = [await cluster.session(a), await cluster.session(a)];
    cluster.kill(a, 'a');
    await cluster.within(10_500, b.manager.update(id, increment));
    await cluster.within(1, b.manager.update(other, increment));
    expect(await cluster.stored(other)).toEqual({ n: 1 });
  });

  it('from a disconnected one without a read lease takes 1.25 times what passes between two of its beats', async () => {
    const [a, b] = [await cluster.add('a', { readLeaseMs: 0 }, 'disconnected'), await cluster.add('b', { readLeaseMs: 0 }, 'disconnected')];
    const id = await cluster.session(a);
    cluster.kill(a, 'a');
    const updated = b.manager.update(id, increment);
    let isDone = false;
    void updated.then(() => { isDone = true; });
    await cluster.clock.advance(10_000 / 3);
    expect(isDone).toBe(false);
    await cluster.within(1_100, updated);
    expect(eventsOf(b, 'takeover')).toEqual([expect.objectContaining({ evidence: 'disconnected' })]);
  });

  it.each([200, 0])('does not happen to a holder that beats, whatever a wrong hint says, with a readLeaseMs of %d', async (readLeaseMs) => {
    const a = await cluster.add('a', { readLeaseMs }, 'disconnected');
    const b = await cluster.add('b', { readLeaseMs }, 'disconnected');
    const id = await cluster.session(a);
    b.table.answersSignals = (instance) => (instance === 'a' ? false : undefined);
    const keepsUsing = async () => {
      for (let count = 0; count < 100; count += 1) {
        await cluster.clock.advance(50);
        const session = await found(a.manager.findSession(id));
        increment(session);
        await a.manager.sendSession(session);
      }
    };
    const failure = b.manager.findSession(id, { waitMs: 4_000 }).catch((error: unknown) => error);
    await keepsUsing();
    expect(await failure).toMatchObject({ code: 'CLUSTER_LOCKED' });
    expect(eventsOf(a, 'lapsed')).toEqual([]);
    expect(await cluster.stored(id)).toEqual({ n: 100 });
  });

  it('follows a holder that answers that it is another one', async () => {
    const { a, b, id } = await killed('disconnected');
    const again = cluster.make('a', {}, 'disconnected');
    await again.manager.start();
    expect(again.manager.health().incarnation).not.toBe(a.manager.health().incarnation);
    await cluster.within(400, b.manager.update(id, increment));
    expect(eventsOf(b, 'takeover')).toEqual([expect.objectContaining({ evidence: 'disconnected' })]);
  });
});

describe('an instance with the address of another one', () => {
  it('does not end the lease of that one by saying so, where beats are slow since nothing is heard', async () => {
    const [a, b] = [await cluster.add('a', {}, 'unknown'), await cluster.add('b', {}, 'unknown')];
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    await cluster.add('a', {}, 'unknown'); // hears what is meant for the first
    const waiting = b.manager.update(id, increment);
    await cluster.clock.advance(9_000);
    expect(eventsOf(a, 'lapsed')).toEqual([]);
    increment(session);
    await cluster.within(100, a.manager.sendSession(session));
    await cluster.within(6_000, waiting);
    expect(await cluster.stored(id)).toEqual({ n: 2 });
  });
});

describe('a new incarnation', () => {
  it('takes no session before its lease is acknowledged: nobody could tell it from an ended one', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const [id, other] = [await cluster.session(a), await cluster.session(a)];
    b.table.answersSignals = (instance) => (instance === 'a' ? false : undefined);
    await cluster.within(100, b.manager.update(other, increment)); // ends the lease of A
    b.table.answersSignals = undefined;
    const beating = new Gate();
    await cluster.clock.advance(3_000);
    const before = a.manager.health().incarnation;
    a.table.next('beat', (run) => run(), beating.fate);
    await cluster.clock.advance(400);
    expect(beating.arrived).toBe(true);
    expect(a.manager.health().incarnation).not.toBe(before);
    const updated = a.manager.update(id, increment);
    const fresh = a.manager.createSession();
    fresh.set('n', 1);
    const sent = a.manager.sendSession(fresh);
    await cluster.clock.advance(10);
    expect(await cluster.holder(id)).not.toBe(a.manager.health().incarnation);
    expect(await cluster.holder(fresh.id)).not.toBe(a.manager.health().incarnation);
    beating.open();
    await cluster.within(300, Promise.all([updated, sent]));
    expect(await cluster.stored(id)).toEqual({ n: 1 });
  });
});

import { afterEach, describe, it, expect } from '@jest/globals';
import { answerLost, callLost, Cluster, found, Gate, hangs, increment, Late } from './cluster.js';

let cluster = new Cluster();
afterEach(async () => {
  await cluster.stop();
  cluster = new Cluster();
});

describe('an id change', () => {
  it('takes the change along; the old id is moved, for everybody, and the old handle has ended', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    session.set('user', 7);
    const moved = await a.manager.changeSessionId(session);
    expect(moved.id).not.toBe(id);
    expect({ ...moved }).toEqual({ n: 0, user: 7 });
    expect(() => session.set('n', 1)).toThrow(/moved to another id/);
    increment(moved);
    await a.manager.sendSession(moved);
    expect(await cluster.stored(moved.id)).toEqual({ n: 1, user: 7 });
    for (const { manager } of [a, b]) {
      expect((await cluster.failure(10, manager.findSession(id))).code).toBe('CLUSTER_MOVED');
      expect((await cluster.failure(10, manager.findSession(id, { access: 'snapshot' }))).code).toBe('CLUSTER_MOVED');
    }
    await cluster.within(100, b.manager.update(moved.id, increment));
    expect(await cluster.stored(moved.id)).toEqual({ n: 2, user: 7 });
  });

  it('of a new session that is not stored makes no call', async () => {
    const a = await cluster.add('a');
    const session = a.manager.createSession();
    session.set('n', 1);
    const moved = await a.manager.changeSessionId(session);
    expect(moved.id).not.toBe(session.id);
    expect(a.table.took()).toBe('');
    await a.manager.sendSession(moved);
    expect(await cluster.stored(moved.id)).toEqual({ n: 1 });
    expect(await cluster.stored(session.id)).toBe(undefined);
  });

  it('of a snapshot takes the lock first', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const snapshot = await found(a.manager.findSession(id, { access: 'snapshot' }));
    await a.manager.update(id, increment);
    const moved = await cluster.within(10, a.manager.changeSessionId(snapshot));
    expect(moved.get('n')).toBe(1);
    await a.manager.sendSession(moved);
  });

  it('answers those who wait for the old id here and elsewhere', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    const waiting = [a, a, b].map(({ manager }) => cluster.failure(1_000, manager.findSession(id)));
    await cluster.clock.advance(10);
    const moved = await cluster.within(100, a.manager.changeSessionId(session));
    expect((await Promise.all(waiting)).map(({ code }) => code)).toEqual(['CLUSTER_MOVED', 'CLUSTER_MOVED', 'CLUSTER_MOVED']);
    await a.manager.sendSession(moved);
    expect(a.manager.health()).toMatchObject({ held: 1, running: 0, waiting: 0 });
  });

  for (const [method, fate, what] of [
    ['create', answerLost, 'the answer to its create'], ['create', callLost, 'its create'],
    ['remove', answerLost, 'the answer to its remove'], ['remove', callLost, 'its remove'],
  ] as const) {
    it(`survives that ${what} is lost`, async () => {
      const a = await cluster.add('a');
      const id = await cluster.session(a);
      a.table.next(method, fate, fate);
      const moved = await cluster.within(300, a.manager.changeSessionId(await found(a.manager.findSession(id))));
      increment(moved);
      await a.manager.sendSession(moved);
      expect([await cluster.stored(id), await cluster.stored(moved.id)]).toEqual([undefined, { n: 1 }]);
    });
  }

  it('fails at the deadline where its end stays unknown; nobody gets the new id', async () => {
    const a = await cluster.add('a', { lockTimeoutMs: 500, storeTimeoutMs: 500 });
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    const late = new Late();
    a.table.next('remove', late.fate);
    a.table.always('remove', hangs);
    const error = await cluster.failure(1_600, a.manager.changeSessionId(session));
    expect(error.code).toBe('CLUSTER_UNKNOWN_OUTCOME');
    expect(a.manager.health()).toMatchObject({ held: 0, running: 0 });
    // Until the late one arrives the old id goes on, here under a new grant: then it is refused.
    a.table.always('remove', undefined);
    await cluster.within(100, a.manager.update(id, increment));
    expect(await late.execute()).toEqual({ kind: 'fenced' });
    expect(await cluster.stored(id)).toEqual({ n: 1 });
  });

  it('is undone where the session was removed meanwhile', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    const gate = new Gate();
    a.table.next('remove', gate.fate);
    const moved = cluster.failure(1_000, a.manager.changeSessionId(session));
    await cluster.clock.advance(1);
    const removed = b.manager.removeSession(id);
    await cluster.clock.advance(1);
    gate.open();
    expect((await moved).code).toBe('CLUSTER_SESSION_ENDED');
    expect(await cluster.within(100, removed)).toBe('confirmed');
    const records = [...cluster.space.kept].filter(([key, { value }]) => key.includes('.s.') && value.includes('"kind":"record"'));
    expect(records).toEqual([]);
    expect(a.manager.health()).toMatchObject({ held: 0, running: 0 });
  });

  it('is refused where the lock was lost, and leaves one id alive', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    b.table.answersSignals = (instance) => (instance === 'a' ? false : undefined);
    await cluster.within(100, b.manager.update(id, increment));
    expect((await cluster.failure(100, a.manager.changeSessionId(session))).code).toBe('CLUSTER_FENCED');
    expect(await cluster.stored(id)).toEqual({ n: 1 });
    const records = [...cluster.space.kept].filter(([key, { value }]) => key.includes('.s.') && value.includes('"kind":"record"'));
    expect(records.length).toBe(1);
  });

  it('is refused where the store rolled back, and the old id has again what the store lost', async () => {
    for (const affinity of ['keep', 'release'] as const) {
      const a = await cluster.add(`a-${affinity}`, { affinity });
      const id = await cluster.session(a);
      const session = await found(cluster.within(100, a.manager.findSession(id)));
      const before = cluster.space.save();
      increment(session);
      await cluster.within(100, a.manager.sendSession(session, { release: false }));
      cluster.space.rollBack(before);
      expect(await cluster.failure(100, a.manager.changeSessionId(session))).toMatchObject({ code: 'CLUSTER_FENCED' });
      await cluster.clock.advance(1);
      await cluster.within(100, a.manager.update(id, (again) => { again.set('is', 'used'); }));
      expect(await cluster.stored(id)).toEqual({ n: 1, is: 'used' });
      expect(a.manager.health().running).toBe(0);
      await cluster.within(100, a.manager.removeSession(id));
    }
    const records = [...cluster.space.kept].filter(([key, { value }]) => key.includes('.s.') && value.includes('"kind":"record"'));
    expect(records).toEqual([]);
  });

  it('made late, when its grant has the lock again, leaves what others stored meanwhile', async () => {
    const [a, b] = [await cluster.add('a', { affinity: 'release' }), await cluster.add('b', { affinity: 'release' })];
    const id = await cluster.session(a);
    const late = new Late();
    a.table.next('acquire', (run) => { void late.fate(run); return run(); });
    const session = await found(cluster.within(100, a.manager.findSession(id)));
    b.table.answersSignals = (instance) => (instance === 'a' ? false : undefined);
    await cluster.within(100, b.manager.update(id, increment));
    expect(await late.execute()).toMatchObject({ kind: 'granted' });
    expect((await cluster.failure(100, a.manager.changeSessionId(session))).code).toBe('CLUSTER_FENCED');
    b.table.behave();
    await cluster.within(1_000, b.manager.update(id, increment));
    expect(await cluster.stored(id)).toEqual({ n: 2 });
  });

  it('serves nothing of the old id from memory while its end is on the way', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    const gate = new Gate();
    a.table.next('remove', gate.afterwards);
    const moving = a.manager.changeSessionId(session);
    await cluster.clock.advance(1);
    // The store says moved already, to every other instance.
    expect((await cluster.failure(10, a.manager.findSession(id, { access: 'snapshot' }))).code).toBe('CLUSTER_MOVED');
    gate.open();
    await a.manager.sendSession(await cluster.within(10, moving));
  });

  it('cannot be made twice with one handle', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    const first = a.manager.changeSessionId(session);
    expect((await cluster.failure(10, a.manager.changeSessionId(session))).code).toBe('CLUSTER_SESSION_ENDED');
    await a.manager.sendSession(await cluster.within(10, first));
  });

  it('with an attribute that cannot be encoded changes nothing, and frees the lock', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    session.set('f', () => undefined);
    expect((await cluster.failure(10, a.manager.changeSessionId(session))).code).toBe('CLUSTER_NOT_ENCODABLE');
    await a.manager.update(id, increment, { waitMs: 0 });
    expect(await cluster.stored(id)).toEqual({ n: 1 });
  });
});

import { afterEach, describe, it, expect } from '@jest/globals';
import { answerLost, callLost, Cluster, eventsOf, found, hangs, increment, Late, refusedByStore, type Instance } from './cluster.js';

let cluster = new Cluster();
let a: Instance;
let id = '';

afterEach(async () => {
  await cluster.stop();
  cluster = new Cluster();
});

async function begin(...options: Parameters<Cluster['add']> extends [string, ...infer Rest] ? Rest : never) {
  a = await cluster.add('a', ...options);
  id = await cluster.session(a);
}

describe('a commit whose answer is lost', () => {
  it('is acknowledged once a new grant shows that it was executed', async () => {
    await begin();
    a.table.next('commit', answerLost);
    await cluster.within(100, a.manager.update(id, increment));
    expect(a.table.took()).toBe('commit acquire');
    await a.manager.update(id, increment);
    expect(a.table.took()).toBe('commit');
    expect(await cluster.stored(id)).toEqual({ n: 2 });
  });

  it('is made again where a new grant shows that it was not', async () => {
    await begin();
    a.table.next('commit', callLost);
    await cluster.within(200, a.manager.update(id, increment));
    expect(a.table.took()).toBe('commit acquire commit');
    expect(await cluster.stored(id)).toEqual({ n: 1 });
  });

  it('is fenced when it is executed late', async () => {
    await begin();
    const late = new Late();
    a.table.next('commit', late.fate);
    await cluster.within(3_000, a.manager.update(id, increment));
    await a.manager.update(id, increment);
    expect(await late.execute()).toMatchObject({ kind: 'fenced' });
    expect(await cluster.stored(id)).toEqual({ n: 2 });
  });

  it('is not counted twice where the first was executed after all, and the repeated one is lost', async () => {
    await begin();
    a.table.next('commit', callLost, answerLost);
    await cluster.within(300, a.manager.update(id, increment));
    expect(await cluster.stored(id)).toEqual({ n: 1 });
  });

  it('gives the lock on in a step of its own where it was to be released', async () => {
    await begin({ affinity: 'release' });
    a.table.next('commit', answerLost);
    await cluster.within(100, a.manager.update(id, increment));
    expect(await cluster.stored(id)).toEqual({ n: 1 });
    expect(await cluster.holder(id)).toBe(undefined);
  });

  it('is unknown at the deadline, and the copies are dropped', async () => {
    await begin({ lockTimeoutMs: 1_000, storeTimeoutMs: 500 });
    const session = await found(a.manager.findSession(id));
    increment(session);
    a.table.always('commit', hangs);
    a.table.always('acquire', hangs);
    const error = await cluster.failure(2_100, a.manager.sendSession(session));
    expect(error.code).toBe('CLUSTER_UNKNOWN_OUTCOME');
    expect(a.manager.health()).toMatchObject({ held: 0, running: 0, inMemory: { sessions: 0, bytes: 0 } });
    a.table.always('commit', undefined);
    a.table.always('acquire', undefined);
    await cluster.within(1_000, a.manager.update(id, increment));
    expect(await cluster.stored(id)).toEqual({ n: 1 });
  });

  it('is unknown where somebody else holds the session by now', async () => {
    await begin();
    const b = await cluster.add('b');
    const session = await found(a.manager.findSession(id));
    increment(session);
    const late = new Late();
    a.table.next('commit', late.fate);
    const sent = cluster.failure(3_000, a.manager.sendSession(session));
    await cluster.clock.advance(1);
    // B takes it by force: A's lease is ended under it.
    b.table.answersSignals = (instance) => (instance === 'a' ? false : undefined);
    const taken = await found(cluster.within(500, b.manager.findSession(id)));
    expect((await sent).code).toBe('CLUSTER_UNKNOWN_OUTCOME');
    expect(await late.execute()).toEqual({ kind: 'fenced' });
    increment(taken);
    await b.manager.sendSession(taken);
    expect(await cluster.stored(id)).toEqual({ n: 1 });
  });
});

describe('a store whose writes fail and whose acquires succeed', () => {
  for (const rollback of [false, true]) {
    it(`has the request fail within its bound, without a tight loop, and the session stays usable; the store ${rollback ? 'may' : 'cannot'} roll back`, async () => {
      await begin({ lockTimeoutMs: 1_000, storeTimeoutMs: 500 });
      Object.assign(a.table.capabilities, { rollback });
      a.table.always('commit', callLost);
      const session = await found(a.manager.findSession(id));
      increment(session);
      const error = await cluster.failure(1_600, a.manager.sendSession(session));
      // Only where a revived grant cannot let the late commit through is it certain that nothing was stored.
      expect(error.code).toBe(rollback ? 'CLUSTER_UNKNOWN_OUTCOME' : 'CLUSTER_UNAVAILABLE');
      expect(a.table.count('commit')).toBeLessThan(50);
      a.table.always('commit', undefined);
      await a.manager.update(id, increment);
      expect(await cluster.stored(id)).toEqual({ n: 1 });
    });
  }
});

describe('a store that refuses', () => {
  it('has stored nothing, and the session stays usable', async () => {
    await begin();
    a.table.next('commit', refusedByStore);
    const error = await cluster.failure(100, a.manager.update(id, increment));
    expect(error.code).toBe('CLUSTER_UNAVAILABLE');
    expect(error.message).toBe('the store is read-only');
    expect(a.table.took()).toBe('commit');
    await a.manager.update(id, increment);
    expect(await cluster.stored(id)).toEqual({ n: 1 });
  });

  it('after an unknown outcome proves nothing: the refusal is resolved like it', async () => {
    await begin();
    a.table.next('commit', callLost, refusedByStore);
    await cluster.within(500, a.manager.update(id, increment));
    expect(await cluster.stored(id)).toEqual({ n: 1 });
  });
});

describe('a store that rolled back', () => {
  it('gets whole what it lost, at the next commit', async () => {
    await begin({ readLeaseMs: 0 });
    const before = cluster.space.save();
    await cluster.within(100, a.manager.update(id, (session) => { session.set('kept', 'yes'); }));
    const generation = cluster.space.generation;
    const session = await found(cluster.within(100, a.manager.findSession(id)));
    cluster.space.rollBack(before);
    cluster.space.generation = generation; // nobody has noticed
    increment(session);
    await cluster.within(500, a.manager.sendSession(session));
    expect(await cluster.stored(id)).toEqual({ n: 1, kept: 'yes' });
  });

  it('gets it back before the next use, once a beat has shown another generation', async () => {
    await begin();
    const before = cluster.space.save();
    await a.manager.update(id, (session) => { session.set('kept', 'yes'); });
    cluster.space.rollBack(before);
    await cluster.clock.advance(3_400);
    expect(eventsOf(a, 'generation')).toEqual([{ before: 'g1', after: 'g1+' }]);
    a.table.calls = [];
    const snapshot = await found(cluster.within(100, a.manager.findSession(id, { access: 'snapshot' })));
    expect(a.table.took()).toBe('read');
    expect(snapshot.get('kept')).toBe(undefined);
    const session = await found(cluster.within(100, a.manager.findSession(id)));
    expect(session.get('kept')).toBe('yes');
    expect(a.table.took()).toBe('acquire commit');
    expect(await cluster.stored(id)).toEqual({ n: 0, kept: 'yes' });
    await a.manager.sendSession(session);
  });

  it('gets back what it lost before an idle session is given back', async () => {
    await begin();
    const before = cluster.space.save();
    await a.manager.update(id, (session) => { session.set('kept', 'yes'); });
    cluster.space.rollBack(before);
    await cluster.clock.advance(3_400);
    await cluster.within(100, a.manager.drain());
    expect(await cluster.holder(id)).toBe(undefined);
    expect(await cluster.stored(id)).toEqual({ n: 0, kept: 'yes' });
  });

  it('gets back what it lost before another instance gets the session, also if no beat has shown the rollback yet', async () => {
    await begin();
    const b = await cluster.add('b');
    a.table.always('beat', callLost);
    await cluster.clock.advance(3_400);
    const before = cluster.space.save();
    await cluster.within(500, a.manager.update(id, (session) => { session.set('kept', 'yes'); }));
    cluster.space.rollBack(before);
    await cluster.within(500, b.manager.update(id, increment));
    expect(eventsOf(a, 'generation')).toEqual([]);
    expect(await cluster.stored(id)).toEqual({ n: 1, kept: 'yes' });
  });

  it('gets back what it lost before an idle session is given back while beats fail', async () => {
    await begin();
    a.table.always('beat', callLost);
    await cluster.clock.advance(3_400);
    const before = cluster.space.save();
    await cluster.within(500, a.manager.update(id, (session) => { session.set('kept', 'yes'); }));
    cluster.space.rollBack(before);
    await cluster.within(500, a.manager.drain());
    expect(eventsOf(a, 'generation')).toEqual([]);
    expect(await cluster.holder(id)).toBe(undefined);
    expect(await cluster.stored(id)).toEqual({ n: 0, kept: 'yes' });
  });

  it('behind a lost commit has the change written whole', async () => {
    await begin();
    const before = cluster.space.save();
    await a.manager.update(id, (session) => { session.set('kept', 'yes'); });
    a.table.next('commit', () => {
      cluster.space.rollBack(before);
      return Promise.reject(new Error('connection lost'));
    });
    await cluster.within(300, a.manager.update(id, increment));
    expect(await cluster.stored(id)).toEqual({ n: 1, kept: 'yes' });
  });

  it('to a time without the session ends the request', async () => {
    const empty = cluster.space.save();
    await begin();
    const leases = [...cluster.space.kept].filter(([key]) => !key.includes('.s.'));
    const session = await found(a.manager.findSession(id));
    increment(session);
    cluster.space.rollBack(new Map([...empty, ...leases]));
    const error = await cluster.failure(100, a.manager.sendSession(session));
    expect(error.code).toBe('CLUSTER_FENCED');
    expect(await cluster.within(100, a.manager.findSession(id))).toBe(undefined);
  });

  it('to another content than the one held gives the lock back once', async () => {
    await begin({ affinity: 'release' });
    const b = await cluster.add('b', { affinity: 'release' });
    const first = cluster.space.save();
    await cluster.within(100, b.manager.update(id, (session) => { session.set('n', 5); }));
    await a.manager.sendSession(await found(cluster.within(100, a.manager.findSession(id))));
    const taken = await found(cluster.within(100, a.manager.findSession(id)));
    const second = cluster.space.save(); // A holds what B made
    await cluster.within(100, a.manager.sendSession(taken));
    cluster.space.rollBack(first);
    await cluster.clock.advance(3_400);
    const session = await found(cluster.within(100, a.manager.findSession(id)));
    expect(session.get('n')).toBe(0);
    cluster.space.rollBack(second);
    await cluster.clock.advance(3_400);
    a.table.calls = [];
    await cluster.within(100, a.manager.sendSession(session));
    await cluster.clock.advance(1);
    expect(a.table.took()).toBe('acquire acquire commit');
    expect(await cluster.holder(id)).toBe(undefined);
    expect(await cluster.stored(id)).toEqual({ n: 5 });
  });

  it('and has given the session to another grant meanwhile leaves no phantom behind', async () => {
    await begin();
    const b = await cluster.add('b');
    // While A idles, the store goes to a timeline where B committed something and A holds it again.
    const held = cluster.space.save();
    await cluster.within(500, b.manager.update(id, (session) => { session.set('by', 'b'); }));
    await cluster.within(500, a.manager.update(id, (session) => { session.set('by', 'a'); }));
    cluster.space.rollBack(held);
    await cluster.clock.advance(3_400);
    await cluster.within(2_000, Promise.all([b.manager.update(id, increment), a.manager.update(id, increment), b.manager.update(id, increment)]));
    const { n } = await cluster.stored(id) ?? {};
    expect(n).toBe(3);
    const snapshots = [];
    for (const { manager } of [a, b]) snapshots.push((await found(cluster.within(100, manager.findSession(id, { access: 'snapshot' })))).get('n'));
    expect(snapshots).toEqual([3, 3]);
  });
});

describe('the fence', () => {
  it('refuses the late commit of a lapsed instance; its copies are gone, and it goes on as a new incarnation', async () => {
    await begin();
    const b = await cluster.add('b');
    const before = a.manager.health().incarnation;
    const session = await found(a.manager.findSession(id, { label: 'POST /slow' }));
    increment(session);
    b.table.answersSignals = (instance) => (instance === 'a' ? false : undefined);
    await cluster.within(500, b.manager.update(id, (other) => { other.set('n', 10); }));
    const error = await cluster.failure(500, a.manager.sendSession(session));
    expect(error.code).toBe('CLUSTER_FENCED');
    expect(eventsOf(a, 'fenced')).toEqual([expect.objectContaining({ label: 'POST /slow' })]);
    expect(await cluster.stored(id)).toEqual({ n: 10 });
    await cluster.clock.advance(3_400);
    expect(a.manager.health().incarnation).not.toBe(before);
    b.table.answersSignals = undefined;
    await cluster.within(1_000, a.manager.update(id, increment));
    expect(await cluster.stored(id)).toEqual({ n: 11 });
  });

  it('says that the session has ended where it was removed meanwhile', async () => {
    await begin();
    const b = await cluster.add('b');
    const session = await found(a.manager.findSession(id));
    increment(session);
    a.table.isDeaf = true;
    const removed = cluster.within(3_000, b.manager.removeSession(id));
    await cluster.clock.advance(1);
    const error = await cluster.failure(100, a.manager.sendSession(session));
    expect(error).toMatchObject({ code: 'CLUSTER_SESSION_ENDED', status: 409 });
    expect(await removed).toBe('unconfirmed');
    expect(await cluster.stored(id)).toBe(undefined);
  });
});

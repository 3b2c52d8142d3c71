import { afterEach, describe, it, expect } from '@jest/globals';
import { Cluster, eventsOf, found, Gate, increment } from './cluster.js';

let cluster = new Cluster();
afterEach(async () => {
  await cluster.stop();
  cluster = new Cluster();
});

describe('a handle', () => {
  it('is refused a second send while the first is on its way, and keeps its place until that is answered', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const first = await found(a.manager.findSession(id));
    const next = a.manager.update(id, increment);
    increment(first);
    const gate = new Gate();
    a.table.next('commit', gate.fate);
    const sent = a.manager.sendSession(first);
    const again = await cluster.failure(10, a.manager.sendSession(first));
    expect(again.code).toBe('CLUSTER_SESSION_ENDED');
    await cluster.clock.advance(10);
    expect(a.manager.health().waiting).toBe(1);
    gate.open();
    await cluster.within(100, Promise.all([sent, next]));
    expect(await cluster.stored(id)).toEqual({ n: 2 });
  });

  it('throws at a change after its end, and the send and release of an ended one do no harm', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    await a.manager.sendSession(session);
    expect(() => session.set('n', 5)).toThrow(expect.objectContaining({ code: 'CLUSTER_SESSION_ENDED' }));
    expect(() => session.delete('n')).toThrow(expect.objectContaining({ code: 'CLUSTER_SESSION_ENDED' }));
    expect(session.get('n')).toBe(0);
    const next = await found(a.manager.findSession(id));
    expect((await cluster.failure(10, a.manager.sendSession(session))).code).toBe('CLUSTER_SESSION_ENDED');
    await a.manager.releaseSession(session);
    expect(a.manager.health().running).toBe(1);
    await a.manager.sendSession(next);
  });

  it.each(['exclusive', 'shared', 'snapshot'] as const)('%s: takes no change while its send is on its way, since nobody would publish it', async (access) => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id, { access }));
    increment(session);
    const gate = new Gate();
    a.table.next('commit', gate.fate);
    const sent = a.manager.sendSession(session);
    expect(() => session.set('n', 5)).toThrow(expect.objectContaining({ code: 'CLUSTER_SESSION_ENDED' }));
    gate.open();
    await cluster.within(100, sent);
    expect(await cluster.stored(id)).toEqual({ n: 1 });
  });

  it('takes no change while its release is on its way', async () => {
    const a = await cluster.add('a', { affinity: 'release' });
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    const gate = new Gate();
    a.table.next('commit', gate.fate);
    const released = a.manager.releaseSession(session);
    expect(() => session.set('n', 5)).toThrow(expect.objectContaining({ code: 'CLUSTER_SESSION_ENDED' }));
    gate.open();
    await cluster.within(100, released);
  });

  it('keeps the removal of an attribute that its save is storing for the first time', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const s = await found(a.manager.findSession(id));
    s.set('x', 1);
    const gate = new Gate();
    a.table.next('commit', gate.fate);
    const sent = a.manager.sendSession(s, { release: false });
    await cluster.clock.advance(0);
    s.delete('x');
    gate.open();
    await cluster.within(100, sent);
    await cluster.within(100, a.manager.sendSession(s));
    expect(await cluster.stored(id)).toEqual({ n: 0 });
  });

  it('takes no change while its id is being changed', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    increment(session);
    const gate = new Gate();
    a.table.next('create', gate.fate);
    const moving = a.manager.changeSessionId(session);
    await cluster.clock.advance(0);
    expect(() => session.set('n', 5)).toThrow(expect.objectContaining({ code: 'CLUSTER_SESSION_ENDED' }));
    gate.open();
    const moved = await cluster.within(100, moving);
    expect(moved.get('n')).toBe(1);
    await a.manager.sendSession(moved);
  });

  it('of another manager is refused', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    expect((await cluster.failure(10, b.manager.sendSession(session))).code).toBe('CLUSTER_BAD_OPTION');
    expect((await cluster.failure(10, b.manager.releaseSession(session))).code).toBe('CLUSTER_BAD_OPTION');
    // @ts-expect-error not a handle
    expect((await cluster.failure(10, b.manager.sendSession({ n: 1 }))).code).toBe('CLUSTER_BAD_OPTION');
    await a.manager.sendSession(session);
  });

  it('goes on after a send without release, and what was written meanwhile is sent next time', async () => {
    const a = await cluster.add('a', { affinity: 'release' });
    const id = await cluster.session(a, { n: 0, old: 1, list: [1] });
    const session = await found(a.manager.findSession(id));
    session.set('n', 1);
    const gate = new Gate();
    a.table.next('commit', gate.afterwards);
    const saved = a.manager.sendSession(session, { release: false });
    await cluster.clock.advance(1);
    session.set('n', 2);
    session.delete('old');
    (session.get('list') as number[]).push(2);
    gate.open();
    await saved;
    expect(session.get('n')).toBe(2);
    expect(session.get('old')).toBe(undefined);
    expect(await cluster.stored(id)).toEqual({ n: 1, old: 1, list: [1] });
    await a.manager.sendSession(session);
    expect(await cluster.stored(id)).toEqual({ n: 2, list: [1, 2] });
    expect(await cluster.holder(id)).toBe(undefined);
  });

  it('sends nothing twice after a send without release', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a, { n: 0, list: [1] });
    const session = await found(a.manager.findSession(id));
    session.set('n', 1);
    (session.get('list') as number[]).push(2);
    await a.manager.sendSession(session, { release: false });
    a.table.calls = [];
    await a.manager.sendSession(session);
    expect(a.table.took()).toBe('');
    expect(await cluster.stored(id)).toEqual({ n: 1, list: [1, 2] });
  });

  it('that was a snapshot does not carry what others changed meanwhile back when it is saved and sent', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a, { n: 0, cart: ['x'] });
    const snapshot = await found(a.manager.findSession(id, { access: 'snapshot' }));
    expect(snapshot.get('cart')).toEqual(['x']);
    await a.manager.update(id, (session) => { session.set('cart', ['x', 'y']); });
    snapshot.set('n', 1);
    await cluster.within(100, a.manager.sendSession(snapshot, { release: false }));
    await a.manager.sendSession(snapshot);
    expect(await cluster.stored(id)).toEqual({ n: 1, cart: ['x', 'y'] });
  });

  it('whose session is removed while it is saved leaves its place', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    increment(session);
    const gate = new Gate();
    a.table.next('commit', gate.afterwards);
    const saved = a.manager.sendSession(session, { release: false });
    await cluster.clock.advance(1);
    expect(await cluster.within(100, b.manager.removeSession(id))).toBe('confirmed');
    gate.open();
    await cluster.within(100, saved.catch(() => undefined));
    expect(a.manager.health().running).toBe(0);
    expect(await cluster.within(100, a.manager.findSession(id))).toBe(undefined);
  });

  it('whose session is removed elsewhere ends, and frees its place for those who wait', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    const waiting = a.manager.findSession(id);
    expect(await cluster.within(100, b.manager.removeSession(id))).toBe('confirmed');
    expect(await cluster.within(100, waiting)).toBe(undefined);
    expect(() => session.set('n', 1)).toThrow(expect.objectContaining({ code: 'CLUSTER_SESSION_ENDED' }));
    expect((await cluster.failure(10, a.manager.sendSession(session))).code).toBe('CLUSTER_SESSION_ENDED');
    expect(a.manager.health()).toMatchObject({ running: 0, held: 0, waiting: 0, inMemory: { sessions: 0, bytes: 0 } });
  });

  it('is refused what cannot be encoded, by name, nothing is stored and the lock is free', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    session.set('n', 1);
    session.set('callback', () => undefined);
    const error = await cluster.failure(10, a.manager.sendSession(session));
    expect(error.code).toBe('CLUSTER_NOT_ENCODABLE');
    expect(error.message).toContain("'callback'");
    expect(a.table.took()).toBe('');
    await cluster.within(100, b.manager.update(id, increment, { waitMs: 50 }));
    expect(await cluster.stored(id)).toEqual({ n: 1 });
  });

  it('is refused content beyond maxRecordBytes, the largest attribute named, and the session goes on', async () => {
    const a = await cluster.add('a', { maxRecordBytes: 100 });
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    session.set('small', 'x');
    session.set('big', 'x'.repeat(200));
    const error = await cluster.failure(10, a.manager.sendSession(session));
    expect(error.code).toBe('CLUSTER_TOO_LARGE');
    expect(error.message).toContain("'big'");
    const fresh = a.manager.createSession();
    fresh.set('big', 'x'.repeat(200));
    expect((await cluster.failure(10, a.manager.sendSession(fresh))).code).toBe('CLUSTER_TOO_LARGE');
    await a.manager.update(id, increment);
    expect(await cluster.stored(id)).toEqual({ n: 1 });
    expect(a.manager.health().inMemory.sessions).toBe(1);
  });

  it('shows the committed state again after a reload', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a, { n: 0, list: [1] });
    const session = await found(a.manager.findSession(id));
    session.set('n', 9);
    (session.get('list') as number[]).push(2);
    await a.manager.reloadSession(session);
    expect({ ...session }).toEqual({ n: 0, list: [1] });
    increment(session);
    await a.manager.sendSession(session);
    expect(await cluster.stored(id)).toEqual({ n: 1, list: [1] });
    const snapshot = await found(a.manager.findSession(id, { access: 'snapshot' }));
    await a.manager.update(id, increment);
    await a.manager.reloadSession(snapshot);
    expect(snapshot.get('n')).toBe(2);
  });

  it('drops its changes at a release, and the next one begins from what is stored', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a, { list: [1] });
    const session = await found(a.manager.findSession(id));
    (session.get('list') as number[]).push(2);
    const next = a.manager.findSession(id);
    await a.manager.releaseSession(session);
    const second = await found(cluster.within(10, next));
    expect(second.get('list')).toEqual([1]);
    await a.manager.sendSession(second);
    expect(a.table.took()).toBe('');
  });
});

describe('a snapshot that changes something', () => {
  it('commits as if it had run at that moment where what it saw is untouched', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a, { n: 0, seen: 0 });
    const snapshot = await found(cluster.within(100, b.manager.findSession(id, { access: 'snapshot' })));
    snapshot.set('seen', 1);
    await a.manager.update(id, increment);
    await cluster.within(1_000, b.manager.sendSession(snapshot));
    expect(await cluster.stored(id)).toEqual({ n: 1, seen: 1 });
    expect(eventsOf(b, 'conflict')).toEqual([]);
  });

  const clashes = {
    'an attribute that it read': (session: { get(name: string): unknown; set(name: string, value: unknown): unknown }) => { session.get('n'); session.set('seen', 1); },
    'an attribute that it wrote': (session: { set(name: string, value: unknown): unknown }) => { session.set('n', 9); session.set('seen', 1); },
  };
  for (const [what, change] of Object.entries(clashes)) {
    it(`merges where ${what} changed meanwhile, and reports it`, async () => {
      const a = await cluster.add('a');
      const id = await cluster.session(a, { n: 0, seen: 0, other: 0 });
      const snapshot = await found(a.manager.findSession(id, { access: 'snapshot', label: 'GET /' }));
      change(snapshot);
      await a.manager.update(id, (session) => { session.set('n', 5); session.set('other', 5); });
      await cluster.within(100, a.manager.sendSession(snapshot));
      expect(await cluster.stored(id)).toEqual({ n: what.includes('wrote') ? 9 : 5, seen: 1, other: 5 });
      expect(eventsOf(a, 'conflict')).toEqual([expect.objectContaining({ attributes: ['n'], label: 'GET /', outcome: 'merged' })]);
    });
  }

  it('is refused under onConflict error, nothing stored and the lock free', async () => {
    const a = await cluster.add('a', { onConflict: 'error' });
    const id = await cluster.session(a, { n: 0, seen: 0 });
    const snapshot = await found(a.manager.findSession(id, { access: 'snapshot' }));
    increment(snapshot);
    await a.manager.update(id, increment);
    const error = await cluster.failure(100, a.manager.sendSession(snapshot));
    expect(error).toMatchObject({ code: 'CLUSTER_CONFLICT', status: 409 });
    await a.manager.update(id, increment);
    expect(await cluster.stored(id)).toEqual({ n: 2, seen: 0 });
    expect(eventsOf(a, 'conflict')).toEqual([expect.objectContaining({ attributes: ['n'], outcome: 'refused' })]);
  });

  it('counts what came and went once it has looked at the set of names', async () => {
    const a = await cluster.add('a', { onConflict: 'error' });
    const id = await cluster.session(a, { n: 0, gone: 0 });
    const looked = await found(a.manager.findSession(id, { access: 'snapshot' }));
    looked.set('count', Object.keys(looked).length);
    const blind = await found(a.manager.findSession(id, { access: 'snapshot' }));
    blind.set('blind', 1);
    await a.manager.update(id, (session) => { session.delete('gone'); session.set('come', 1); });
    await cluster.within(100, a.manager.sendSession(blind));
    const error = await cluster.failure(100, a.manager.sendSession(looked));
    expect(error.message).toMatch(/'gone'.*'come'/);
  });

  it('is dropped where the session was removed or moved meanwhile', async () => {
    const a = await cluster.add('a');
    for (const end of ['removed', 'moved'] as const) {
      const id = await cluster.session(a);
      const snapshot = await found(a.manager.findSession(id, { access: 'snapshot' }));
      increment(snapshot);
      if (end === 'removed') await a.manager.removeSession(id);
      else await a.manager.sendSession(await a.manager.changeSessionId(await found(a.manager.findSession(id))));
      await cluster.within(100, a.manager.sendSession(snapshot));
      expect(await cluster.stored(id)).toBe(undefined);
    }
    expect(eventsOf(a, 'conflict')).toEqual([expect.objectContaining({ outcome: 'dropped', attributes: ['n'] }), expect.objectContaining({ outcome: 'dropped' })]);
  });

  it('writes nothing of what is there already', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const snapshot = await found(a.manager.findSession(id, { access: 'snapshot' }));
    increment(snapshot);
    await a.manager.update(id, increment);
    a.table.calls = [];
    await cluster.within(100, a.manager.sendSession(snapshot));
    expect(a.table.took()).toBe('');
  });
});

describe('update', () => {
  it('over several sessions in opposite orders on two instances ends, also while one is idle-held elsewhere', async () => {
    const [a, b, c] = [await cluster.add('a'), await cluster.add('b'), await cluster.add('c')];
    const [x, y] = [await cluster.session(a), await cluster.session(c)];
    const both = (one: Parameters<typeof increment>[0], other: Parameters<typeof increment>[0]) => { increment(one); increment(other); };
    await cluster.within(3_000, Promise.all([0, 1, 2].flatMap(() => [a.manager.update([x, y], both), b.manager.update([y, x], both)])));
    expect([await cluster.stored(x), await cluster.stored(y)]).toEqual([{ n: 6 }, { n: 6 }]);
  });

  it('gives the sessions in the order asked for, a repeated one once more', async () => {
    const a = await cluster.add('a');
    const [x, y] = [await cluster.session(a), await cluster.session(a)];
    expect(await a.manager.update([y, x, y], (...sessions) => sessions.map(({ id }) => id))).toEqual([y, x, y]);
  });

  it('publishes nothing and unlocks everything if the work throws, or if one session is missing', async () => {
    const a = await cluster.add('a');
    const [x, y] = [await cluster.session(a), await cluster.session(a)];
    await expect(a.manager.update([x, y], (session) => {
      increment(session);
      throw new Error('out of stock');
    })).rejects.toThrow('out of stock');
    expect(await a.manager.update([x, 'nobody'], increment)).toBe(undefined);
    expect(a.table.took()).toBe('acquire');
    expect([await cluster.stored(x), await cluster.stored(y)]).toEqual([{ n: 0 }, { n: 0 }]);
    expect(a.manager.health().running).toBe(0);
  });
});

it('a session that is over its absolute time-out is ended when it is found', async () => {
  const a = await cluster.add('a', { absoluteTimeoutMs: 10_000 });
  const id = await cluster.session(a);
  for (let second = 1; second < 10; second += 1) {
    await cluster.clock.advance(1_000);
    expect(await cluster.within(100, a.manager.findSession(id, { access: 'snapshot' }))).toBeDefined();
  }
  await cluster.clock.advance(1_100);
  expect(await cluster.within(100, a.manager.findSession(id))).toBe(undefined);
  expect(await cluster.stored(id)).toBe(undefined);
});

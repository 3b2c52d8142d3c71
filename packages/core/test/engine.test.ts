import { afterEach, describe, it, expect } from '@jest/globals';
import { Cluster, found, increment } from './cluster.js';

describe('calls to the store', () => {
  let cluster = new Cluster();
  afterEach(async () => {
    await cluster.stop();
    cluster = new Cluster();
  });

  it('are none for a held session that does not change', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    await a.manager.sendSession(await found(a.manager.findSession(id)));
    expect(a.table.took()).toBe('');
  });

  it('are one commit for a held session that changes', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    increment(session);
    await a.manager.sendSession(session);
    expect(a.table.took()).toBe('commit');
    expect(await cluster.stored(id)).toEqual({ n: 1 });
  });

  it('are an acquire and a commit where the lock was released', async () => {
    const a = await cluster.add('a', { affinity: 'release' });
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    increment(session);
    await a.manager.sendSession(session);
    expect(a.table.took()).toBe('acquire commit');
    await a.manager.sendSession(await found(a.manager.findSession(id)));
    expect(a.table.took()).toBe('acquire commit');
  });

  it('are none for a snapshot on the holder, one read elsewhere', async () => {
    const a = await cluster.add('a');
    const b = await cluster.add('b');
    const id = await cluster.session(a);
    const here = await found(a.manager.findSession(id, { access: 'snapshot' }));
    expect(here.get('n')).toBe(0);
    await a.manager.sendSession(here);
    expect(a.table.took()).toBe('');
    const there = await found(b.manager.findSession(id, { access: 'snapshot' }));
    expect(there.get('n')).toBe(0);
    await b.manager.sendSession(there);
    expect(b.table.took()).toBe('read');
  });

  it('are one for an unknown id that comes twice within 500 ms', async () => {
    const a = await cluster.add('a');
    expect(await a.manager.findSession('nobody')).toBe(undefined);
    expect(await a.manager.findSession('nobody')).toBe(undefined);
    expect(await a.manager.findSession('nobody', { access: 'snapshot' })).toBe(undefined);
    expect(a.table.took()).toBe('acquire');
    await cluster.clock.advance(500);
    expect(await a.manager.findSession('nobody', { access: 'snapshot' })).toBe(undefined);
    expect(a.table.took()).toBe('read');
  });

  it('are one create for a new session, and none for one without attributes', async () => {
    const a = await cluster.add('a');
    const session = a.manager.createSession();
    session.set('n', 1);
    expect(a.table.took()).toBe('');
    await a.manager.sendSession(session);
    expect(a.table.took()).toBe('create');
    await a.manager.sendSession(a.manager.createSession());
    expect(a.table.took()).toBe('');
  });

  it('are one commit per request while requests of this instance queue, and the lock is not given back in between', async () => {
    const a = await cluster.add('a', { affinity: 'release' });
    const id = await cluster.session(a);
    await cluster.within(1_000, Promise.all(Array.from({ length: 5 }, () => a.manager.update(id, increment))));
    expect(a.table.took()).toBe('acquire commit commit commit commit commit');
    expect(await cluster.stored(id)).toEqual({ n: 5 });
    expect(await cluster.holder(id)).toBe(undefined);
  });

  it('stay two per request while two instances take turns, apart from signals and polls', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    for (const { manager } of [b, a, b, a]) await cluster.within(1_000, manager.update(id, increment));
    expect(await cluster.stored(id)).toEqual({ n: 4 });
    // The holder gives it on in one commit; who asks acquires twice: busy, then granted.
    expect(b.table.took()).toBe('acquire acquire commit commit acquire acquire commit commit');
  });
});

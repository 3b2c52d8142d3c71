import { AsyncLocalStorage } from 'node:async_hooks';
import { afterEach, describe, it, expect } from '@jest/globals';
import { Cluster, found, Gate, increment, refusedByStore } from './cluster.js';

let cluster = new Cluster();
afterEach(async () => {
  await cluster.stop();
  cluster = new Cluster();
});

describe('a find inside of a request that has the session', () => {
  it('gets the handle of the update around it, whose changes it publishes and whose lock it leaves alone', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const seen = await cluster.within(100, a.manager.update(id, async (outer) => {
      increment(outer);
      const inner = await a.manager.update(id, (session) => {
        increment(session);
        return session === outer;
      });
      expect(await cluster.stored(id)).toEqual({ n: 2 });
      expect(a.manager.health().running).toBe(1);
      increment(outer);
      return inner;
    }));
    expect(seen).toBe(true);
    expect(await cluster.stored(id)).toEqual({ n: 3 });
    expect(a.manager.health().running).toBe(0);
  });

  it('by findSession is ended by its own send or release, in any depth', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    await cluster.within(100, a.manager.update(id, async (outer) => {
      const second = await found(a.manager.findSession(id));
      const third = await found(a.manager.findSession(id, { access: 'shared' }));
      expect([second, third]).toEqual([outer, outer]);
      increment(third);
      await a.manager.sendSession(third);
      increment(second);
      await a.manager.releaseSession(second);
      increment(outer);
    }));
    expect(await cluster.stored(id)).toEqual({ n: 3 });
    expect(a.manager.health().running).toBe(0);
    await cluster.within(100, a.manager.update(id, increment));
  });

  it('while the handle around it is being sent waits for one of its own', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id, { reentrant: true }));
    increment(session);
    const gate = new Gate();
    a.table.next('commit', gate.fate);
    const sent = a.manager.sendSession(session);
    const next = a.manager.update(id, (own) => { increment(own); return own === session; });
    gate.open();
    expect(await cluster.within(100, Promise.all([sent, next]))).toEqual([undefined, false]);
    expect(await cluster.stored(id)).toEqual({ n: 2 });
  });

  it('of several sessions gets each of them', async () => {
    const a = await cluster.add('a');
    const ids = [await cluster.session(a), await cluster.session(a)];
    await cluster.within(100, a.manager.update(ids, async (...outer) => {
      for (const id of ids) await a.manager.update(id, increment);
      await a.manager.update([...ids].reverse(), (...inner) => { expect(inner).toEqual([...outer].reverse()); });
    }));
    for (const id of ids) expect(await cluster.stored(id)).toEqual({ n: 1 });
    expect(a.manager.health().running).toBe(0);
  });

  it('with access snapshot sees what is committed', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    await cluster.within(100, a.manager.update(id, async (outer) => {
      increment(outer);
      const snapshot = await found(a.manager.findSession(id, { access: 'snapshot' }));
      expect(snapshot.get('n')).toBe(0);
      await a.manager.releaseSession(snapshot);
    }));
    expect(await cluster.stored(id)).toEqual({ n: 1 });
  });

  it('waits all the same in another context, and after the update has ended', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const elsewhere = new AsyncLocalStorage<string>();
    const handle = await found(a.manager.findSession(id));
    const waiting = elsewhere.run('x', () => a.manager.update(id, increment));
    expect((await cluster.failure(100, a.manager.findSession(id, { waitMs: 50 }))).code).toBe('CLUSTER_LOCKED');
    await a.manager.sendSession(handle);
    await cluster.within(100, waiting);
    let later: (() => Promise<unknown>) | undefined;
    await cluster.within(100, a.manager.update(id, () => { later = AsyncLocalStorage.bind(() => a.manager.update(id, increment)); }));
    await cluster.within(100, later?.() ?? Promise.reject(new Error('not bound')));
    expect(await cluster.stored(id)).toEqual({ n: 2 });
  });

  it('two updates beside each other wait for each other', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    await cluster.within(200, Promise.all([1, 2, 3].map(() => a.manager.update(id, async (session) => {
      const n = Number(session.get('n'));
      await cluster.clock.advance(0);
      session.set('n', n + 1);
    }))));
    expect(await cluster.stored(id)).toEqual({ n: 3 });
  });

  it('fails with the store, and leaves the update around it as it was', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    a.table.next('commit', refusedByStore);
    const failure = await cluster.failure(1000, a.manager.update(id, async () => { await a.manager.update(id, increment); }));
    expect(failure.code).toBe('CLUSTER_UNAVAILABLE');
    expect(a.manager.health().running).toBe(0);
    expect(await cluster.stored(id)).toEqual({ n: 0 });
    await cluster.within(100, a.manager.update(id, increment));
  });

  it('what throws inside gives its hold back', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    await cluster.within(100, a.manager.update(id, async (outer) => {
      await expect(a.manager.update(id, (inner) => { inner.set('half', 1); throw new Error('mine'); })).rejects.toThrow('mine');
      expect(await cluster.stored(id)).toEqual({ n: 0 });
      increment(outer);
    }));
    // The handle is the outer one's, and so is what was changed on it.
    expect(await cluster.stored(id)).toEqual({ n: 1, half: 1 });
    expect(a.manager.health().running).toBe(0);
  });
});

describe('reentrant', () => {
  it('makes later finds of the same context come back, until the handle has ended', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    await new AsyncLocalStorage<number>().run(1, async () => {
      const outer = await found(a.manager.findSession(id, { reentrant: true }));
      await cluster.within(100, a.manager.update(id, increment));
      expect(outer.get('n')).toBe(1);
      await a.manager.sendSession(outer);
      const next = await cluster.within(100, found(a.manager.findSession(id, { reentrant: true })));
      expect(next).not.toBe(outer);
      await a.manager.sendSession(next);
    });
    expect(a.manager.health().running).toBe(0);
  });

  it('begins anew: of two in one context the later waits for the earlier, and what it starts comes back to its own handle', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    await new AsyncLocalStorage<number>().run(1, async () => {
      const first = await found(a.manager.findSession(id, { reentrant: true }));
      const second = found(a.manager.findSession(id, { reentrant: true }));
      await cluster.clock.advance(50);
      expect(a.manager.health()).toMatchObject({ running: 1, waiting: 1 });
      increment(first);
      await a.manager.sendSession(first);
      const session = await cluster.within(100, second);
      expect(session).not.toBe(first);
      await cluster.within(100, a.manager.update(id, (inner) => { expect(inner).toBe(session); increment(inner); }));
      await a.manager.sendSession(session);
    });
    expect(await cluster.stored(id)).toEqual({ n: 2 });
    expect(a.manager.health().running).toBe(0);
  });

  it('finds the session under its new id as well', async () => {
    const a = await cluster.add('a', { lockTimeoutMs: 1000 });
    const id = await cluster.session(a);
    const s = await found(a.manager.findSession(id, { reentrant: true }));
    const next = await cluster.within(100, a.manager.changeSessionId(s));
    await cluster.within(500, a.manager.update(next.id, increment));
    await a.manager.sendSession(next);
  });

  it.each(['snapshot', 'new'] as const)('holds from a save on for a handle that had no lock before: %s', async (kind) => {
    const a = await cluster.add('a', { lockTimeoutMs: 1000 });
    const id = await cluster.session(a);
    await new AsyncLocalStorage<number>().run(1, async () => {
      const handle = kind === 'new' ? a.manager.createSession({ reentrant: true }) : await found(a.manager.findSession(id, { access: 'snapshot', reentrant: true }));
      handle.set('n', 5);
      await cluster.within(100, a.manager.sendSession(handle, { release: false }));
      await cluster.within(100, a.manager.update(handle.id, (inner) => { expect(inner).toBe(handle); increment(inner); }));
      expect(await cluster.stored(handle.id)).toEqual({ n: 6 });
      increment(handle);
      await cluster.within(100, a.manager.sendSession(handle));
      await cluster.within(100, a.manager.update(handle.id, (own) => { expect(own).not.toBe(handle); expect(own.get('n')).toBe(7); }));
    });
    expect(a.manager.health().running).toBe(0);
  });

  it('holds after an id change of a snapshot as well, and leaves an update around it alone', async () => {
    const a = await cluster.add('a', { lockTimeoutMs: 1000 });
    const [id, other] = [await cluster.session(a), await cluster.session(a)];
    await cluster.within(100, a.manager.update(other, async (outer) => {
      const handle = await found(a.manager.findSession(id, { access: 'snapshot', reentrant: true }));
      const next = await a.manager.changeSessionId(handle);
      await a.manager.update(next.id, (inner) => { expect(inner).toBe(next); increment(inner); });
      await a.manager.sendSession(next);
      expect(await cluster.stored(next.id)).toEqual({ n: 1 });
      expect(outer.id).toBe(other);
    }));
  });

  it('gives nothing back after a save that stored nothing, which took no lock', async () => {
    const a = await cluster.add('a', { lockTimeoutMs: 1000 });
    const id = await cluster.session(a);
    await new AsyncLocalStorage<number>().run(1, async () => {
      const handle = await found(a.manager.findSession(id, { access: 'snapshot', reentrant: true }));
      await cluster.within(100, a.manager.sendSession(handle, { release: false }));
      await cluster.within(100, a.manager.update(id, (own) => { expect(own).not.toBe(handle); increment(own); }));
      await cluster.within(100, a.manager.sendSession(handle));
    });
    expect(await cluster.stored(id)).toEqual({ n: 1 });
  });
});

import { afterEach, describe, it, expect } from '@jest/globals';
import type { DistributedManager, FindOptions, Session, SessionSnapshot } from '../src/index.js';
import { found, increment } from './cluster.js';
import { clock, created, HandWritten, make, managers, Shared, WithRead, within } from './hand-written.js';

const after = (ms: number): Promise<void> => new Promise((resolve) => { clock.timer(resolve, ms); });
const codeOf = (error: { readonly code?: unknown }): unknown => error.code;
const rowOf = ({ rows }: Shared) => [...rows.values()][0]!;
const nOf = (shared: Shared): unknown => rowOf(shared).snapshot.attributes.get('n');

/** As a store does whose locks end with a connection. */
const loseLock = (shared: Shared): void => { rowOf(shared).holder = undefined; };

/** Its first find is answered late, or not at all. */
const firstFind = (answer: () => Promise<void>) => {
  let finds = 0;
  return (call: string) => (call.startsWith('find') && finds++ === 0 ? answer() : undefined);
};

/** The session of a request that waited behind one whose find was not answered in time. */
async function nextAfterRefused(manager: DistributedManager, id: string): Promise<Session> {
  const refused = manager.findSession(id).catch(codeOf);
  await clock.advance(10);
  const waiting = found(manager.findSession(id));
  expect(await within(800, refused)).toBe('CLUSTER_UNAVAILABLE');
  return within(100, waiting);
}

afterEach(async () => {
  for (const manager of managers.splice(0)) await within(10_000, manager.stop());
});

describe('over a hand-written store', () => {
  it.each([
    ['without readSession', HandWritten], ['with readSession', WithRead],
  ] as const)('%s: who waited for a request that ended without a send sees what others wrote since the lock went', async (_reads, Store) => {
    const shared = new Shared();
    const [a, b] = [make(new Store('a', shared), { lockHoldMs: 1_000, maxRecordBytes: 1_024 }), make(new Store('b', shared))];
    const id = await created(a);
    for (const ends of ['by being cut off', 'by a change that is too large']) {
      const first = await found(within(10, a.findSession(id)));
      const n = first.get('n') as number; // of `created` and `increment`
      const waiting = found(a.findSession(id));
      await clock.advance(0);
      loseLock(shared);
      await within(100, b.update(id, increment));
      if (ends === 'by a change that is too large') {
        first.set('much', 'x'.repeat(5_000));
        await expect(within(100, a.sendSession(first))).rejects.toMatchObject({ code: 'CLUSTER_TOO_LARGE' });
      }
      const second = await within(1_500, waiting);
      expect(second.get('n')).toBe(n + 1);
      await within(100, a.sendSession(second));
    }
  });

  it('a find that is executed after its request gave up, and after the next one has sent, leaves no lock', async () => {
    const shared = new Shared();
    const store = new WithRead('a', shared);
    const [a, b] = [make(store), make(new WithRead('b', shared))];
    const id = await created(a);
    store.fail = firstFind(() => after(900));
    const session = await nextAfterRefused(a, id);
    increment(session);
    await within(100, a.sendSession(session));
    await clock.advance(1_000);
    expect(rowOf(shared).holder).toBe(undefined);
    await within(100, b.update(id, increment));
    expect(nOf(shared)).toBe('2');
  });

  it('a find that is answered after the next request has saved does not bring back what was there before', async () => {
    const shared = new Shared();
    class LateAnswer extends WithRead {
      late: (call: string) => Promise<void> | undefined = () => undefined;
      override async findSession(id: string, options: FindOptions): Promise<SessionSnapshot | undefined> {
        const snapshot = await super.findSession(id, options);
        await this.late('find');
        return snapshot;
      }
    }
    const store = new LateAnswer('a', shared);
    const a = make(store);
    const id = await created(a);
    store.late = firstFind(() => after(900));
    const session = await nextAfterRefused(a, id);
    increment(session);
    await within(100, a.sendSession(session, { release: false }));
    await clock.advance(1_000);
    session.set('m', 1);
    await within(100, a.sendSession(session));
    expect(nOf(shared)).toBe('1');
    expect(rowOf(shared).holder).toBe(undefined);
  });

  it('of two finds of requests that gave up, the one that was granted is given back, whatever the other one meets', async () => {
    const shared = new Shared();
    const store = new WithRead('a', shared);
    const [a, b] = [make(store), make(new WithRead('b', shared))];
    const id = await created(a);
    let finds = 0;
    store.fail = (call) => {
      if (!call.startsWith('find')) return undefined;
      finds += 1;
      return finds === 1 ? after(1_500) : after(1_600).then(() => { throw new Error('connection lost'); });
    };
    const first = a.findSession(id).catch(codeOf);
    await clock.advance(10);
    const second = a.findSession(id).catch(codeOf);
    expect(await within(3_000, first)).toBe('CLUSTER_UNAVAILABLE');
    expect(await within(3_000, second)).toBe('CLUSTER_UNAVAILABLE');
    store.fail = undefined;
    await clock.advance(2_000);
    expect(rowOf(shared).holder).toBe(undefined);
    await within(100, b.update(id, increment));
  });

  it('a send that is executed late does not undo what the next request of this instance stored', async () => {
    const shared = new Shared();
    const store = new WithRead('a', shared);
    const a = make(store);
    const id = await created(a);
    const first = await found(within(10, a.findSession(id)));
    increment(first);
    let sends = 0;
    store.fail = (call) => (call === 'send' && sends++ === 0 ? after(800) : undefined);
    await expect(within(700, a.sendSession(first))).rejects.toMatchObject({ code: 'CLUSTER_UNKNOWN_OUTCOME' });
    await within(700, a.update(id, increment));
    await clock.advance(1_000);
    expect(nOf(shared)).toBe('2');
    await within(100, a.update(id, increment));
    expect(nOf(shared)).toBe('3');
  });

  it('a request that gave up while an earlier send was still on its way locks nothing for nobody', async () => {
    const shared = new Shared();
    const store = new WithRead('a', shared);
    const [a, b] = [make(store), make(new WithRead('b', shared))];
    const id = await created(a);
    store.fail = (call) => after(call.startsWith('find') ? 600 : 1_000);
    expect(await within(800, a.findSession(id).catch(codeOf))).toBe('CLUSTER_UNAVAILABLE');
    await clock.advance(150);
    store.fail = undefined;
    expect(await within(800, a.findSession(id).catch(codeOf))).toBe('CLUSTER_UNAVAILABLE');
    await clock.advance(3_000);
    expect(rowOf(shared).holder).toBe(undefined);
    await within(100, b.update(id, increment));
  });

  it('a removal that fails beside a request takes neither its lock nor its change', async () => {
    const shared = new Shared();
    const store = new WithRead('a', shared);
    const [a, b] = [make(store), make(new WithRead('b', shared))];
    const id = await created(a);
    const session = await found(within(10, a.findSession(id)));
    increment(session);
    store.fail = (call) => (call.startsWith('remove') ? Promise.reject(new Error('connection lost')) : undefined);
    await expect(within(700, a.removeSession(id))).rejects.toMatchObject({ code: expect.stringMatching(/^CLUSTER_/) });
    store.fail = undefined;
    await within(100, a.sendSession(session));
    expect(rowOf(shared).holder).toBe(undefined);
    await within(100, b.update(id, increment));
    expect(nOf(shared)).toBe('2');
  });

  it('a snapshot can be reloaded where there is no readSession', async () => {
    const shared = new Shared();
    const [a, b] = [make(new HandWritten('a', shared)), make(new HandWritten('b', shared))];
    const id = await created(a);
    const session = await found(within(10, a.findSession(id, { access: 'snapshot' })));
    await within(100, b.update(id, increment));
    await within(100, a.reloadSession(session));
    expect(session.get('n')).toBe(1);
    await within(100, b.removeSession(id));
    await expect(within(100, a.reloadSession(session))).rejects.toMatchObject({ code: 'CLUSTER_SESSION_ENDED' });
  });

  it('a session of which a send never ends is not asked for again by this instance, nor are others held up', async () => {
    const shared = new Shared();
    const store = new WithRead('a', shared);
    const a = make(store);
    const [id, other] = [await created(a), await created(a)];
    const session = await found(within(10, a.findSession(id)));
    increment(session);
    let end: () => void = () => undefined;
    store.answer = (call) => (call === 'send' ? new Promise((resolve) => { end = resolve; }) : undefined);
    await expect(within(700, a.sendSession(session))).rejects.toMatchObject({ code: 'CLUSTER_UNKNOWN_OUTCOME' });
    store.answer = undefined;
    store.calls = [];
    expect(await within(3_000, a.findSession(id).catch(codeOf))).toBe('CLUSTER_UNAVAILABLE');
    expect(store.calls).toEqual([]);
    await within(100, a.update(other, increment));
    end();
    await within(1_000, a.update(id, increment));
    expect(nOf(shared)).toBe('2');
  });

  it.each([
    ['share it', WithRead, 'shared'],
    ['only look, where there is no readSession,', HandWritten, 'snapshot'],
  ] as const)('requests that %s see what the one beside them found, also when the lock has gone', async (_who, Store, access) => {
    const shared = new Shared();
    const [a, b] = [make(new Store('a', shared)), make(new Store('b', shared))];
    const id = await created(a);
    const first = await found(within(10, a.findSession(id, { access: access === 'shared' ? 'shared' : 'exclusive' })));
    loseLock(shared);
    await within(100, b.update(id, increment));
    const beside = await found(within(10, a.findSession(id, { access })));
    expect(beside.get('n')).toBe(0);
    for (const session of [beside, first]) await within(100, a.sendSession(session));
    expect((await found(within(100, a.findSession(id, { access })))).get('n')).toBe(1);
  });
});

import { afterEach, describe, expect, it } from '@jest/globals';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { FindOptions, SessionSnapshot } from '../src/index.js';
import { found, increment } from './cluster.js';
import { clock, created, make, managers, Shared, WithRead, within } from './hand-written.js';

type SendOptions = Parameters<WithRead['sendSession']>[1];
type Way = (what: 'find' | 'send', nth: number) => Promise<void> | undefined;

const after = (ms: number): Promise<void> => new Promise((resolve) => { clock.timer(resolve, ms); });
const codeOf = (error: { readonly code?: unknown }): unknown => error.code;
const lost = () => Promise.reject(new Error('connection lost'));
const straight: Way = () => undefined;

/** Its calls take their time on the way there, and their answers on the way back. */
class Slow extends WithRead {
  #there = straight;
  #back = straight;
  #counts = { find: 0, send: 0 };

  /** From now on; calls are counted anew. */
  take(there: Way, back = straight): void {
    [this.#there, this.#back, this.#counts] = [there, back, { find: 0, send: 0 }];
  }

  override findSession(id: string, options: FindOptions): Promise<SessionSnapshot | undefined> {
    return this.#call('find', () => super.findSession(id, options));
  }

  override sendSession(session: SessionSnapshot, options: SendOptions): Promise<void> {
    return this.#call('send', () => super.sendSession(session, options));
  }

  async #call<T>(what: 'find' | 'send', call: () => Promise<T>): Promise<T> {
    const nth = this.#counts[what] += 1;
    await this.#there(what, nth);
    const answer = await call();
    await this.#back(what, nth);
    return answer;
  }
}

async function two() {
  const shared = new Shared();
  const store = new Slow('a', shared);
  const [a, b] = [make(store), make(new WithRead('b', shared))];
  const id = await created(a);
  const row = [...shared.rows.values()][0]!;
  return { shared, store, a, b, id, rowOf: () => shared.rows.get(row.snapshot.id)! };
}

afterEach(async () => {
  for (const manager of managers.splice(0)) await within(10_000, manager.stop());
});

describe('an acknowledged change over a hand-written store stays', () => {
  it('also if a save before it was answered late, and what gave back its lock is done late', async () => {
    const { store, a, id, rowOf } = await two();
    const first = await found(within(10, a.findSession(id)));
    increment(first);
    store.take((what, nth) => (what === 'send' && nth <= 2 ? after(nth === 1 ? 800 : 150) : undefined));
    await expect(within(700, a.sendSession(first, { release: false }))).rejects.toMatchObject({ code: 'CLUSTER_UNKNOWN_OUTCOME' });
    const second = await found(within(700, a.findSession(id)));
    second.set('n', 100);
    await within(1_000, a.sendSession(second, { release: false }));
    await clock.advance(1_000);
    expect(rowOf().snapshot.attributes.get('n')).toBe('100');
  });

  it('also if a find before it was answered late, and a send that hangs is done late', async () => {
    const { store, a, id, rowOf } = await two();
    store.take((what, nth) => (what === 'send' && nth === 1 ? after(1_500) : undefined), (what, nth) => (what === 'find' && nth === 1 ? after(900) : undefined));
    const refused = a.findSession(id).catch(codeOf);
    await clock.advance(10);
    const waiting = found(a.findSession(id));
    expect(await within(800, refused)).toBe('CLUSTER_UNAVAILABLE');
    const second = await within(300, waiting);
    increment(second);
    await expect(within(700, a.sendSession(second))).rejects.toMatchObject({ code: 'CLUSTER_UNKNOWN_OUTCOME' });
    expect(await within(3_000, a.findSession(id).catch(codeOf))).toBe('CLUSTER_UNAVAILABLE');
    const third = await found(within(3_000, a.findSession(id)));
    third.set('n', 100);
    await within(100, a.sendSession(third, { release: false }));
    await clock.advance(2_000);
    expect(rowOf().snapshot.attributes.get('n')).toBe('100');
  });
});

describe('a lock that nobody here wants any more is given back', () => {
  it('where a find is done after the send of the next request, and answered before that', async () => {
    const { store, a, b, id, rowOf } = await two();
    let sent: () => void = () => undefined;
    const isSent = new Promise<void>((resolve) => { sent = resolve; });
    store.take((what, nth) => (what === 'find' && nth === 1 ? isSent : undefined), (what, nth) => {
      if (what !== 'send' || nth !== 1) return undefined;
      sent();
      return after(50);
    });
    expect(await within(800, a.findSession(id).catch(codeOf))).toBe('CLUSTER_UNAVAILABLE');
    const second = await found(within(100, a.findSession(id)));
    increment(second);
    await within(200, a.sendSession(second));
    await clock.advance(100);
    expect(rowOf().holder).toBe(undefined);
    await within(100, b.update(id, increment));
  });

  it('where it was had late, for a next request that left between two polls', async () => {
    const { store, a, b, id, rowOf } = await two();
    let go: () => void = () => undefined;
    const gone = new Promise<void>((resolve) => { go = resolve; });
    store.take((what, nth) => (what === 'find' && nth === 1 ? gone : undefined));
    expect(await within(800, a.findSession(id).catch(codeOf))).toBe('CLUSTER_UNAVAILABLE');
    const other = await found(within(100, b.findSession(id)));
    const leaves = new AbortController();
    const second = a.findSession(id, { signal: leaves.signal }).catch(() => 'aborted');
    await clock.advance(400); // polls every 200 ms by now
    await within(50, b.sendSession(other));
    go();
    await clock.advance(0);
    leaves.abort(new Error('the client has gone'));
    expect(await within(10, second)).toBe('aborted');
    await clock.advance(100);
    expect(rowOf().holder).toBe(undefined);
  });

  it.each<[string, { readonly there?: Way; readonly back?: Way }, 'finds' | 'looks' | 'changes']>([
    ['the answer to each find got lost', { back: (what) => (what === 'find' ? lost() : undefined) }, 'finds'],
    ['no send works', { there: (what) => (what === 'send' ? lost() : undefined) }, 'looks'],
    ['the send of its change failed', { there: (what, nth) => (what === 'send' && nth === 1 ? lost() : undefined) }, 'changes'],
    ['a find was answered late, and the one after it fails', { there: (what, nth) => (what !== 'find' ? undefined : nth === 1 ? after(700) : lost()) }, 'finds'],
  ])('where %s, as soon as the store works again', async (_fault, { there, back }, request) => {
    const { store, a, b, id, rowOf } = await two();
    if (request === 'finds') {
      store.take(there ?? straight, back);
      expect(await within(2_800, a.findSession(id).catch(codeOf))).toBe('CLUSTER_UNAVAILABLE');
    } else {
      const session = await found(within(10, a.findSession(id)));
      if (request === 'changes') increment(session);
      store.take(there ?? straight, back);
      const sent = within(700, a.sendSession(session).then(() => 'ends well', codeOf));
      expect(await sent).toBe(request === 'changes' ? 'CLUSTER_UNKNOWN_OUTCOME' : 'ends well');
    }
    await clock.advance(10_000);
    store.take(straight);
    await clock.advance(10_000);
    expect(rowOf().holder).toBe(undefined);
    await within(100, b.update(id, increment));
  });

  it('of a new session that was removed while it was saved for the first time', async () => {
    const { shared, store, a } = await two();
    store.take((what) => (what === 'send' ? after(800) : undefined));
    const session = a.createSession();
    session.set('n', 0);
    const saved = a.sendSession(session, { release: false }).catch(codeOf);
    await clock.advance(10);
    await within(100, a.removeSession(session.id));
    expect(await within(1_000, saved)).toBe('CLUSTER_UNKNOWN_OUTCOME');
    await clock.advance(10_000);
    expect([...shared.rows.values()].map(({ holder }) => holder)).toEqual([undefined, undefined]);
  });

  it('and not taken from the next request by a refusal that comes late', async () => {
    const shared = new Shared();
    class LateRefusal extends WithRead {
      override removeSession(id: string, why: 'removed' | 'moved'): Promise<void> {
        return super.removeSession(id, why).catch((error: unknown) => after(800).then(() => { throw error; }));
      }
    }
    const a = make(new LateRefusal('a', shared));
    const id = await created(a);
    const session = await found(within(10, a.findSession(id)));
    const [row] = shared.rows.values();
    row!.holder = undefined; // as with a connection
    await expect(within(700, a.changeSessionId(session))).rejects.toMatchObject({ code: 'CLUSTER_UNKNOWN_OUTCOME' });
    const next = await found(within(1_000, a.findSession(id)));
    await clock.advance(500);
    increment(next);
    await within(100, a.sendSession(next));
    await clock.advance(10_000);
    expect([...shared.rows.values()].map(({ holder }) => holder)).toEqual([undefined, undefined]);
  });

  it('where an id was changed and the removal of the old session failed, of both', async () => {
    const { shared, store, a, id } = await two();
    const session = await found(within(10, a.findSession(id)));
    store.fail = (call) => (call === 'remove moved' ? lost() : undefined);
    await expect(within(700, a.changeSessionId(session))).rejects.toMatchObject({ code: expect.stringMatching(/^CLUSTER_/) });
    store.fail = undefined;
    await clock.advance(10_000);
    expect([...shared.rows.values()].map(({ holder }) => holder)).toEqual([undefined, undefined]);
  });

  it('not after the stop, which ends the store', async () => {
    const { store, a, id } = await two();
    store.take(straight, (what) => (what === 'find' ? after(3_000) : undefined));
    expect(await within(2_800, a.findSession(id, { waitMs: 0 }).catch(codeOf))).toBe('CLUSTER_UNAVAILABLE');
    await within(1_000, a.stop());
    store.calls = [];
    await clock.advance(10_000);
    expect(store.calls).toEqual([]);
  });

  it('of many at once not all together, and of each', async () => {
    const { shared, store, a } = await two();
    const ids: string[] = [];
    while (ids.length < 250) ids.push(await created(a));
    store.take(() => lost());
    await Promise.all(ids.map((id) => within(3_000, a.findSession(id, { waitMs: 0 }).catch(() => undefined))));
    await clock.advance(10_000);
    store.take(straight);
    for (const row of shared.rows.values()) row.holder = 'a';
    store.calls = [];
    let most = 0;
    for (let passed = 0; passed < 30_000; passed += 100) {
      const before = store.calls.length;
      await clock.advance(100);
      most = Math.max(most, store.calls.length - before);
    }
    expect(ids.length).toBe([...shared.rows.values()].filter(({ holder }) => holder === undefined).length);
    expect(most).toBe(200); // a find and a send each
  });
});

it('nothing of a session stays in memory that was saved late, or whose change of id failed', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const sent: WeakRef<SessionSnapshot>[] = [];
  const shared = new Shared();
  class Remembered extends Slow {
    override sendSession(session: SessionSnapshot, options: SendOptions): Promise<void> {
      sent.push(new WeakRef(session));
      return super.sendSession(session, options);
    }
  }
  const store = new Remembered('a', shared);
  const a = make(store);
  for (let times = 0; times < 5; times += 1) {
    store.take(straight, (what) => (what === 'send' ? after(800) : undefined));
    const saved = a.createSession();
    saved.set('n', 0);
    await expect(within(700, a.sendSession(saved, { release: false }))).rejects.toMatchObject({ code: 'CLUSTER_UNKNOWN_OUTCOME' });
    store.take(straight);
    const session = await found(within(10, a.findSession(await created(a))));
    store.fail = (call) => (call === 'remove moved' ? lost() : undefined);
    await expect(within(700, a.changeSessionId(session))).rejects.toMatchObject({ code: expect.stringMatching(/^CLUSTER_/) });
    store.fail = undefined;
  }
  await clock.advance(10_000);
  shared.rows.clear(); // as they expire
  await clock.advance(10_000);
  await new Promise((resolve) => { setTimeout(resolve, 20); });
  collect();
  expect(sent.length).toBeGreaterThanOrEqual(20);
  // The last one may still be in a register.
  expect(sent.filter((each) => each.deref() !== undefined).length).toBeLessThanOrEqual(1);
  expect(a.health().inMemory).toEqual({ sessions: 0, bytes: 0 });
});

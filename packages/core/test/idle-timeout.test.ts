import { afterEach, describe, it, expect } from '@jest/globals';
import { behind } from '../src/driver.js';
import type { Session } from '../src/index.js';
import { Cluster, eventsOf, found, increment, keyOf, type Instance } from './cluster.js';

const IDLE_MS = 100_000;
const STORED_MS = 110_000; // with the touch window
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

let cluster = new Cluster();
afterEach(async () => {
  await cluster.stop();
  cluster = new Cluster();
});

const add = (name: string, options = {}) => cluster.add(name, { idleTimeoutMs: IDLE_MS, ...options });

/** How long the store keeps the session from now on. */
const remainingMs = (id: string) => Math.round((cluster.space.kept.get(keyOf(id))?.endMs ?? 0) - cluster.clock.monotonicMs());

const own = (session: Session) => behind(session).ownIdleTimeoutMs;
const setOwn = async ({ manager }: Instance, id: string, ms: number | null | undefined) => {
  await cluster.within(100, manager.update(id, (session) => { behind(session).ownIdleTimeoutMs = ms; }));
};
const read = ({ manager }: Instance, id: string) => cluster.within(1_000, manager.findSession(id, { access: 'snapshot' }));

describe('an idle time-out of one session', () => {
  it.each(['keep', 'release'] as const)('is the lifetime of its record from the commit that sets it, longer or shorter, under affinity %s', async (affinity) => {
    const a = await add('a', { affinity });
    const id = await cluster.session(a);
    expect(remainingMs(id)).toBe(STORED_MS);
    await setOwn(a, id, DAY_MS);
    expect(remainingMs(id)).toBe(DAY_MS + 60_000);
    await setOwn(a, id, 10_000);
    expect(remainingMs(id)).toBe(11_000);
    for (const none of [null, undefined]) {
      await setOwn(a, id, DAY_MS);
      await setOwn(a, id, none);
      expect(remainingMs(id)).toBe(STORED_MS);
      expect(own(await found(read(a, id)))).toBe(none);
    }
  });

  it('ends it after that time without use, and not before, also on an instance that never saw it set', async () => {
    const slow = { leaseMs: 1_000_000 };
    const [a, b] = [await add('a', slow), await add('b', { ...slow, idleTimeoutMs: 5_000 })];
    const id = await cluster.session(a);
    await setOwn(a, id, HOUR_MS);
    for (let time = 0; time < 3; time += 1) {
      await cluster.clock.advance(HOUR_MS - 1_000);
      expect(own(await found(read(time === 1 ? a : b, id)))).toBe(HOUR_MS);
    }
    await cluster.clock.advance(HOUR_MS + 62_000);
    expect(await read(a, id)).toBe(undefined);
    expect(await read(b, id)).toBe(undefined);
  });

  it('moves the touch window to a tenth of it, and to a minute at most', async () => {
    const a = await add('a', { leaseMs: 1_000_000 });
    const id = await cluster.session(a);
    const touches = async (ms: number) => {
      a.table.calls = [];
      for (let time = 0; time < 10; time += 1) {
        await cluster.clock.advance(ms / 10);
        await read(a, id);
      }
      await cluster.clock.advance(2_000);
      return a.table.count('touch');
    };
    await setOwn(a, id, 20_000); // a window of 2 s
    const often = await touches(20_000);
    expect(often).toBeGreaterThanOrEqual(5);
    expect(often).toBeLessThanOrEqual(10);
    await setOwn(a, id, DAY_MS);
    expect(await touches(50_000)).toBe(0);
    expect(await touches(60_000)).toBe(1);
  });

  it('is bounded by the absolute time-out', async () => {
    const a = await add('a', { absoluteTimeoutMs: HOUR_MS, leaseMs: 1_000_000 });
    const id = await cluster.session(a);
    await cluster.clock.advance(60_000);
    await setOwn(a, id, DAY_MS);
    expect(remainingMs(id)).toBe(HOUR_MS - 60_000);
    await cluster.clock.advance(HOUR_MS);
    expect(await read(a, id)).toBe(undefined);
  });

  it('that was shortened is not brought back by a touch that was due before', async () => {
    const a = await add('a');
    const id = await cluster.session(a);
    await setOwn(a, id, DAY_MS);
    await cluster.clock.advance(120_000);
    await setOwn(a, id, null); // the find of this turn has a touch due within a second
    await cluster.clock.advance(2_000);
    expect(remainingMs(id)).toBe(STORED_MS - 2_000);
  });

  it('that was shortened is not lengthened by a touch of another instance that knew the longer one', async () => {
    const [a, b] = [await add('a', { affinity: 'release' }), await add('b', { affinity: 'release' })];
    const id = await cluster.session(a);
    await setOwn(a, id, DAY_MS);
    await cluster.clock.advance(120_000);
    await read(b, id); // has a touch due within a second
    await setOwn(a, id, 20_000);
    b.table.calls = [];
    await cluster.clock.advance(1_500);
    expect(b.table.count('touch')).toBeGreaterThan(0);
    expect(remainingMs(id)).toBeLessThanOrEqual(22_000);
    expect(remainingMs(id)).toBeGreaterThan(20_000);
  });

  describe.each(['keep', 'release'] as const)('counts also in a store that let a touch lengthen it, under affinity %s', (affinity) => {
    const lengthened = async () => {
      const [a, b] = [await add('a', { affinity, leaseMs: 1_000_000 }), await add('b', { affinity: 'release', leaseMs: 1_000_000 })];
      const id = await cluster.session(a);
      await setOwn(a, id, 20_000);
      const kept = cluster.space.kept.get(keyOf(id));
      if (kept === undefined) throw new Error('expected a record');
      const value = kept.value.replace('"lifetimeMs":22000', `"lifetimeMs":${DAY_MS}`);
      expect(value).not.toBe(kept.value);
      cluster.space.kept.set(keyOf(id), { ...kept, value, revision: 'touched', endMs: DAY_MS });
      return { a, b, id };
    };

    it('ends it', async () => {
      const { a, b, id } = await lengthened();
      await cluster.clock.advance(22_500);
      expect(remainingMs(id)).toBeGreaterThan(HOUR_MS);
      expect(await read(b, id)).toBe(undefined);
      expect(await read(a, id)).toBe(undefined);
      if (affinity === 'keep') expect(await cluster.within(100, a.manager.findSession(id))).toBe(undefined);
    });

    it.each([9_000, 20_500])('does not end it while it is used each %d ms, here or elsewhere', async (everyMs) => {
      const { a, b, id } = await lengthened();
      for (let time = 0; time < 6; time += 1) {
        await cluster.clock.advance(everyMs);
        await found(read(b, id));
      }
      await cluster.within(3_000, a.manager.update(id, increment));
      expect(await cluster.stored(id)).toMatchObject({ n: 1 });
    });

    it('a use shortly before its end is reported before it is served', async () => {
      const { b, id } = await lengthened();
      await cluster.clock.advance(21_500);
      await found(read(b, id));
      await cluster.clock.advance(600);
      await found(read(b, id));
    });

    it.each([true, false])('a holder that reads from memory ends it when nobody uses it, and not before; others had used it: %s', async (isShared) => {
      const { a, b, id } = await lengthened();
      const c = await add('c', { leaseMs: 1_000_000 });
      c.table.always('read', async (run) => ({ ...await run(), lifetimeMs: DAY_MS }));
      const other = await cluster.session(c);
      // Memory is served only while something is used.
      const time = async (ms: number) => {
        for (let spentMs = 0; spentMs < ms; spentMs += 500) {
          await cluster.clock.advance(500);
          await cluster.within(100, c.manager.update(other, () => undefined));
        }
      };
      await cluster.within(3_000, c.manager.update(id, () => undefined));
      for (let use = 0; isShared && use < 6; use += 1) {
        await time(9_000);
        await found(read(b, id));
        await time(1_500);
        if (use % 3 === 2) expect(await cluster.within(3_000, c.manager.update(id, () => 'there'))).toBe('there');
      }
      await time(22_500);
      expect(await cluster.within(3_000, c.manager.update(id, () => 'there'))).toBe(undefined);
      expect(await read(a, id)).toBe(undefined);
    });
  });

  it('stays with the session when its id changes', async () => {
    const a = await add('a');
    const id = await cluster.session(a);
    await setOwn(a, id, HOUR_MS);
    const session = await found(a.manager.findSession(id));
    behind(session).ownIdleTimeoutMs = DAY_MS;
    const moved = await cluster.within(100, a.manager.changeSessionId(session));
    expect(own(moved)).toBe(DAY_MS);
    expect(remainingMs(moved.id)).toBe(DAY_MS + 60_000);
    await cluster.within(100, a.manager.sendSession(moved));
    expect(await cluster.stored(moved.id)).toMatchObject({ n: 0 });
    const fresh = a.manager.createSession();
    behind(fresh).ownIdleTimeoutMs = DAY_MS;
    expect(own(await a.manager.changeSessionId(fresh))).toBe(DAY_MS);
  });

  it('of a new session is stored with it, and is alone no reason to store one', async () => {
    const a = await add('a');
    const session = a.manager.createSession();
    behind(session).ownIdleTimeoutMs = DAY_MS;
    await cluster.within(100, a.manager.sendSession(session, { release: false }));
    expect(a.table.took()).toBe('');
    session.set('n', 0);
    await cluster.within(100, a.manager.sendSession(session));
    expect(remainingMs(session.id)).toBe(DAY_MS + 60_000);
  });

  it('survives that the store loses the change under the holder', async () => {
    const a = await add('a');
    const id = await cluster.session(a);
    const before = cluster.space.save();
    await setOwn(a, id, DAY_MS);
    cluster.space.rollBack(before);
    await cluster.clock.advance(5_000);
    await cluster.within(100, a.manager.update(id, increment));
    expect(own(await found(read(a, id)))).toBe(DAY_MS);
    expect(remainingMs(id)).toBe(DAY_MS + 60_000);
  });
});

describe('as an attribute', () => {
  it('is not seen: neither among the keys, nor by any access to attributes', async () => {
    const a = await add('a');
    const id = await cluster.session(a);
    await setOwn(a, id, HOUR_MS);
    await cluster.within(100, a.manager.update(id, (session) => {
      expect(Object.keys(session)).toEqual(['n']);
      expect(JSON.stringify(session)).toBe('{"n":0}');
      expect([session.get('cookie'), Reflect.get(session, 'cookie'), Object.hasOwn(session, 'cookie')]).toEqual([undefined, undefined, false]);
      expect(session.delete('cookie')).toBe(false);
      Reflect.deleteProperty(session, 'cookie');
      expect(() => session.set('cookie', 1)).toThrow(expect.objectContaining({ code: 'CLUSTER_RESERVED_NAME' }));
      expect(own(session)).toBe(HOUR_MS);
    }));
    expect(own(await found(read(a, id)))).toBe(HOUR_MS);
  });

  it('costs no commit when it is set to what it is, and is dropped by a reload', async () => {
    const a = await add('a');
    const id = await cluster.session(a);
    await setOwn(a, id, HOUR_MS);
    a.table.calls = [];
    await setOwn(a, id, HOUR_MS);
    expect(a.table.took()).toBe('');
    const session = await found(a.manager.findSession(id));
    behind(session).ownIdleTimeoutMs = 1;
    await a.manager.reloadSession(session);
    expect(own(session)).toBe(HOUR_MS);
    await cluster.within(100, a.manager.sendSession(session));
    expect(a.table.took()).toBe('');
  });

  it('is stored as text whatever the codec, and counts in the size of the record', async () => {
    const codec = { name: 'bytes', encode: (value: unknown) => Buffer.from(JSON.stringify(value)), decode: (encoded: unknown) => JSON.parse(String(encoded)) as unknown };
    const a = await add('a', { codec, maxRecordBytes: 24 });
    const session = a.manager.createSession();
    session.set('n', '0123456789');
    behind(session).ownIdleTimeoutMs = DAY_MS;
    const { code } = await cluster.failure(100, a.manager.sendSession(session));
    expect(code).toBe('CLUSTER_TOO_LARGE');
    const id = await cluster.session(a, { n: '0' });
    await setOwn(a, id, DAY_MS);
    expect(own(await found(read(a, id)))).toBe(DAY_MS);
    expect(cluster.space.kept.get(keyOf(id))?.value).toContain(String(DAY_MS));
  });

  it.each([0, -1, 1.5, NaN, Infinity, '60000', {}])('is refused as %p before anything is changed', async (value) => {
    const a = await add('a');
    const id = await cluster.session(a);
    a.table.calls = [];
    await cluster.within(100, a.manager.update(id, (session) => {
      expect(() => Reflect.set(behind(session), 'ownIdleTimeoutMs', value)).toThrow(expect.objectContaining({ code: 'CLUSTER_BAD_OPTION' }));
      expect(own(session)).toBe(undefined);
    }));
    expect(a.table.took()).toBe('');
  });

  it('cannot be set on a handle that has ended', async () => {
    const a = await add('a');
    const session = await found(a.manager.findSession(await cluster.session(a)));
    await cluster.within(100, a.manager.sendSession(session));
    for (const ms of [HOUR_MS, undefined]) {
      expect(() => { behind(session).ownIdleTimeoutMs = ms; }).toThrow(expect.objectContaining({ code: 'CLUSTER_SESSION_ENDED' }));
    }
    expect(() => behind({} as Session)).toThrow(expect.objectContaining({ code: 'CLUSTER_BAD_OPTION' }));
  });
});

describe('set by a snapshot request', () => {
  const race = async (onConflict: 'merge' | 'error', change: (session: Session) => void) => {
    const a = await add('a', { onConflict });
    const id = await cluster.session(a);
    const session = await found(read(a, id));
    behind(session).ownIdleTimeoutMs = HOUR_MS;
    await cluster.within(100, a.manager.update(id, change));
    return { a, id, sent: a.manager.sendSession(session) };
  };
  const setToDay = (session: Session) => { behind(session).ownIdleTimeoutMs = DAY_MS; };

  it('is checked at its end: untouched meanwhile, it is stored', async () => {
    const { a, id, sent } = await race('error', increment);
    await cluster.within(100, sent);
    expect(own(await found(read(a, id)))).toBe(HOUR_MS);
    expect(remainingMs(id)).toBe(HOUR_MS + 60_000);
  });

  it('wins or is refused where another one has set it', async () => {
    const merged = await race('merge', setToDay);
    await cluster.within(100, merged.sent);
    expect(own(await found(read(merged.a, merged.id)))).toBe(HOUR_MS);
    expect(eventsOf(merged.a, 'conflict')).toMatchObject([{ attributes: ['cookie'], outcome: 'merged' }]);
    await cluster.stop();
    cluster = new Cluster();
    const refused = await race('error', setToDay);
    expect(await cluster.failure(100, refused.sent)).toMatchObject({ code: 'CLUSTER_CONFLICT' });
    expect(own(await found(read(refused.a, refused.id)))).toBe(DAY_MS);
  });

  it.each([[undefined, DAY_MS], [DAY_MS, undefined]])('by another request, %p to %p, is no conflict for one that looked at it, or at the names of attributes', async (before, after) => {
    const a = await add('a', { onConflict: 'error' });
    const id = await cluster.session(a);
    await setOwn(a, id, before);
    const session = await found(read(a, id));
    expect(own(session)).toBe(before);
    session.set('seen', Object.keys(session));
    await setOwn(a, id, after);
    await cluster.within(100, a.manager.sendSession(session));
    expect(eventsOf(a, 'conflict')).toEqual([]);
    expect(own(await found(read(a, id)))).toBe(after);
  });
});

import { afterEach, describe, it, expect } from '@jest/globals';
import { behind } from '../src/driver.js';
import { Cluster, eventsOf, found, Gate, increment, keyOf, callLost, type Instance } from './cluster.js';

const IDLE_MS = 100_000; // a touch window of 10 s

let cluster = new Cluster();
afterEach(async () => {
  await cluster.stop();
  cluster = new Cluster();
});

const touches = ({ table }: Instance) => table.count('touch');
const isThere = async ({ manager }: Instance, id: string) => await cluster.within(100, manager.findSession(id, { access: 'snapshot' })) !== undefined;

for (const affinity of ['keep', 'release'] as const) {
  describe(`a session under affinity ${affinity}`, () => {
    it('is there until its idle time-out has passed, and gone at most a tenth later', async () => {
      const a = await cluster.add('a', { idleTimeoutMs: IDLE_MS, affinity });
      const id = await cluster.session(a);
      await cluster.clock.advance(IDLE_MS - 1);
      expect(await cluster.stored(id)).toEqual({ n: 0 });
      await cluster.clock.advance(IDLE_MS / 10 + 2);
      expect(await isThere(a, id)).toBe(false);
      expect(await cluster.within(100, a.manager.findSession(id))).toBe(undefined);
    });

    it('lives on while it is only read, here or elsewhere, at the cost of one touch per window', async () => {
      const a = await cluster.add('a', { idleTimeoutMs: IDLE_MS, affinity, leaseMs: 1_000_000 });
      const b = await cluster.add('b', { idleTimeoutMs: IDLE_MS, affinity: 'release', leaseMs: 1_000_000 });
      const id = await cluster.session(a);
      for (let second = 0; second < 300; second += 1) {
        await cluster.clock.advance(1_000);
        expect(await isThere(second % 2 === 0 ? a : b, id)).toBe(true);
      }
      // 30 windows, and the record of settings.
      expect(touches(a) + touches(b)).toBeLessThanOrEqual(35);
      expect(touches(a) + touches(b)).toBeGreaterThanOrEqual(20);
    });

    it('that is about to expire is touched before it is served', async () => {
      const a = await cluster.add('a', { idleTimeoutMs: IDLE_MS, affinity });
      const id = await cluster.session(a);
      await cluster.clock.advance(IDLE_MS * 1.1 - 500);
      a.table.calls = [];
      expect(await isThere(a, id)).toBe(true);
      expect(touches(a)).toBeGreaterThanOrEqual(1);
      await cluster.clock.advance(IDLE_MS - 1_000);
      expect(await isThere(a, id)).toBe(true);
    });
  });
}

it('a session that ends between the look and the touch is not served any more', async () => {
  const a = await cluster.add('a', { idleTimeoutMs: IDLE_MS, affinity: 'release' });
  const id = await cluster.session(a);
  await cluster.clock.advance(IDLE_MS * 1.1 - 5);
  const gate = new Gate();
  a.table.next('touch', gate.fate);
  const looked = a.manager.findSession(id, { access: 'snapshot' });
  await cluster.clock.advance(10);
  expect(gate.arrived).toBe(true);
  gate.open();
  expect(await cluster.within(10, looked)).toBe(undefined);
});

it('a session that others touched is not taken for expired by its holder, nor asked for again and again', async () => {
  const [a, b] = [await cluster.add('a', { idleTimeoutMs: IDLE_MS }), await cluster.add('b', { idleTimeoutMs: IDLE_MS })];
  const id = await cluster.session(a);
  for (let round = 0; round < 15; round += 1) {
    await cluster.clock.advance(11_000);
    expect(await isThere(b, id)).toBe(true);
  }
  const session = await found(cluster.within(100, a.manager.findSession(id)));
  increment(session);
  await cluster.within(100, a.manager.sendSession(session));
  expect(await cluster.stored(id)).toEqual({ n: 1 });
});

it('a request that runs for long keeps its session alive', async () => {
  const a = await cluster.add('a', { idleTimeoutMs: 10_000 });
  const id = await cluster.session(a);
  const session = await found(a.manager.findSession(id));
  await cluster.clock.advance(60_000);
  increment(session);
  await cluster.within(100, a.manager.sendSession(session));
  expect(await cluster.stored(id)).toEqual({ n: 1 });
});

it.each([100, 1_000, 3_000, 9_000])('so does one whose session would end after %d ms, between two beats', async (idleTimeoutMs) => {
  const a = await cluster.add('a', { idleTimeoutMs, readLeaseMs: 0 });
  const id = await cluster.session(a);
  const session = await found(a.manager.findSession(id));
  await cluster.clock.advance(idleTimeoutMs * 7.3);
  a.table.calls = [];
  await cluster.clock.advance(idleTimeoutMs * 10);
  // Each third of its life, and with the beats.
  expect(touches(a)).toBeGreaterThan(20);
  expect(touches(a)).toBeLessThan(65);
  increment(session);
  await cluster.within(10, a.manager.sendSession(session));
  expect(await cluster.stored(id)).toEqual({ n: 1 });
  await cluster.clock.advance(idleTimeoutMs * 1.1);
  expect(await cluster.stored(id)).toBe(undefined);
  a.table.calls = [];
  await cluster.clock.advance(idleTimeoutMs * 10);
  expect(touches(a)).toBeLessThanOrEqual(1 + idleTimeoutMs / 500);
});

it('so does one that shares a session which has a short idle time-out of its own', async () => {
  const a = await cluster.add('a');
  const id = await cluster.session(a);
  const first = await found(a.manager.findSession(id));
  behind(first).ownIdleTimeoutMs = 2_000;
  await a.manager.sendSession(first);
  const session = await found(a.manager.findSession(id, { access: 'shared' }));
  await cluster.clock.advance(20_000);
  increment(session);
  await cluster.within(10, a.manager.sendSession(session));
  expect(await cluster.stored(id)).toMatchObject({ n: 1 });
});

it('a send without a change counts as a use', async () => {
  const a = await cluster.add('a', { idleTimeoutMs: IDLE_MS });
  const id = await cluster.session(a);
  await cluster.clock.advance(IDLE_MS - 5_000);
  await cluster.within(100, a.manager.update(id, () => undefined));
  await cluster.clock.advance(IDLE_MS - 5_000);
  expect(await isThere(a, id)).toBe(true);
});

it('an absolute time-out ends a session that is used all the time, and no touch outlives it', async () => {
  const a = await cluster.add('a', { idleTimeoutMs: IDLE_MS, absoluteTimeoutMs: 250_000 });
  const b = await cluster.add('b', { idleTimeoutMs: IDLE_MS, absoluteTimeoutMs: 250_000 });
  const id = await cluster.session(a);
  let lastMs = 0;
  const begunMs = cluster.clock.monotonicMs();
  for (let turn = 0; turn < 60; turn += 1) {
    await cluster.clock.advance(5_000);
    const { manager } = turn % 3 === 0 ? b : a;
    if (await cluster.within(1_000, manager.update(id, () => true)) === true) lastMs = cluster.clock.monotonicMs() - begunMs;
  }
  expect(lastMs).toBeGreaterThan(240_000);
  expect(lastMs).toBeLessThan(250_000);
  expect(await cluster.stored(id)).toBe(undefined);
});

it('touches that fail are made again, and say so', async () => {
  const a = await cluster.add('a', { idleTimeoutMs: IDLE_MS });
  const id = await cluster.session(a);
  await cluster.clock.advance(11_000);
  a.table.next('touch', callLost, callLost);
  expect(await isThere(a, id)).toBe(true);
  await cluster.clock.advance(5_000);
  expect(eventsOf(a, 'warning')).toEqual([
    { message: 'sessions in use, or the settings of the context, could not be touched; trying again', cause: expect.anything() },
    { message: 'sessions are touched again, after 2.0 s; tries that failed: 2' },
  ]);
  await cluster.clock.advance(IDLE_MS - 10_000);
  expect(await cluster.stored(id)).toEqual({ n: 0 });
});

it('a touch that shows a session gone ends it here, whatever the renewal of the settings does', async () => {
  const a = await cluster.add('a', { idleTimeoutMs: IDLE_MS });
  const id = await cluster.session(a);
  await cluster.clock.advance(11_000);
  const session = await found(cluster.within(100, a.manager.findSession(id)));
  a.table.always('create', callLost);
  a.table.next('touch', () => Promise.resolve(new Set(['default.c.settings', keyOf(id)])) as Promise<never>); // as the table answers
  await cluster.clock.advance(6_000);
  expect(() => session.set('n', 1)).toThrow(expect.objectContaining({ code: 'CLUSTER_SESSION_ENDED' }));
  expect(a.manager.health()).toMatchObject({ held: 0, running: 0 });
});

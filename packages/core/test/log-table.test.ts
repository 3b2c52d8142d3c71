import { describe, expect, it } from '@jest/globals';
import { ClusterError, DistributedManager, type Session } from '../src/index.js';
import { Clock, ClusterStoreBase, tableOf, type DriverContext, type ManualClock, type SessionLog, type SessionTable, type Write } from '../src/driver.js';
import { ScriptedLog } from './scripted-log.js';

const CONTEXT = 'app';
const key = (n: number) => `app.s.${n.toString(16).padStart(64, '0')}`;
const KEY = key(1);
const claim = (n: number) => ({ incarnation: `i${n}.1`, grant: n.toString(16).padStart(32, '0') });
const write = (set: Record<string, string>, lifetimeMs = 1_000_000): Write => ({ change: { set: new Map(Object.entries(set)), remove: [], whole: true }, lifetimeMs });

interface Opened { readonly table: SessionTable; readonly heard: boolean[]; readonly received: string[] }

async function opened(log: ScriptedLog, name: string, { maxBytes, storeTimeoutMs }: { readonly maxBytes?: number; readonly storeTimeoutMs?: number } = {}): Promise<Opened> {
  const table = tableOf(log.opened(name, maxBytes), log.clock);
  const [heard, received]: [boolean[], string[]] = [[], []];
  await table.start({ context: CONTEXT, instanceId: name, receive: (message) => { received.push(message); }, listening: (up) => { heard.push(up); }, storeTimeoutMs });
  return { table, heard, received };
}

/** What became of a promise so far. */
function watched<T>(promise: Promise<T>): { outcome: unknown } {
  const seen: { outcome: unknown } = { outcome: 'open' };
  promise.then((value) => { seen.outcome = value; }, (error: unknown) => { seen.outcome = ClusterError.is(error) ? error.code : error; });
  return seen;
}

const settled = (clock: ManualClock) => clock.advance(0);

describe('a session table over a log', () => {
  it('takes what became of a put from its echo, not from the acknowledgement', async () => {
    const clock = Clock.manual();
    const log = new ScriptedLog(clock);
    const [a, b] = [await opened(log, 'a'), await opened(log, 'b')];
    await a.table.create(KEY, claim(1), write({ n: '1' }), 'release');
    log.hold('a');
    expect((await b.table.acquire(KEY, claim(2))).kind).toBe('granted');
    const acquired = watched(a.table.acquire(KEY, claim(3))); // a has not read that b has it
    await settled(clock);
    expect(acquired.outcome).toBe('open');
    log.release('a');
    await settled(clock);
    expect(acquired.outcome).toEqual({ kind: 'busy', holder: claim(2) });
  });

  it('needs no acknowledgement where the echo is there', async () => {
    const log = new ScriptedLog(Clock.manual());
    const { table } = await opened(log, 'a');
    log.acknowledges = false;
    expect(await table.create(KEY, claim(1), write({}), 'keep')).toBe('created');
  });

  it('knows an append that its driver tried again', async () => {
    const log = new ScriptedLog(Clock.manual());
    const { table } = await opened(log, 'a');
    log.fates.push(async (put, as) => { put(`${as}~2`); });
    expect(await table.create(KEY, claim(1), write({}), 'keep')).toBe('created');
    log.fates.push(async (put, as) => { put(as); put(`${as}~2`); });
    expect(await table.commit(KEY, claim(1).grant, { grant: claim(1).grant, version: 1 }, write({ a: '1' }), 'keep')).toEqual({ kind: 'done', version: 2 });
    expect(await table.commit(KEY, claim(1).grant, { grant: claim(1).grant, version: 2 }, write({ a: '2' }), 'keep')).toEqual({ kind: 'done', version: 3 });
  });

  it('does not know what became of an append that failed, unless the driver does', async () => {
    const clock = Clock.manual();
    const log = new ScriptedLog(clock);
    const { table } = await opened(log, 'a');
    log.fates.push(() => Promise.reject(new Error('connection lost')));
    await expect(table.create(KEY, claim(1), write({}), 'keep')).rejects.toMatchObject({ code: 'CLUSTER_UNKNOWN_OUTCOME' });
    log.fates.push(() => new Promise(() => undefined));
    const lost = watched(table.create(KEY, claim(1), write({}), 'keep'));
    await clock.advance(10_000);
    expect(lost.outcome).toBe('CLUSTER_UNKNOWN_OUTCOME');
  });

  it.each([{ storeTimeoutMs: 12_000, waitsMs: 11_000 }, { storeTimeoutMs: 60_000, waitsMs: 30_000 }, { storeTimeoutMs: 1_000, waitsMs: 5_000 }, { waitsMs: 5_000 }])(
    'waits for an echo a second less than whoever calls it does, and 5 to 30 s: %j', async ({ storeTimeoutMs, waitsMs }) => {
      const clock = Clock.manual();
      const log = new ScriptedLog(clock);
      const { table } = await opened(log, 'a', storeTimeoutMs === undefined ? {} : { storeTimeoutMs });
      log.hold('a');
      const calls = [watched(table.create(KEY, claim(1), write({}), 'keep')), watched(table.read(key(2)))];
      await clock.advance(waitsMs - 1);
      expect(calls.map(({ outcome }) => outcome)).toEqual(['open', 'open']);
      // It looks twice a second.
      await clock.advance(501);
      expect(calls.map(({ outcome }) => outcome)).toEqual(['CLUSTER_UNKNOWN_OUTCOME', 'CLUSTER_UNAVAILABLE']);
    });

  it('is told by its manager how long that waits', async () => {
    const log = new ScriptedLog(Clock.manual());
    const contexts: DriverContext[] = [];
    const driver = { ...log.opened('a'), start: async (context: DriverContext) => { contexts.push(context); } };
    const manager = new DistributedManager(new ClusterStoreBase(driver, { clock: log.clock }), { clock: log.clock, storeTimeoutMs: 7_000 });
    await manager.start();
    expect(contexts).toMatchObject([{ storeTimeoutMs: 6_000 }]);
    await manager.stop();
  });

  it('asks again for its barrier where that is lost', async () => {
    const clock = Clock.manual();
    const log = new ScriptedLog(clock);
    const { table } = await opened(log, 'a');
    log.fates.push(() => new Promise(() => undefined));
    const read = watched(table.read(KEY));
    await clock.advance(499);
    expect(read.outcome).toBe('open');
    await clock.advance(2);
    expect(read.outcome).toEqual({ kind: 'absent' });
  });

  it('leaves one record per session in the log', async () => {
    const clock = Clock.manual();
    const log = new ScriptedLog(clock);
    const { table } = await opened(log, 'a');
    await table.create(KEY, claim(1), write({ n: '1' }), 'keep');
    for (let version = 1; version < 20; version += 1) await table.commit(KEY, claim(1).grant, { grant: claim(1).grant, version }, write({ n: String(version) }), 'keep');
    await clock.advance(1_000);
    log.compact();
    expect(log.records.filter((record) => record.key.startsWith(KEY))).toHaveLength(1);
    const late = await opened(log, 'late');
    expect(await late.table.read(KEY)).toMatchObject({ kind: 'record', stamp: { version: 20 }, holder: claim(1) });
  });

  it('sweeps what others left in the log', async () => {
    const clock = Clock.manual();
    const log = new ScriptedLog(clock);
    const { table } = await opened(log, 'a');
    for (const n of [1, 2, 3]) await table.create(key(n), claim(n), write({}, n === 1 ? 1_000_000 : 50), 'release');
    await clock.advance(200_000);
    for (let round = 0; round < 5; round += 1) await table.sweep?.(100);
    log.compact();
    expect(log.records.filter((record) => record.key.includes('.s.')).map((record) => record.key.slice(0, KEY.length))).toEqual([KEY]);
  });

  it('serves a newcomer when its own barrier is read, not before', async () => {
    const clock = Clock.manual();
    const log = new ScriptedLog(clock);
    const a = await opened(log, 'a');
    await a.table.create(KEY, claim(1), write({}), 'keep');
    log.fates.push(() => new Promise(() => undefined));
    const started = watched(opened(log, 'b').then(({ heard }) => heard));
    await clock.advance(400);
    expect(started.outcome).toBe('open');
    await clock.advance(200);
    expect(started.outcome).toEqual([true]);
  });

  it('does not wait for a barrier that got lost when nobody waited for it any more', async () => {
    const clock = Clock.manual();
    const log = new ScriptedLog(clock);
    const { table } = await opened(log, 'a');
    await table.create(KEY, claim(1), write({}), 'release');
    await clock.advance(60_000);
    log.fates.push(...Array.from({ length: 1_000 }, () => () => new Promise<never>(() => undefined)));
    const refused = watched(table.read(KEY));
    await clock.advance(6_000);
    expect(refused.outcome).toBe('CLUSTER_UNAVAILABLE');
    log.fates.length = 0;
    await clock.advance(60_000);
    const read = watched(table.read(KEY));
    await settled(clock);
    expect(read.outcome).toMatchObject({ kind: 'record' });
  });

  it('starts for as long as there is more to read, and not where the log is silent', async () => {
    const clock = Clock.manual();
    const log = new ScriptedLog(clock);
    const lost = () => new Promise<never>(() => undefined);
    const loseAll = () => { log.fates.push(...Array.from({ length: 1_000 }, () => lost)); };
    loseAll();
    const slow = watched(opened(log, 'a').then(({ heard }) => heard));
    for (let times = 0; times < 4; times += 1) {
      await clock.advance(10_000);
      log.put('other.s.1', undefined); // of another context
    }
    expect(slow.outcome).toBe('open');
    log.fates.length = 0;
    await clock.advance(1_000);
    expect(slow.outcome).toEqual([true]);
    loseAll();
    const silent = watched(opened(log, 'b'));
    await clock.advance(14_000);
    expect(silent.outcome).toBe('open');
    await clock.advance(2_000);
    expect(silent.outcome).toBe('CLUSTER_UNAVAILABLE');
  });

  it('that is stopped while it starts does not go on, and leaves no reader', async () => {
    const clock = Clock.manual();
    let started: () => void = () => undefined;
    let readers = 0;
    const log: SessionLog = {
      ...new ScriptedLog(clock).opened('a'), stop: async () => undefined,
      start: () => new Promise((resolve) => { started = resolve; }),
      follow: () => {
        readers += 1;
        return () => { readers -= 1; };
      },
    };
    const table = tableOf(log, clock);
    const starting = watched(table.start({ context: CONTEXT, instanceId: 'a', receive: () => undefined, listening: () => undefined }));
    await settled(clock);
    await table.stop();
    started();
    await settled(clock);
    expect([starting.outcome, readers]).toEqual(['CLUSTER_UNAVAILABLE', 0]);
  });

  it('begins anew where it fell behind: what it had put is unknown, what it knew counts no more', async () => {
    const clock = Clock.manual();
    const log = new ScriptedLog(clock);
    const [a, b] = [await opened(log, 'a'), await opened(log, 'b')];
    await a.table.create(KEY, claim(1), write({}), 'release');
    log.hold('a');
    await b.table.acquire(KEY, claim(2));
    await b.table.commit(KEY, claim(2).grant, undefined, { change: undefined, lifetimeMs: 0 }, 'release');
    const put = watched(a.table.acquire(KEY, claim(3)));
    await settled(clock);
    await b.table.acquire(KEY, claim(4));
    await clock.advance(1_000);
    log.compact(); // the claim that was first is gone; a's own looks as if nothing had been before it
    log.release('a');
    await settled(clock);
    expect(put.outcome).toBe('CLUSTER_UNKNOWN_OUTCOME');
    expect(await a.table.acquire(KEY, claim(5))).toEqual({ kind: 'busy', holder: claim(4) });
    expect(a.heard).toEqual([true, false, true]);
  });

  it('catches up by itself, also if the log refuses its barrier at first', async () => {
    const clock = Clock.manual();
    const log = new ScriptedLog(clock);
    const [a, b] = [await opened(log, 'a'), await opened(log, 'b')];
    log.hold('a');
    await b.table.signal('x', 'one');
    await b.table.signal('x', 'two');
    log.compact();
    for (let times = 0; times < 2; times += 1) log.fates.push(() => Promise.reject(new ClusterError('CLUSTER_UNAVAILABLE', 'full')));
    log.release('a');
    await settled(clock);
    expect(a.heard).toEqual([true, false]);
    await clock.advance(2_000);
    expect(a.heard).toEqual([true, false, true]);
  });

  it('takes no new sessions at its bound, and says so; the others go on', async () => {
    const log = new ScriptedLog(Clock.manual());
    const { table } = await opened(log, 'a', { maxBytes: 2_000 });
    await table.create(KEY, claim(1), write({ a: 'x'.repeat(3_000) }), 'keep');
    await expect(table.create(key(2), claim(2), write({}), 'keep')).rejects.toMatchObject({ code: 'CLUSTER_FULL', message: expect.stringMatching(/2000/) });
    expect((await table.commit(KEY, claim(1).grant, { grant: claim(1).grant, version: 1 }, write({ a: 'y'.repeat(4_000) }), 'keep')).kind).toBe('done');
    expect(await table.create(KEY, claim(2), write({}), 'keep')).toBe('exists');
    // Else no instance could start.
    expect(await table.create(`${CONTEXT}.c.settings`, claim(3), { ...write({}), of: 'settings' }, 'release')).toBe('created');
    expect((await table.remove(KEY, claim(1).grant, undefined, 'removed', 1_000)).kind).toBe('removed');
    expect(await table.create(key(2), claim(2), write({}), 'keep')).toBe('created');
  });

  it('changes the id of a session at its bound, and refuses a new one as long as tombstones count', async () => {
    const clock = Clock.manual();
    const log = new ScriptedLog(clock);
    const manager = new DistributedManager(new ClusterStoreBase(log.opened('a', 20_000), { clock }), { clock });
    const login = async (session: Session): Promise<Session> => {
      const next = await manager.changeSessionId(session);
      await manager.sendSession(next);
      return next;
    };
    let session = manager.createSession();
    session.set('n', 'x'.repeat(5_000));
    await manager.sendSession(session);
    for (let times = 0; times < 30; times += 1) {
      session = await login(await manager.findSession(session.id) as Session); // it is there, as it was sent
      expect(session.get('n')).toHaveLength(5_000);
    }
    const fresh = () => { const other = manager.createSession(); other.set('n', 1); return manager.sendSession(other); };
    await expect(fresh()).rejects.toMatchObject({ code: 'CLUSTER_FULL' });
    await clock.advance(4 * 60_000);
    await fresh();
    await manager.stop();
  });

  it('says how full it is, and warns before it takes no new sessions, anew after it had become emptier', async () => {
    const clock = Clock.manual();
    const log = new ScriptedLog(clock);
    const manager = new DistributedManager(new ClusterStoreBase(log.opened('a', 20_000), { clock }), { clock });
    const warnings: string[] = [];
    manager.on('warning', ({ message }) => { warnings.push(message); });
    const made = async (length: number) => {
      const session = manager.createSession();
      session.set('n', 'x'.repeat(length));
      await manager.sendSession(session);
      await clock.advance(10_000);
      return session.id;
    };
    expect(manager.health().stored).toBeUndefined();
    await made(10_000);
    expect(manager.health().stored).toMatchObject({ bytes: expect.any(Number), maxBytes: 20_000 });
    expect(warnings).toEqual([]);
    const id = await made(6_000);
    const { bytes = 0 } = manager.health().stored ?? {};
    expect(bytes).toBeGreaterThan(16_000);
    expect(warnings).toEqual([expect.stringContaining(`keeps ${bytes} bytes of sessions, and takes no new ones at 20000 (CLUSTER_FULL)`)]);
    await clock.advance(60_000);
    expect(warnings).toHaveLength(1);
    await manager.removeSession(id);
    await clock.advance(4 * 60_000);
    await made(6_000);
    expect(warnings).toHaveLength(2);
    await manager.stop();
  });

  it('stops a log that it cannot use after it was started, and can be started again', async () => {
    const log = new ScriptedLog(Clock.manual());
    let runs = 0;
    const store = { ...log.opened('a'), start: async () => { runs += 1; }, stop: async () => { runs -= 1; } };
    const table = tableOf(store, log.clock);
    const context = { context: CONTEXT, instanceId: 'a', receive: () => undefined, listening: () => undefined };
    log.fates.push(() => Promise.reject(new ClusterError('CLUSTER_UNAVAILABLE', 'the user may not write')));
    await expect(table.start(context)).rejects.toThrow('the user may not write');
    expect(runs).toBe(0);
    await table.start(context);
    expect(runs).toBe(1);
    expect(await table.create(KEY, claim(1), write({ a: '1' }), 'keep')).toBe('created');
    await table.stop();
    expect(runs).toBe(0);
  });

  it('carries signals through the log, and brings none from before a start', async () => {
    const clock = Clock.manual();
    const log = new ScriptedLog(clock);
    const [a, b] = [await opened(log, 'a'), await opened(log, 'b')];
    expect([await a.table.signal('b', 'one'), a.table.capabilities.gone]).toEqual([true, 'unknown']);
    expect([a.received, b.received]).toEqual([[], ['one']]);
    await b.table.stop();
    await a.table.signal('b', 'two');
    expect((await opened(log, 'b')).received).toEqual([]);
  });

  it('does not go on over a record that it cannot read', async () => {
    const log = new ScriptedLog(Clock.manual());
    const { table } = await opened(log, 'a');
    log.put('other.s.1#1', 'whatever another context writes');
    expect(await table.read(KEY)).toEqual({ kind: 'absent' });
    log.put(`${KEY}#1`, '{"format":2,"kind":"put"}\n');
    await expect(table.read(KEY)).rejects.toMatchObject({ code: 'CLUSTER_FOREIGN_VERSION' });
  });

  it('ends a lease by both clocks', async () => {
    const clock = Clock.manual();
    const log = new ScriptedLog(clock);
    const a = await opened(log, 'a');
    await a.table.beat('a.1', 0, 10_000);
    clock.jumpWall(60_000); // another broker leads
    const b = await opened(log, 'b');
    await b.table.read(KEY);
    expect(await b.table.lapse('a.1', 5_000)).toBeGreaterThan(0);
    await clock.advance(5_000);
    expect(await b.table.lapse('a.1', 5_000)).toBe(0);
    expect(await a.table.beat('a.1', 1, 10_000)).toBe('lapsed');
  });

  it('is what a store over a log lends its manager', () => {
    const log = new ScriptedLog(Clock.manual());
    expect(() => new ClusterStoreBase(log.opened('a'))).not.toThrow();
  });
});

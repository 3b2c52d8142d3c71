import { describe, expect, it } from '@jest/globals';
import { Clock, type SessionMap } from '@cluster/core/driver';
import { testDriver } from '../src/index.js';
import { callsOn, lacksOf, type OpenStore } from '../src/processes/remote-store.js';
import { describeError } from '../src/proof.js';
import { registerStoreClauses, type StorePushing } from '../src/test-store.js';
import { CollectingRunner } from './collecting-runner.js';
import { freeAll, keptAt, memoryStore, newCluster, type FullStore, type MemoryCluster } from './memory-cluster.js';
import { newMapSpace, referenceMap, type OpenMap } from './reference-map.js';

/** An author without a compiler does not hear of types. */
const untyped = (methods: object): Partial<SessionMap> & Partial<FullStore> => methods;

async function failuresOf(runner: CollectingRunner, titles: RegExp): Promise<string[]> {
  const outcomes = await runner.run((title) => titles.test(title));
  return outcomes.flatMap(({ title, error }) => (error === undefined ? [] : [`${title}: ${describeError(error)}`]));
}

async function mapFailures(methods: (map: OpenMap) => object, titles: RegExp): Promise<string[]> {
  const [runner, clock] = [new CollectingRunner(), Clock.manual()];
  const space = newMapSpace(clock);
  const open = () => {
    const map = referenceMap(space);
    return { ...map, ...untyped(methods(map)) };
  };
  testDriver(runner.functions, { open, clock });
  return failuresOf(runner, titles);
}

async function storeFailures(methods: (store: FullStore, cluster: MemoryCluster) => object, titles: RegExp, more: Partial<StorePushing> = {}): Promise<string[]> {
  const [runner, cluster] = [new CollectingRunner(), newCluster()];
  const openStore: OpenStore = (instanceId) => {
    const correct = memoryStore(cluster, instanceId);
    const store = { ...correct, ...untyped(methods(correct, cluster)) };
    let runs = true;
    return Promise.resolve({
      ...callsOn(store), instanceId, lacks: lacksOf(store), get runs() { return runs; },
      async stop() { runs = false; await store.stop(); return true; },
      kill() { runs = false; freeAll(cluster, instanceId); return Promise.resolve(); },
    });
  };
  registerStoreClauses(runner.functions, { takeOverMs: 300, lateMs: 60, ...more }, openStore);
  return failuresOf(runner, titles);
}

describe('the author of a map is told', () => {
  it.each<[string, RegExp, string, (map: OpenMap) => object]>([
    ['that nothing is undefined', /^a put without a revision creates/, 'get resolved to null: expected undefined where there is nothing',
      (map) => ({ get: async (key: string) => await map.get(key) ?? null })],
    ['that a revision is text', /^a put without a revision creates/, 'compareAndSet resolved to 1: expected the new revision as text',
      (map) => ({ compareAndSet: async (...args: Parameters<OpenMap['compareAndSet']>) => Number(await map.compareAndSet(...args)) })],
    ['that a conflict is undefined', /^a put without a revision is refused/, 'compareAndSet resolved to false: expected the new revision as text, or undefined where the expected revision is not the present one',
      (map) => ({ compareAndSet: async (...args: Parameters<OpenMap['compareAndSet']>) => await map.compareAndSet(...args) ?? false })],
    ['which error a conflict was rejected by', /^a put without a revision is refused/, 'a call that this clause takes for granted failed: Error: UNIQUE constraint failed',
      (map) => ({ compareAndSet: async (...args: Parameters<OpenMap['compareAndSet']>) => await map.compareAndSet(...args) ?? Promise.reject(new Error('UNIQUE constraint failed')) })],
    ['that an update must not create', /^an update of an absent/, 'the answer for an absent key: expected undefined, found "',
      (map) => ({ compareAndSet: async (key: string, expected: string | undefined, entry: { value: string; lifetimeMs: number }) => map.compareAndSet(key, await map.get(key) && expected, entry) })],
    ['that lifetimes are in milliseconds', /^an entry is not gone/, 'what is there within the lifetimes: expected ["a", "b"], found [undefined, undefined]',
      (map) => ({ compareAndSet: (key: string, expected: string | undefined, entry: { value: string; lifetimeMs: number }) => map.compareAndSet(key, expected, { ...entry, lifetimeMs: entry.lifetimeMs / 1000 }) })],
    ['that what is over is gone', /^a revision is never used again/, 'get finds nothing where a lifetime is over (lateMs of the harness says how late that may be): not within',
      (map) => ({ compareAndSet: (key: string, expected: string | undefined, entry: { value: string; lifetimeMs: number }) => map.compareAndSet(key, expected, { ...entry, lifetimeMs: 1e9 }) })],
  ])('%s', async (_, titles, message, methods) => {
    expect((await mapFailures(methods, titles))[0]).toContain(message);
  });
});

describe('the author of a store is told', () => {
  const finding = (found: (session: object) => unknown) => (store: FullStore) => ({
    findSession: async (...args: Parameters<FullStore['findSession']>) => {
      const session = await store.findSession(...args);
      return session && found(session);
    },
  });

  it.each<[string, RegExp, string, (store: FullStore, cluster: MemoryCluster) => object]>([
    ['that attributes are a map', /^a session that was added/, 'what findSession resolved to: attributes: expected a Map, found {}', finding((session) => ({ ...session, attributes: {} }))],
    ['what attributes hold', /^a session that was added/, 'attributes: expected text or a Uint8Array under a name, found ["a", 1]', finding((session) => ({ ...session, attributes: new Map([['a', 1]]) }))],
    ['that a time is missing', /^a session that was added/, 'what findSession resolved to: idleMs: expected a number, found undefined', finding((session) => ({ ...session, idleMs: undefined }))],
    ['that nothing is undefined', /^find of an unknown id/, 'what findSession resolved to: expected undefined where there is nothing, else a SessionSnapshot, found null',
      (store) => ({ findSession: async (...args: Parameters<FullStore['findSession']>) => await store.findSession(...args) ?? null })],
    ['which code a locked session has', /^a found session is locked/, 'expected a rejection by CLUSTER_LOCKED, the code of a ClusterError, but it was rejected by Error: busy',
      (store) => ({ findSession: (...args: Parameters<FullStore['findSession']>) => store.findSession(...args).catch(() => { throw new Error('busy'); }) })],
    ['that a locked session must not look absent', /^a found session is locked/, 'expected a rejection by CLUSTER_LOCKED, but it resolved to undefined',
      (store) => ({ findSession: (...args: Parameters<FullStore['findSession']>) => store.findSession(...args).catch(() => undefined) })],
    ['that a refused send must say so', /^send without having found/, 'a send to a free session: expected a rejection by CLUSTER_FENCED, but it resolved to undefined',
      (store) => ({ sendSession: (...args: Parameters<FullStore['sendSession']>) => store.sendSession(...args).catch(() => undefined) })],
    ['that an update replaces', /^attributes of any name/, 'names, updated: at "z" expected nothing, found "26"',
      (store, cluster) => ({
        sendSession: (session: Parameters<FullStore['sendSession']>[0], options: Parameters<FullStore['sendSession']>[1]) =>
          store.sendSession({ ...session, attributes: new Map([...keptAt(cluster, session.id)?.attributes ?? [], ...session.attributes]) }, options),
      })],
    ['who has the lock that is not free', /^a found session is locked/, 'a find after it was sent: expected the session, with the lock, but found a rejection by ClusterError: locked (CLUSTER_LOCKED)',
      (store) => ({ sendSession: (session: Parameters<FullStore['sendSession']>[0], { isNew }: { isNew: boolean }) => store.sendSession(session, { isNew, keep: !isNew }) })],
    ['that a method is missing', /^find of an unknown id/, 'the store has no touchSessions; if that is meant, say so in the harness: lacks: ["touchSessions"]', () => ({ touchSessions: undefined })],
  ])('%s', async (_, titles, message, methods) => {
    expect((await storeFailures(methods, titles))[0]).toContain(message);
  });

  it('that the harness names what the store has', async () => {
    expect((await storeFailures(() => ({}), /^find of an unknown id/, { lacks: ['readSession'] }))[0]).toContain('the harness names readSession in lacks, but the store has it');
  });

  it('how far a take-over came', async () => {
    const stuck = (store: FullStore) => ({ findSession: async (...args: Parameters<FullStore['findSession']>) => (args[1].waitMs === 250 ? Promise.reject(new Error('still locked')) : store.findSession(...args)) });
    expect((await storeFailures(stuck, /^after the process/))[0]).toContain('the session can be had again (the last answer: Error: still locked), as the harness promises by takeOverMs: not within 300 ms');
  });
});

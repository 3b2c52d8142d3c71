import { describe, expect, it } from '@jest/globals';
import { callsOn, lacksOf, type OpenStore } from '../src/processes/remote-store.js';
import { registerStoreClauses, storeContents } from '../src/test-store.js';
import { brokenStores, whenGone, type StoreBreakage } from './broken/stores.js';
import { CollectingRunner } from './collecting-runner.js';
import { memoryStore, newCluster } from './memory-cluster.js';

/** Stores of this process: what a clause catches does not depend on where they run. */
function storesHere(breakage?: StoreBreakage): OpenStore {
  const cluster = newCluster();
  return (instanceId) => {
    const correct = memoryStore(cluster, instanceId);
    const store = { ...correct, ...breakage?.methods(correct, cluster) };
    let runs = true;
    return Promise.resolve({
      ...callsOn(store), instanceId, lacks: lacksOf(store),
      get runs() { return runs; },
      async stop() { runs = false; await store.stop(); return true; },
      kill() { runs = false; whenGone(breakage, cluster, instanceId); return Promise.resolve(); },
    });
  };
}

describe('every clause of a cluster store catches a store that breaks it', () => {
  it('there is a broken store for each clause, and none for a clause that does not exist', () => {
    expect(new Set(brokenStores.map(({ clause }) => clause))).toEqual(new Set(storeContents.map(({ title }) => title)));
  });

  it.each(brokenStores.map((breakage) => [breakage.broken, breakage.clause, breakage] as const))('%s → %s', async (_broken, clause, breakage) => {
    const runner = new CollectingRunner();
    registerStoreClauses(runner.functions, { takeOverMs: 300, lateMs: 60 }, storesHere(breakage));
    const outcomes = await runner.run((title) => title === clause);
    expect(outcomes).toEqual([{ title: clause, error: expect.objectContaining({ message: expect.any(String) }) }]);
  });
});

describe('on a slow machine', () => {
  /** What is asked for is done some time after. */
  const slowly = (open: OpenStore): OpenStore => async (instanceId) => {
    const store = await open(instanceId);
    const later = () => new Promise((resolve) => { setTimeout(resolve, 100); });
    return {
      ...store,
      find: (...args) => later().then(() => store.find(...args)),
      send: (...args) => later().then(() => store.send(...args)),
    };
  };

  it.each(['a session is there until its lifetime is over, and not long after it', 'send makes a session live on'])('a correct store passes: %s', async (clause) => {
    const runner = new CollectingRunner();
    registerStoreClauses(runner.functions, { takeOverMs: 300, lateMs: 60 }, slowly(storesHere()));
    expect(await runner.run((title) => title === clause)).toEqual([{ title: clause, error: undefined }]);
  });
});

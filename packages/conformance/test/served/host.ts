import { whenGone, type StoreBreakage } from '../broken/stores.js';
import { memoryStore, newCluster, type FullStore } from '../memory-cluster.js';
import { SmallServer } from './server.js';

/** Serves a cluster in memory to stores of other processes; what an instance has locked is freed when its connection ends. */
export async function host(breakage?: StoreBreakage): Promise<SmallServer> {
  const cluster = newCluster();
  const server = new SmallServer(() => {
    let store: FullStore | undefined;
    return {
      answer(method, args) {
        if (method !== 'hello') return Reflect.apply(Reflect.get(store ?? {}, method) as (...given: unknown[]) => unknown, undefined, [...args]); // a name of ClusterStore
        const correct = memoryStore(cluster, String(args[0]));
        store = { ...correct, ...breakage?.methods(correct, cluster) };
        return undefined;
      },
      ended() { if (store !== undefined) whenGone(breakage, cluster, store.instanceId); },
    };
  });
  await server.open();
  return server;
}

import type { ClusterStore } from '@cluster/core';
import { KvStore } from '../kv-store.js';

/** What the conformance kit makes a store with, in each of its processes. */
export const createStore = ({ instanceId, config }: { instanceId: string; config: { port: number } }): ClusterStore =>
  new KvStore({ instanceId, port: config.port });

import type { ClusterStore } from '@cluster/core';
import { NatsStore } from '../../src/index.js';

interface Config { readonly servers: string | string[]; readonly replicas?: number }

/** What the conformance kit calls in its processes. */
export const createStore = ({ instanceId, config: { servers, replicas = 1 } }: { instanceId: string; config: Config }): ClusterStore =>
  new NatsStore({ connect: { servers, ignoreClusterUpdates: true }, replicas, instanceId });

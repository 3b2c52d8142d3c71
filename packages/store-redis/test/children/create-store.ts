import { Cluster, Redis } from 'ioredis';
import type { ClusterStore } from '@cluster/core';
import { RedisStore } from '../../src/index.js';

interface Address { readonly host: string; readonly port: number }
type Config = { readonly url: string } | { readonly sentinels: readonly Address[]; readonly name: string } | { readonly nodes: readonly Address[] };

/** What the conformance kit calls in its processes. */
export function createStore({ instanceId, config }: { instanceId: string; config: Config }): ClusterStore {
  if ('url' in config) return new RedisStore({ url: config.url, instanceId });
  const client = 'nodes' in config ? new Cluster([...config.nodes], { lazyConnect: true })
    : new Redis({ sentinels: [...config.sentinels], name: config.name, lazyConnect: true });
  return new RedisStore({ client, instanceId });
}

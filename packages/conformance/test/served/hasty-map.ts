import type { ClusterStore } from '@cluster/core';
import { ClusterStoreBase, tableOf } from '@cluster/core/driver';
import type { Address } from './client.js';
import { ServedMap } from './served-map.js';

/** Ends leases without waiting for any quiet: shorter than an instance may read from memory. */
export function createStore({ instanceId, config }: { instanceId: string; config: Address }): ClusterStore {
  const table = tableOf(new ServedMap(config));
  const lapse = table.lapse.bind(table);
  table.lapse = (incarnation) => lapse(incarnation, 0);
  return new ClusterStoreBase(table, { instanceId });
}

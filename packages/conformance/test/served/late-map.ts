import type { ClusterStore } from '@cluster/core';
import { ClusterStoreBase, type Entry } from '@cluster/core/driver';
import type { Address } from './client.js';
import { ServedMap } from './served-map.js';

class LateMap extends ServedMap {
  #isLate = true;

  constructor(address: Address, private readonly isAlwaysLate: boolean) { super(address); }

  override compareAndSet(key: string, expected: string | undefined, entry: Entry): Promise<string | undefined> {
    if (!this.#isLate) return super.compareAndSet(key, expected, entry);
    this.#isLate = this.isAlwaysLate;
    return new Promise(() => undefined);
  }
}

/** A store that does not answer the first beat of a process, or none at all. */
export const createStore = ({ instanceId, config }: { instanceId: string; config: Address & { readonly isAlwaysLate: boolean } }): ClusterStore =>
  new ClusterStoreBase(new LateMap(config, config.isAlwaysLate), { instanceId });

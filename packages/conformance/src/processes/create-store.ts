import type { ClusterStore } from '@cluster/core';
import type { Beginning } from './messages.js';

/** What the module that a harness names is given. */
export interface StoreOptions {
  readonly instanceId: string;
  readonly config: unknown;
  /**
   * To be called by a store's tests between any two effects of the store, such as two calls to the disk: the process may be
   * killed there.
   */
  readonly step: () => void;
}

function isFactory(value: unknown): value is (options: StoreOptions) => ClusterStore | Promise<ClusterStore> {
  return typeof value === 'function';
}

/** The store of this process, made by the module that the harness names. */
export async function createStore({ module, instanceId, config }: Beginning, step: () => void = () => undefined): Promise<ClusterStore> {
  const loaded = await import(module) as Record<string, unknown>; // a module is an object
  const factory = loaded.createStore;
  if (!isFactory(factory)) throw new TypeError(`${module}: expected an export createStore({ instanceId, config })`);
  const store = await factory({ instanceId, config, step });
  if (store.instanceId !== instanceId) throw new TypeError(`${module}: expected createStore to make a store with the instanceId '${instanceId}', found '${store.instanceId}'`);
  return store;
}

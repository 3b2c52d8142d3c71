import { MemoryStore, type ClusterStore } from '@cluster/core';

/** Gives its store a name of its own. */
export const createStore = (): ClusterStore => new MemoryStore();

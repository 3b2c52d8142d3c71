import type { ClusterStore } from '@cluster/core';
import { ClusterStoreBase } from '@cluster/core/driver';
import { FilesystemMap } from '../../src/filesystem-map.js';
import { steppingDisk } from './stepping-disk.js';

interface Config {
  readonly directory: string;
  /** As which user the process goes on, if not as the one who started it. */
  readonly uid?: number;
}

/** What the conformance kit calls in its processes. */
export function createStore({ instanceId, config: { directory, uid }, step }: { instanceId: string; config: Config; step: () => void }): ClusterStore {
  if (uid !== undefined) process.setuid?.(uid);
  return new ClusterStoreBase(new FilesystemMap({ directory, allowNetworkMounts: false, disk: steppingDisk(step) }), { instanceId });
}

import { ClusterStoreBase, resolveOptions } from '@cluster/core/driver';
import { FilesystemMap } from './filesystem-map.js';
import { filesystemStoreOptions, type FilesystemStoreOptions } from './options.js';

const like = "{ directory: '/srv/shop/sessions' }";

/**
 * Keeps sessions in a folder, for any number of processes on one host. An acknowledged change survives the death of all of
 * them and of the machine. Runs on Linux and macOS.
 * @throws ClusterError CLUSTER_BAD_OPTION naming each option that is not as expected; the folder itself is checked by `start`
 */
export class FilesystemStore extends ClusterStoreBase {
  constructor(options: FilesystemStoreOptions) {
    const { directory = '', instanceId, clock, ...rest } = resolveOptions('FilesystemStore', filesystemStoreOptions, options, { like });
    super(new FilesystemMap({ directory, clock, ...rest }), { clock, ...(instanceId === undefined ? {} : { instanceId }) });
  }
}

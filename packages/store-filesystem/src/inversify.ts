import { ContainerModule } from 'inversify';
import { ClusterStore } from '@cluster/core';
import { FilesystemStore } from './filesystem-store.js';
import type { FilesystemStoreOptions } from './options.js';

/** Binds `ClusterStore` to one {@link FilesystemStore}; deactivation stops it. */
export const filesystemStoreModule = (options: FilesystemStoreOptions): ContainerModule =>
  new ContainerModule(({ bind }) => {
    bind<ClusterStore>(ClusterStore).toDynamicValue((): ClusterStore => new FilesystemStore(options)).inSingletonScope()
      .onDeactivation((store) => store.stop());
  });

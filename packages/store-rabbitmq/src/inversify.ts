import { ContainerModule } from 'inversify';
import { ClusterStore } from '@cluster/core';
import type { RabbitStoreOptions } from './options.js';
import { RabbitStore } from './rabbit-store.js';

/** Binds `ClusterStore` to one {@link RabbitStore}; deactivation stops it. */
export const rabbitStoreModule = (options: RabbitStoreOptions): ContainerModule =>
  new ContainerModule(({ bind }) => {
    bind<ClusterStore>(ClusterStore).toDynamicValue((): ClusterStore => new RabbitStore(options)).inSingletonScope()
      .onDeactivation((store) => store.stop());
  });

import { ContainerModule } from 'inversify';
import { ClusterStore } from '@cluster/core';
import { NatsStore } from './nats-store.js';
import type { NatsStoreOptions } from './options.js';

/** Binds `ClusterStore` to one {@link NatsStore}; deactivation stops it. */
export const natsStoreModule = (options: NatsStoreOptions): ContainerModule =>
  new ContainerModule(({ bind }) => {
    bind<ClusterStore>(ClusterStore).toDynamicValue((): ClusterStore => new NatsStore(options)).inSingletonScope()
      .onDeactivation((store) => store.stop());
  });

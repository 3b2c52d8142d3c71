import { ContainerModule } from 'inversify';
import { ClusterStore } from '@cluster/core';
import { KafkaStore } from './kafka-store.js';
import type { KafkaStoreOptions } from './options.js';

/** Binds `ClusterStore` to one {@link KafkaStore}; deactivation stops it. */
export const kafkaStoreModule = (options: KafkaStoreOptions): ContainerModule =>
  new ContainerModule(({ bind }) => {
    bind<ClusterStore>(ClusterStore).toDynamicValue((): ClusterStore => new KafkaStore(options)).inSingletonScope()
      .onDeactivation((store) => store.stop());
  });

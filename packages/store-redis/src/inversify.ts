import { ContainerModule } from 'inversify';
import { ClusterStore } from '@cluster/core';
import type { RedisStoreOptions } from './options.js';
import { RedisStore } from './redis-store.js';

/** Binds `ClusterStore` to one {@link RedisStore}; deactivation stops it. */
export const redisStoreModule = (options: RedisStoreOptions): ContainerModule =>
  new ContainerModule(({ bind }) => {
    bind<ClusterStore>(ClusterStore).toDynamicValue((): ClusterStore => new RedisStore(options)).inSingletonScope()
      .onDeactivation((store) => store.stop());
  });

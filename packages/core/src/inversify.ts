import { ContainerModule } from 'inversify';
import { ClusterStore } from './cluster-store.js';
import { DistributedManager } from './distributed-manager.js';
import { Manager } from './manager.js';
import type { ManagerOptions } from './options.js';

/**
 * Binds {@link Manager} to one `DistributedManager` over whatever {@link ClusterStore} the container has. Unbinding it, e.g. by
 * `container.unbindAllAsync()`, stops the manager and its store.
 */
export function managerModule(options: ManagerOptions = {}): ContainerModule {
  return new ContainerModule(({ bind }) => {
    bind<Manager>(Manager)
      .toResolvedValue((store: ClusterStore): Manager => new DistributedManager(store, options), [ClusterStore])
      .inSingletonScope()
      .onDeactivation((manager) => manager.stop());
  });
}

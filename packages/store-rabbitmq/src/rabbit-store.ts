import { ClusterStoreBase, resolveOptions } from '@cluster/core/driver';
import { rabbitStoreOptions, type RabbitStoreOptions } from './options.js';
import { RabbitLog } from './rabbit-log.js';

const like = "{ urls: ['amqp://host:5672'] }";

/**
 * Keeps sessions in a stream of RabbitMQ, and all of them in the memory of every instance.
 * @throws ClusterError CLUSTER_BAD_OPTION naming each option that is not as expected; broker and stream are checked by `start`
 */
export class RabbitStore extends ClusterStoreBase {
  constructor(options: RabbitStoreOptions) {
    const { instanceId, ...settings } = resolveOptions('RabbitStore', rabbitStoreOptions, options, { like });
    super(new RabbitLog(settings), { instanceId });
  }
}

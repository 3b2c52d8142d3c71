import type { ConnectionOptions, NatsConnection } from 'nats';
import { ClusterError } from '@cluster/core';
import { ClusterStoreBase, resolveOptions } from '@cluster/core/driver';
import { NatsMap } from './nats-map.js';
import { addressed, natsStoreOptions, type NatsStoreOptions } from './options.js';

const like = "{ client } or { connect: { servers: 'nats://host:4222' } }";

/**
 * Keeps sessions in a key-value bucket of NATS JetStream, on one server or on several of a cluster.
 * @throws ClusterError CLUSTER_BAD_OPTION naming each option that is not as expected; server and bucket are checked by `start`
 */
export class NatsStore extends ClusterStoreBase {
  constructor(options: NatsStoreOptions) {
    const { instanceId, client, connect, ...settings } = resolveOptions('NatsStore', natsStoreOptions, options, { like });
    if ((client === undefined) === (connect === undefined)) {
      throw new ClusterError('CLUSTER_BAD_OPTION', `NatsStore: expected either client or connect, found ${client === undefined ? 'neither' : 'both'}`);
    }
    // Both are what nats calls so; see options.ts.
    const source = connect === undefined ? { client: client as NatsConnection } : { connect: addressed(connect) as ConnectionOptions };
    super(new NatsMap({ ...settings, source }), { instanceId });
  }
}

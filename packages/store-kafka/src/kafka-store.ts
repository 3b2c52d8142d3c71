import { ClusterError } from '@cluster/core';
import { ClusterStoreBase, resolveOptions } from '@cluster/core/driver';
import { KafkaLog } from './kafka-log.js';
import { KafkajsPort } from './kafkajs-port.js';
import { connectionOf, kafkaStoreOptions, type Connection, type KafkaStoreOptions } from './options.js';

const like = "{ connect: { brokers: ['host:9092'] } }";

/**
 * Keeps sessions in one compacted topic of Kafka, and all of them in the memory of every instance.
 * @throws ClusterError CLUSTER_BAD_OPTION naming each option that is not as expected; brokers and topic are checked by `start`
 */
export class KafkaStore extends ClusterStoreBase {
  constructor(options: KafkaStoreOptions) {
    const { instanceId, connect, client, ...settings } = resolveOptions('KafkaStore', kafkaStoreOptions, options, { like });
    if ((client === undefined) === (connect === undefined)) {
      throw new ClusterError('CLUSTER_BAD_OPTION', `KafkaStore: expected either connect or client, found ${client === undefined ? 'neither' : 'both'}`);
    }
    const connection = connect && connectionOf(connect);
    // One of them is there, as was just seen.
    super(new KafkaLog({ ...settings, open: client ?? (() => new KafkajsPort(connection as Connection)) }), { instanceId });
  }
}

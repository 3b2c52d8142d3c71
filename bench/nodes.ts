// Three servers of a kind that replicate, one of which can be killed.
import { until, type ServerProcess } from '../scripts/services/server-process.js';
import type { Place } from './stores.js';

const NODES = 3;
/** What the stores call their bucket and their topic. */
const BUCKET = 'KV_cluster';
const TOPIC = 'cluster';

type Nodes = Required<Place>;

async function killed(node: ServerProcess): Promise<() => Promise<void>> {
  await node.kill();
  return () => node.restart();
}

/** The one that leads is killed. */
export async function natsNodes(): Promise<Nodes> {
  const { NatsCluster } = await import('../scripts/services/nats-cluster.js');
  const cluster = await NatsCluster.start();
  return { address: cluster.urls.join(','), stop: () => cluster.stop(), killOne: async () => killed(await cluster.settled(BUCKET)) };
}

/** The one that leads is killed. `isSlow`: the brokers have Kafka's own time-outs. */
export async function kafkaNodes(isSlow: boolean): Promise<Nodes> {
  const [{ KafkaServer }, { default: kafkajs }] = await Promise.all([import('../scripts/services/kafka.js'), import('kafkajs')]);
  const nodes = await KafkaServer.together(NODES, { isSlow });
  const brokers = nodes.map(({ url }) => url);
  const admin = new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.NOTHING, requestTimeout: 2_000 }).admin();
  const leader = async () => {
    let found: ServerProcess | undefined;
    await until('every broker has everything', async () => {
      const { topics } = await admin.fetchTopicMetadata({ topics: [TOPIC] });
      const [partition] = topics[0]?.partitions ?? [];
      found = nodes.find(({ nodeId }) => nodeId === partition?.leader);
      return found?.pid !== undefined && partition?.isr.length === NODES;
    });
    return found ?? Promise.reject(new Error('settled without a leader'));
  };
  return {
    address: brokers.join(','),
    async stop() {
      await admin.disconnect();
      await Promise.all(nodes.map((node) => node.stop()));
    },
    async killOne() {
      await admin.connect();
      return killed(await leader());
    },
  };
}

/** Each is killed in turn, so the one that leads is among the first three: AMQP does not tell which it is. */
export async function rabbitNodes(): Promise<Nodes> {
  const { RabbitServer } = await import('../scripts/services/rabbitmq.js');
  const nodes = await RabbitServer.together(NODES);
  let kills = 0;
  return {
    address: nodes.map(({ url }) => url).join(','),
    async stop() { await Promise.all(nodes.map((node) => node.stop())); },
    async killOne() {
      const node = nodes[kills++ % NODES];
      if (node === undefined) throw new Error(`expected ${NODES} nodes`);
      return killed(node);
    },
  };
}

import { once } from 'node:events';
import { Doorbell, ringAll } from './doorbell.js';
import { KafkaServer } from './kafka.js';
import { NatsCluster } from './nats-cluster.js';
import { NatsServer } from './nats.js';
import { RabbitServer } from './rabbitmq.js';
import { RedisCluster } from './redis-cluster.js';
import { RedisSentinel } from './redis-sentinel.js';
import { RedisServer } from './redis.js';
import type { ServerProcess } from './server-process.js';

/** `lines`: what a URL or the options of a store are given, as they are written there. */
interface Running { readonly lines: readonly string[]; readonly servers: readonly ServerProcess[]; stop: () => Promise<void> }

type Kinds = Readonly<Record<string, () => Promise<Running>>>;

const redisKinds: Kinds = {
  single: async () => alone(await RedisServer.start()),
  aof: async () => alone(await RedisServer.start({ aof: true })),
  sentinel: async () => {
    const redis = await RedisSentinel.start();
    const lines = [
      `new Redis({ sentinels: [${redis.sentinels.map(({ host, port }) => `{ host: '${host}', port: ${port} }`).join(', ')}], name: '${redis.name}' })`,
      ...redis.servers.map(({ url }, at) => `${at === 0 ? 'primary' : 'replica'} ${url}`),
    ];
    return { lines, servers: [redis.sentinel, ...redis.servers], stop: () => redis.stop() };
  },
  cluster: async () => {
    const redis = await RedisCluster.start();
    return { lines: [`new Cluster(${written(redis.nodes.map(({ url }) => url))})`], servers: redis.nodes, stop: () => redis.stop() };
  },
};

const natsKinds: Kinds = {
  single: async () => alone(await NatsServer.start()),
  cluster: async () => {
    const nats = await NatsCluster.start();
    return { lines: [`connect: { servers: ${written(nats.urls)} }, replicas: 3`], servers: nats.nodes, stop: () => nats.stop() };
  },
};

const kafkaKinds: Kinds = {
  single: async () => kafka([await KafkaServer.start()]),
  cluster: async () => kafka(await KafkaServer.together(3)),
};

const rabbitKinds: Kinds = {
  single: async () => alone(await RabbitServer.start()),
  cluster: async () => {
    const nodes = await RabbitServer.together(3);
    return { lines: [`urls: ${written(nodes.map(({ url }) => url))}, replicas: 3`], servers: nodes, stop: () => stopAll(nodes) };
  },
};

const kindsOf = { redis: redisKinds, nats: natsKinds, kafka: kafkaKinds, rabbitmq: rabbitKinds };

const written = (words: readonly string[]) => `[${words.map((word) => `'${word}'`).join(', ')}]`;

const alone = (server: RedisServer | NatsServer | RabbitServer): Running => ({ lines: [server.url], servers: [server], stop: () => server.stop() });

/** Kafka has no URLs of its own: the shop takes one, for a single broker; a store takes the addresses of brokers. */
function kafka(nodes: readonly KafkaServer[]): Running {
  const addresses = nodes.map(({ url }) => url);
  const options = `connect: { brokers: ${written(addresses)} }, replicas: ${nodes.length}`;
  return { lines: nodes.length > 1 ? [options] : [`kafka://${addresses.join()}`, options], servers: nodes, stop: () => stopAll(nodes) };
}

async function stopAll(servers: readonly ServerProcess[]): Promise<void> {
  await Promise.all(servers.map((server) => server.stop()));
}

/**
 * Starts a server of this kind and says where it is; resolves when nothing is left of it, after Ctrl-C or `down`.
 * @throws Error when a server has ended otherwise; nothing is left of the others then
 */
export async function up(server: keyof typeof kindsOf, kind: string): Promise<void> {
  const kinds = kindsOf[server];
  const start = kinds[kind];
  if (start === undefined) throw new Error(`up ${server}: expected ${Object.keys(kinds).join(', ')}, found ${kind}`);
  // From now on, so that a Ctrl-C while it starts ends it as well.
  const interrupted = Promise.race(['SIGINT', 'SIGTERM', 'SIGHUP'].map((signal) => once(process, signal)));
  const { lines, servers, stop } = await start();
  const lost = Promise.race(servers.map(async ({ port, ended }) => `The server on port ${port} has ended: ${await ended}.`));
  const doorbell = new Doorbell();
  await doorbell.open();
  for (const line of lines) console.log(line);
  console.log('Ctrl-C or npm run services -- down ends it.');
  const what = await Promise.race([doorbell.rung, interrupted, lost]);
  await stop();
  await doorbell.close();
  if (typeof what === 'string') throw new Error(servers.length > 1 ? `${what} The others were ended as well.` : what);
}

/** Ends what every `up` of this checkout has started. */
export async function down(): Promise<void> {
  console.log(`ended: ${await ringAll()}`);
}

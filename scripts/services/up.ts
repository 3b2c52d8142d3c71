import { once } from 'node:events';
import { Doorbell, ringAll } from './doorbell.js';
import { KafkaServer } from './kafka.js';
import { NatsCluster } from './nats-cluster.js';
import { NatsServer } from './nats.js';
import { RabbitServer } from './rabbitmq.js';
import { RedisCluster } from './redis-cluster.js';
import { RedisSentinel } from './redis-sentinel.js';
import { RedisServer } from './redis.js';

interface Running { readonly lines: readonly string[]; stop: () => Promise<void> }

type Kinds = Readonly<Record<string, () => Promise<Running>>>;

const redisKinds: Kinds = {
  single: async () => alone(await RedisServer.start()),
  aof: async () => alone(await RedisServer.start({ aof: true })),
  sentinel: async () => {
    const redis = await RedisSentinel.start();
    const lines = [
      ...redis.sentinels.map(({ host, port }) => `Sentinel on ${host}:${port}, which calls them ${redis.name}`),
      ...redis.servers.map(({ url }, at) => `${at === 0 ? 'primary' : 'replica'} ${url}`),
    ];
    return { lines, stop: () => redis.stop() };
  },
  cluster: async () => {
    const redis = await RedisCluster.start();
    return { lines: redis.nodes.map(({ url }) => `node ${url}`), stop: () => redis.stop() };
  },
};

const natsKinds: Kinds = {
  single: async () => alone(await NatsServer.start()),
  cluster: async () => {
    const nats = await NatsCluster.start();
    const servers = nats.urls.map((url) => `'${url}'`).join(', ');
    return { lines: [`connect: { servers: [${servers}] }, replicas: 3`], stop: () => nats.stop() };
  },
};

const kafkaKinds: Kinds = {
  single: async () => alone(await KafkaServer.start()),
  cluster: async () => {
    const nodes = await KafkaServer.together(3);
    return { lines: nodes.map(({ url }) => `node ${url}`), stop: async () => { await Promise.all(nodes.map((node) => node.stop())); } };
  },
};

const rabbitKinds: Kinds = {
  single: async () => alone(await RabbitServer.start()),
  cluster: async () => {
    const nodes = await RabbitServer.together(3);
    return { lines: nodes.map(({ url }) => `node ${url}`), stop: async () => { await Promise.all(nodes.map((node) => node.stop())); } };
  },
};

const kindsOf = { redis: redisKinds, nats: natsKinds, kafka: kafkaKinds, rabbitmq: rabbitKinds };

const alone = (server: RedisServer | NatsServer | KafkaServer | RabbitServer): Running => ({ lines: [server.url], stop: () => server.stop() });

/** Starts a server of this kind and says where it is; resolves when nothing is left of it, after Ctrl-C or `down`. */
export async function up(server: keyof typeof kindsOf, kind: string): Promise<void> {
  const kinds = kindsOf[server];
  const start = kinds[kind];
  if (start === undefined) throw new Error(`up ${server}: expected ${Object.keys(kinds).join(', ')}, found ${kind}`);
  // From now on, so that a Ctrl-C while it starts ends it as well.
  const interrupted = Promise.race(['SIGINT', 'SIGTERM', 'SIGHUP'].map((signal) => once(process, signal)));
  const { lines, stop } = await start();
  const doorbell = new Doorbell();
  await doorbell.open();
  for (const line of lines) console.log(line);
  console.log('Ctrl-C or npm run services -- down ends it.');
  await Promise.race([doorbell.rung, interrupted]);
  await stop();
  await doorbell.close();
}

/** Ends what every `up` of this checkout has started. */
export async function down(): Promise<void> {
  console.log(`ended: ${await ringAll()}`);
}

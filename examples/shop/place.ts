import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KafkaServer } from '../../scripts/services/kafka.js';
import { NatsServer } from '../../scripts/services/nats.js';
import { RabbitServer } from '../../scripts/services/rabbitmq.js';
import { RedisServer } from '../../scripts/services/redis.js';

/** Where the three processes keep their sessions. */
export interface Place {
  /** What each process is told: a folder, or the URL of a Redis, NATS, Kafka or RabbitMQ. */
  readonly address: string;
  readonly description: string;
  /** Resolves when the server that was started for the demo has ended, to how it did: `SIGKILL`, `status 1`. */
  readonly ended?: Promise<string>;
  /** Removes what was made for the demo. */
  readonly remove: () => Promise<void>;
}

export async function aFolder(): Promise<Place> {
  const address = await mkdtemp(join(tmpdir(), 'cluster-shop-'));
  return { address, description: 'a folder', remove: () => rm(address, { recursive: true, force: true }) };
}

/** The Redis at this URL, or one that is started for the demo. */
export async function aRedis(url?: string): Promise<Place> {
  if (url !== undefined) return { address: url, description: `a Redis on ${new URL(url).host}`, remove: async () => undefined };
  const redis = await RedisServer.start();
  return { address: redis.url, description: `a Redis of its own on port ${redis.port}`, ended: redis.ended, remove: () => redis.stop() };
}

/** The NATS at this URL, or one that is started for the demo. */
export async function aNats(url?: string): Promise<Place> {
  if (url !== undefined) return { address: url, description: `a NATS on ${new URL(url).host}`, remove: async () => undefined };
  const nats = await NatsServer.start();
  return { address: nats.url, description: `a NATS of its own on port ${nats.port}`, ended: nats.ended, remove: () => nats.stop() };
}

/** The Kafka at this address, as kafka://host:port, or one that is started for the demo. */
export async function aKafka(url?: string): Promise<Place> {
  if (url !== undefined) return { address: url, description: `a Kafka on ${new URL(url).host}`, remove: async () => undefined };
  const kafka = await KafkaServer.start();
  return { address: `kafka://${kafka.url}`, description: `a Kafka of its own on port ${kafka.port}`, ended: kafka.ended, remove: () => kafka.stop() };
}

/** The RabbitMQ at this URL, or one that is started for the demo. */
export async function aRabbit(url?: string): Promise<Place> {
  if (url !== undefined) return { address: url, description: `a RabbitMQ on ${new URL(url).host}`, remove: async () => undefined };
  const rabbit = await RabbitServer.start();
  return { address: rabbit.url, description: `a RabbitMQ of its own on port ${rabbit.port}`, ended: rabbit.ended, remove: () => rabbit.stop() };
}

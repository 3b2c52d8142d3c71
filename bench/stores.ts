import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MemoryStore, type ClusterStore } from '@cluster/core';
import { kafkaNodes, natsNodes, rabbitNodes } from './nodes.js';

/** Where a store of the bench keeps its sessions, made for one run: a folder, or a server's address. */
export interface Place {
  readonly address: string;
  stop(): Promise<void>;
  /** Where three servers replicate: kills one as soon as all have everything, and resolves to what starts it again. */
  readonly killOne?: () => Promise<() => Promise<void>>;
}

interface Kind { readonly open: (address: string) => Promise<ClusterStore>; readonly start: () => Promise<Place> }

async function openKafka(brokers: string): Promise<ClusterStore> {
  const { KafkaStore } = await import('@cluster/store-kafka');
  const connect = { brokers: brokers.split(',') };
  return new KafkaStore(connect.brokers.length === 1 ? { connect, replicas: 1 } : { connect });
}

const kinds = {
  memory: {
    open: () => Promise.resolve(new MemoryStore()),
    start: () => Promise.resolve({ address: '', stop: () => Promise.resolve() }),
  },
  filesystem: {
    async open(directory) {
      const { FilesystemStore } = await import('@cluster/store-filesystem');
      return new FilesystemStore({ directory });
    },
    start() {
      const address = mkdtempSync(join(tmpdir(), 'cluster-bench-'));
      return Promise.resolve({ address, stop: () => { rmSync(address, { recursive: true, force: true }); return Promise.resolve(); } });
    },
  },
  redis: {
    async open(url) {
      const { RedisStore } = await import('@cluster/store-redis');
      return new RedisStore({ url });
    },
    async start() {
      const { RedisServer } = await import('../scripts/services/redis.js');
      const server = await RedisServer.start();
      return { address: server.url, stop: () => server.stop() };
    },
  },
  nats: {
    async open(url) {
      const { NatsStore } = await import('@cluster/store-nats');
      return new NatsStore({ connect: { servers: url } });
    },
    async start() {
      const { NatsServer } = await import('../scripts/services/nats.js');
      const server = await NatsServer.start();
      return { address: server.url, stop: () => server.stop() };
    },
  },
  'nats-r3': {
    async open(urls) {
      const { NatsStore } = await import('@cluster/store-nats');
      return new NatsStore({ connect: { servers: urls.split(',') }, replicas: 3 });
    },
    start: natsNodes,
  },
  kafka: {
    open: openKafka,
    async start() {
      const { KafkaServer } = await import('../scripts/services/kafka.js');
      const server = await KafkaServer.start();
      return { address: server.url, stop: () => server.stop() };
    },
  },
  'kafka-r3': { open: openKafka, start: () => kafkaNodes(false) },
  'kafka-r3-slow': { open: openKafka, start: () => kafkaNodes(true) },
  rabbitmq: {
    async open(url) {
      const { RabbitStore } = await import('@cluster/store-rabbitmq');
      return new RabbitStore({ urls: [url], maxBytes: 536_870_912 });
    },
    async start() {
      const { RabbitServer } = await import('../scripts/services/rabbitmq.js');
      const server = await RabbitServer.start();
      return { address: server.url, stop: () => server.stop() };
    },
  },
  'rabbitmq-r3': {
    async open(urls) {
      const { RabbitStore } = await import('@cluster/store-rabbitmq');
      return new RabbitStore({ urls: urls.split(','), replicas: 3 });
    },
    start: rabbitNodes,
  },
} as const satisfies Record<string, Kind>;

export type StoreName = keyof typeof kinds;

export const isStore = (name: string): name is StoreName => name in kinds;

/** @throws Error with the names that there are */
export function storeNamed(name: string): StoreName {
  if (isStore(name)) return name;
  throw new Error(`expected a store (${Object.keys(kinds).join(', ')}), found '${name}'`);
}

/** What the stores' pages say about leases and time-outs where a leader may have to be chosen. */
export const settingsFor = (name: StoreName) => (name.includes('-r3') ? { leaseMs: 20_000, storeTimeoutMs: 10_000, lockTimeoutMs: 25_000 } : {});

/** In a process of the bench: the store of that name at an address that `startPlace` gave. */
export const openStore = (name: StoreName, address: string): Promise<ClusterStore> => kinds[name].open(address);

export const startPlace = (name: StoreName): Promise<Place> => kinds[name].start();

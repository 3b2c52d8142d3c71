import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ClusterStore } from '@cluster/core';

/** Where a store of the bench keeps its sessions, made for one run: a folder, or a server's address. */
export interface Place { readonly address: string; stop(): Promise<void> }

interface Kind { readonly open: (address: string) => Promise<ClusterStore>; readonly start: () => Promise<Place> }

const kinds = {
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
    async start() {
      const { NatsCluster } = await import('../scripts/services/nats-cluster.js');
      const cluster = await NatsCluster.start();
      return { address: cluster.urls.join(','), stop: () => cluster.stop() };
    },
  },
  kafka: {
    async open(broker) {
      const { KafkaStore } = await import('@cluster/store-kafka');
      return new KafkaStore({ connect: { brokers: [broker] }, replicas: 1 });
    },
    async start() {
      const { KafkaServer } = await import('../scripts/services/kafka.js');
      const server = await KafkaServer.start();
      return { address: server.url, stop: () => server.stop() };
    },
  },
  'kafka-r3': {
    async open(brokers) {
      const { KafkaStore } = await import('@cluster/store-kafka');
      return new KafkaStore({ connect: { brokers: brokers.split(',') } });
    },
    async start() {
      const { KafkaServer } = await import('../scripts/services/kafka.js');
      const nodes = await KafkaServer.together(3);
      return { address: nodes.map(({ url }) => url).join(','), stop: async () => { await Promise.all(nodes.map((node) => node.stop())); } };
    },
  },
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
    async start() {
      const { RabbitServer } = await import('../scripts/services/rabbitmq.js');
      const nodes = await RabbitServer.together(3);
      return { address: nodes.map(({ url }) => url).join(','), stop: async () => { await Promise.all(nodes.map((node) => node.stop())); } };
    },
  },
} as const satisfies Record<string, Kind>;

export type StoreName = keyof typeof kinds;

/** @throws Error with the names that there are */
export function storeNamed(name: string): StoreName {
  if (name in kinds) return name as StoreName;
  throw new Error(`expected a store (${Object.keys(kinds).join(', ')}), found '${name}'`);
}

/** In a process of the bench: the store of that name at an address that `startPlace` gave. */
export const openStore = (name: StoreName, address: string): Promise<ClusterStore> => kinds[name].open(address);

export const startPlace = (name: StoreName): Promise<Place> => kinds[name].start();

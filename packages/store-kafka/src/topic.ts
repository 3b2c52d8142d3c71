import { setTimeout as pause } from 'node:timers/promises';
import kafkajs, { type Admin } from 'kafkajs';
import { ClusterError } from '@cluster/core';
import { messageOf, typeOf } from './kafka-error.js';
import type { TopicSettings } from './port.js';

const LED_WITHIN_MS = 10_000;
const AGAIN_MS = 100;
/** Somebody who reads has to see that a record is to be removed. */
const LEAST_DELETE_RETENTION_MS = 600_000;

/** Most of them, so that of two that are left one has everything. */
const inSyncOf = (replicas: number): number => Math.floor(replicas / 2) + 1;

/** What every topic of sessions has, and what a found one is held to. */
const configOf = ({ replicas }: TopicSettings): Readonly<Record<string, string>> => ({
  'cleanup.policy': 'compact',
  'message.timestamp.type': 'LogAppendTime',
  'unclean.leader.election.enable': 'false',
  'min.insync.replicas': String(inSyncOf(replicas)),
});

/** What it is made with besides; another one may have others. Only what is in a closed segment is compacted; a record of 1 MiB is longer as text. */
const madeWith = ({ leastBatchBytes = 0 }: TopicSettings): Readonly<Record<string, string>> => ({
  'delete.retention.ms': '86400000', 'segment.ms': '3600000', 'min.cleanable.dirty.ratio': '0.2',
  'segment.bytes': String(Math.max(67_108_864, leastBatchBytes)), 'max.message.bytes': String(Math.max(2_097_152, leastBatchBytes)),
});

/**
 * Finds the topic or makes it, and waits until each partition is led.
 * @throws ClusterError CLUSTER_UNAVAILABLE if it differs from what was asked for, naming each difference, or may not be used;
 * any other error if that is not known
 */
export async function openTopic(admin: Admin, settings: TopicSettings): Promise<{ maxBatchBytes: number }> {
  await admin.connect();
  const found = await ledPartitions(admin, settings);
  const config = await configFound(admin, settings.topic);
  check(settings, found, config);
  return { maxBatchBytes: Math.min(Number(config.get('max.message.bytes')), Number(config.get('segment.bytes'))) };
}

type Partitions = Awaited<ReturnType<Admin['fetchTopicMetadata']>>['topics'][number]['partitions'];

async function ledPartitions(admin: Admin, settings: TopicSettings): Promise<Partitions> {
  const endMs = performance.now() + LED_WITHIN_MS;
  let isMade = false;
  for (;;) {
    try {
      const { topics } = await admin.fetchTopicMetadata({ topics: [settings.topic] });
      const found = topics[0]?.partitions;
      if (found?.every(({ leader }) => leader >= 0) === true) return found;
    } catch (error) {
      const type = typeOf(error);
      if (type !== 'UNKNOWN_TOPIC_OR_PARTITION' && type !== 'LEADER_NOT_AVAILABLE') throw error;
      if (type === 'UNKNOWN_TOPIC_OR_PARTITION' && !isMade) await make(admin, settings);
      isMade = true;
    }
    if (performance.now() > endMs) throw new Error(`nobody has led it for ${LED_WITHIN_MS} ms`);
    await pause(AGAIN_MS);
  }
}

async function make(admin: Admin, settings: TopicSettings): Promise<void> {
  const { topic, partitions, replicas } = settings;
  const configEntries = Object.entries({ ...madeWith(settings), ...configOf(settings) }).map(([name, value]) => ({ name, value }));
  try {
    // Resolves to false where another instance has just made it.
    await admin.createTopics({ waitForLeaders: false, topics: [{ topic, numPartitions: partitions, replicationFactor: replicas, configEntries }] });
  } catch (error) {
    const { errors } = error as { readonly errors?: readonly unknown[] }; // one for each topic
    const reason = errors?.[0] ?? error;
    const advice: Readonly<Record<string, string>> = {
      INVALID_REPLICATION_FACTOR: `. replicas: expected at most as many as there are brokers, found ${replicas}`,
      TOPIC_AUTHORIZATION_FAILED: '. The user needs Create on it, or somebody else makes it',
    };
    throw new ClusterError('CLUSTER_UNAVAILABLE',
      `Kafka: there is no topic '${topic}', and it cannot be made: ${messageOf(reason)}${advice[typeOf(reason) ?? ''] ?? ''}`, { cause: error });
  }
}

async function configFound(admin: Admin, topic: string): Promise<ReadonlyMap<string, string>> {
  const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: topic }] });
  return new Map(resources.flatMap(({ configEntries }) => configEntries.map(({ configName, configValue }) => [configName, configValue] as const)));
}

function check(settings: TopicSettings, found: Partitions, config: ReadonlyMap<string, string>): void {
  const problems: string[] = [];
  const differs = (name: string, expected: number | string, actual: number | string | undefined) => { problems.push(`${name}: expected ${expected}, found ${actual ?? 'none'}`); };
  if (found.length !== settings.partitions) differs('partitions', settings.partitions, found.length);
  const replicas = Math.min(...found.map((partition) => partition.replicas.length));
  if (replicas !== settings.replicas) differs('replicas', settings.replicas, replicas);
  const { 'min.insync.replicas': inSync, ...exact } = configOf(settings);
  for (const [name, expected] of Object.entries(exact)) if (config.get(name) !== expected) differs(name, expected, config.get(name));
  const least = { 'min.insync.replicas': Number(inSync), 'delete.retention.ms': LEAST_DELETE_RETENTION_MS };
  for (const [name, expected] of Object.entries(least)) if (!(Number(config.get(name)) >= expected)) differs(name, `${expected} or more`, config.get(name));
  if (problems.length === 0) return;
  throw new ClusterError('CLUSTER_UNAVAILABLE', `Kafka: the topic '${settings.topic}' is not as it must be: ${problems.join('; ')}. `
    + 'Name another topic, give the options it was made with, or change its configuration');
}

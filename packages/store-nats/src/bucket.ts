import { setTimeout as sleep } from 'node:timers/promises';
import { DiscardPolicy, headers, RetentionPolicy, StorageType, type StreamConfig } from 'nats';
import { ClusterError } from '@cluster/core';
import { isPassing, messageOf, reasonOf, Refusal } from './failures.js';
import type { Link } from './link.js';

/** What the bucket is made with, and must have. */
export interface BucketSettings {
  readonly bucket: string;
  readonly replicas: number;
  readonly storage: 'file' | 'memory';
}

const READY_WITHIN_MS = 10_000;
const AGAIN_MS = 100;
const asking = { withinMs: 2_000 } as const;
const NO_STREAM = 10059;
export const EXPECTED = 'Nats-Expected-Last-Subject-Sequence';
/** Older ones, when they replicate, accept several puts that expect the same revision (nats-server issues 4320 and 5644). */
const REPLICATES_SINCE = [2, 11] as const;

/** The stream behind a bucket, as every client of NATS names it. */
export const streamOf = (bucket: string): string => `KV_${bucket}`;

const wanted = ({ bucket, replicas, storage }: BucketSettings) => ({
  subjects: [`$KV.${bucket}.>`], retention: RetentionPolicy.Limits, max_msgs_per_subject: 1, max_age: 0, discard: DiscardPolicy.New,
  storage: storage === 'file' ? StorageType.File : StorageType.Memory,
  num_replicas: replicas,
  // Any replica could answer then, with what it had some time ago.
  allow_direct: false,
});

/**
 * Finds the bucket or makes it, and waits a while for a cluster in which nobody leads it yet. Resolves to whether the server lets
 * each key expire by itself (since 2.11).
 * @throws ClusterError CLUSTER_UNAVAILABLE if there is a bucket that differs from what was asked for, naming each difference, or the
 * server is too old to replicate one, or is one of a cluster and there is to be one replica
 */
export async function openBucket(link: Link, settings: BucketSettings): Promise<boolean> {
  const { version = '', cluster } = link.connection.info ?? {};
  if (settings.replicas > 1) checkVersion(version);
  else if (cluster !== undefined) throw tooFewReplicas(cluster);
  const config = await inTime(settings, () => findOrMake(link, settings));
  check(settings, config);
  await inTime(settings, () => isLed(link, settings));
  return 'allow_msg_ttl' in config && config.allow_msg_ttl === true;
}

async function inTime<T>({ bucket }: BucketSettings, work: () => Promise<T>): Promise<T> {
  const endMs = performance.now() + READY_WITHIN_MS;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (performance.now() > endMs || !isPassing(error)) throw new ClusterError('CLUSTER_UNAVAILABLE', `NATS: the bucket '${bucket}' cannot be used: ${messageOf(error)}`, { cause: error });
      await sleep(AGAIN_MS, undefined, { ref: false });
    }
  }
}

async function findOrMake(link: Link, settings: BucketSettings): Promise<StreamConfig> {
  const name = streamOf(settings.bucket);
  // Where a server knows no `allow_msg_ttl` its answer has none.
  const making = { name, ...wanted(settings), allow_rollup_hdrs: true, allow_msg_ttl: true };
  const { config } = await link.ask<{ readonly config: StreamConfig }>(`$JS.API.STREAM.INFO.${name}`, '', asking).catch((error: unknown) => {
    if (reasonOf(error) === 'nobody' && !link.connection.info?.jetstream) throw isOff(link.connection.getServer());
    if (reasonOf(error) !== NO_STREAM) throw error;
    return link.ask<{ readonly config: StreamConfig }>(`$JS.API.STREAM.CREATE.${name}`, JSON.stringify(making), asking);
  });
  return config;
}

/** Puts what the leader must refuse. Its answer shows that puts from here reach it; in a new cluster they do so a while after it is elected. */
async function isLed(link: Link, { bucket }: BucketSettings): Promise<void> {
  const head = headers();
  head.set(EXPECTED, String(Number.MAX_SAFE_INTEGER));
  await link.ask(`$KV.${bucket}.probe`, '', { ...asking, headers: head }).catch((error: unknown) => { if (typeof reasonOf(error) !== 'number') throw error; });
}

const isOff = (server: string) => new Refusal('off', `expected a server with JetStream, found ${server} without; add 'jetstream {}' to its configuration`);

function checkVersion(found: string): void {
  const [major = 0, minor = 0] = found.split('.').map(Number);
  const [sinceMajor, sinceMinor] = REPLICATES_SINCE;
  if (major > sinceMajor || (major === sinceMajor && minor >= sinceMinor)) return;
  throw new ClusterError('CLUSTER_UNAVAILABLE', `NATS: with replicas expected servers of ${REPLICATES_SINCE.join('.')} or later, found '${found}': older ones may accept `
    + 'two changes of the same state. Update them, or use one replica');
}

/** A stream without replicas comes back by itself in an older state, and clients of the other servers are told nothing. */
const tooFewReplicas = (cluster: string) => new ClusterError('CLUSTER_UNAVAILABLE', `NATS: in a cluster of servers ('${cluster}') expected replicas: 3, or 5, found 1: what `
  + 'is lost with the one server that keeps the bucket would not be noticed on the others. Give replicas: 3, or connect to a server that is in no cluster');

function check(settings: BucketSettings, found: StreamConfig): void {
  const fields: Readonly<Record<string, unknown>> = { ...found };
  const differences = Object.entries(wanted(settings)).map(([name, expected]) => ({ name, expected: JSON.stringify(expected), is: JSON.stringify(fields[name] ?? false) }))
    .filter(({ expected, is }) => is !== expected).map(({ name, expected, is }) => `${name}: expected ${expected}, found ${is}`);
  if (differences.length === 0) return;
  throw new ClusterError('CLUSTER_UNAVAILABLE', `NATS: the bucket '${settings.bucket}' is not as it must be: ${differences.join('; ')}. `
    + 'Name another bucket, give the options it was made with, or edit its stream');
}

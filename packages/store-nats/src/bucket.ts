import { setTimeout as sleep } from 'node:timers/promises';
import { ClusterError } from '@cluster/core';
import type { Link } from './link.js';

/** What the bucket is made with, and must have. */
export interface BucketSettings {
  readonly bucket: string;
  readonly replicas: number;
  readonly storage: 'file' | 'memory';
}

/** A stream as JetStream's API describes it, as far as it is read here. */
interface StreamAnswer {
  readonly error?: ApiError;
  readonly created?: string;
  readonly config?: Readonly<Record<string, unknown>>;
}

export interface ApiError { readonly err_code?: number; readonly description?: string }

export interface Bucket {
  /** When it was made: a bucket of that name made later counts its revisions anew. */
  readonly created: string;
  /** The server lets each key expire by itself (since 2.11). */
  readonly expires: boolean;
}

const READY_WITHIN_MS = 10_000;
const ASK_MS = 2_000;
const AGAIN_MS = 100;
const NO_STREAM = 10059;
/** Somebody else made it meanwhile. */
const NAME_IN_USE = 10058;

/** The subjects of the stream behind a bucket, as every client of NATS names them. */
export const streamOf = (bucket: string): string => `KV_${bucket}`;

const wanted = ({ bucket, replicas, storage }: BucketSettings) => ({
  subjects: [`$KV.${bucket}.>`], retention: 'limits', max_msgs_per_subject: 1, max_age: 0, discard: 'new', storage, num_replicas: replicas,
  // Any replica could answer then, with what it had some time ago.
  allow_direct: false,
});

/**
 * Finds the bucket or makes it, and waits a while for a cluster that has no leader yet.
 * @throws ClusterError CLUSTER_UNAVAILABLE if there is a bucket that differs from what was asked for, naming each difference
 */
export async function openBucket(link: Link, settings: BucketSettings): Promise<Bucket> {
  const endMs = performance.now() + READY_WITHIN_MS;
  for (;;) {
    const answer = await findOrMake(link, settings).catch((error: unknown) => {
      if (performance.now() > endMs) throw error;
      return undefined;
    });
    if (answer?.config !== undefined && answer.created !== undefined) {
      check(settings, answer.config);
      return { created: answer.created, expires: answer.config.allow_msg_ttl === true };
    }
    if (performance.now() > endMs) {
      throw new ClusterError('CLUSTER_UNAVAILABLE', `NATS: the bucket '${settings.bucket}' cannot be used: ${answer?.error?.description ?? 'no answer'}`);
    }
    await sleep(AGAIN_MS, undefined, { ref: false });
  }
}

async function findOrMake(link: Link, settings: BucketSettings): Promise<StreamAnswer> {
  const name = streamOf(settings.bucket);
  const ask = async (what: 'INFO' | 'CREATE', question: object | undefined) => {
    const answer = await link.request(`$JS.API.STREAM.${what}.${name}`, question === undefined ? '' : JSON.stringify(question), undefined, ASK_MS);
    return answer.json<StreamAnswer>();
  };
  const found = await ask('INFO', undefined);
  if (found.error?.err_code !== NO_STREAM) return found;
  // Where a server knows no `allow_msg_ttl` its answer has none.
  const made = await ask('CREATE', { name, ...wanted(settings), allow_rollup_hdrs: true, allow_msg_ttl: true });
  return made.error?.err_code === NAME_IN_USE ? ask('INFO', undefined) : made;
}

function check(settings: BucketSettings, found: Readonly<Record<string, unknown>>): void {
  const differences = Object.entries(wanted(settings)).filter(([name, value]) => JSON.stringify(found[name] ?? false) !== JSON.stringify(value))
    .map(([name, value]) => `${name}: expected ${JSON.stringify(value)}, found ${JSON.stringify(found[name])}`);
  if (differences.length === 0) return;
  throw new ClusterError('CLUSTER_UNAVAILABLE', `NATS: the bucket '${settings.bucket}' is not as it must be: ${differences.join('; ')}. `
    + 'Name another bucket, give the options it was made with, or edit its stream');
}

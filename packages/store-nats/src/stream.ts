import { DiscardPolicy, RetentionPolicy, StorageType, type ServerInfo, type StreamConfig } from 'nats';
import { unavailable } from './failures.js';

/** What the bucket is made with, and must have. */
export interface BucketSettings {
  readonly bucket: string;
  readonly replicas: number;
  readonly storage: 'file' | 'memory';
}

/** Older ones, when they replicate, accept several puts that expect the same revision (nats-server issues 4320 and 5644). */
const REPLICATES_SINCE = '2.11';

/** The stream behind a bucket, as every client of NATS names it. */
export const streamOf = (bucket: string): string => `KV_${bucket}`;

const wanted = ({ bucket, replicas, storage }: BucketSettings) => ({
  subjects: [`$KV.${bucket}.>`], retention: RetentionPolicy.Limits, max_msgs_per_subject: 1, max_age: 0, discard: DiscardPolicy.New,
  discard_new_per_subject: false, no_ack: false,
  storage: storage === 'file' ? StorageType.File : StorageType.Memory,
  num_replicas: replicas,
  // Any replica could answer then, with what it had some time ago.
  allow_direct: false,
});

/** Where a server knows no `allow_msg_ttl` its answer has none. */
export const toMake = (settings: BucketSettings) =>
  ({ name: streamOf(settings.bucket), ...wanted(settings), allow_rollup_hdrs: true, allow_msg_ttl: true });

/** @throws ClusterError CLUSTER_UNAVAILABLE if the server cannot keep such a bucket */
export function checkServer({ version, cluster, max_payload: maxPayload }: ServerInfo, { replicas }: BucketSettings, maxRecordBytes = 0): void {
  if (replicas > 1 && version.localeCompare(REPLICATES_SINCE, 'en', { numeric: true }) < 0) {
    throw unavailable(`NATS: with replicas expected servers of ${REPLICATES_SINCE} or later, found '${version}': older ones may accept `
      + 'two changes of the same state. Update them, or use one replica');
  }
  // A stream without replicas comes back by itself in an older state, and clients of the other servers are told nothing.
  if (replicas === 1 && cluster !== undefined) {
    throw unavailable(`NATS: in a cluster of servers ('${cluster}') expected replicas: 3, or 5, found 1: what is lost with the one server that keeps `
      + 'the bucket would not be noticed on the others. Give replicas: 3, or connect to a server that is in no cluster');
  }
  if (maxRecordBytes > maxPayload) {
    throw unavailable(`NATS: expected a server whose max_payload is at least maxRecordBytes (${maxRecordBytes}), found ${maxPayload}. `
      + 'Raise max_payload on all servers, or give the manager a lower maxRecordBytes');
  }
}

/** @throws ClusterError CLUSTER_UNAVAILABLE naming each difference */
export function checkStream(found: StreamConfig, settings: BucketSettings): void {
  const fields: Readonly<Record<string, unknown>> = { ...found };
  const differences = Object.entries(wanted(settings)).flatMap(([name, value]) => {
    const [expected, is] = [JSON.stringify(value), JSON.stringify(fields[name] ?? false)];
    return is === expected ? [] : [`${name}: expected ${expected}, found ${is}`];
  });
  if (differences.length === 0) return;
  throw unavailable(`NATS: the bucket '${settings.bucket}' is not as it must be: ${differences.join('; ')}. `
    + 'Name another bucket, give the options it was made with, or edit its stream');
}

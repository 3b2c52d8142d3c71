import type { Redis } from 'ioredis';
import { ClusterError } from '@cluster/core';
import type { StoreCapabilities } from '@cluster/core/driver';
import type { Connection } from './connection.js';
import { rights } from './scripts.js';

/** What the driver goes by. */
export interface Suitability {
  readonly capabilities: StoreCapabilities;
  /** Channels are of one server each, which alone knows who listens. */
  readonly isSharded: boolean;
}

const fieldOf = (info: string, name: string): string => new RegExp(`^${name}:(.*)$`, 'm').exec(info)?.[1]?.trim() ?? '';

const versionOf = (info: string): readonly [major: number, minor: number] => {
  const [major = 0, minor = 0] = fieldOf(info, 'redis_version').split('.').map(Number);
  return [major, minor];
};

/** Why a server that says this of itself cannot hold sessions. */
export function faultOf(info: string, isCluster: boolean): string | undefined {
  const [major, minor] = versionOf(info);
  if (major < 6 || (major === 6 && minor < 2)) return `expected version 6.2 or later, found '${fieldOf(info, 'redis_version')}'`;
  if (fieldOf(info, 'role') === 'slave') return 'expected a server that takes writes, found a replica; name the primary';
  if (fieldOf(info, 'cluster_enabled') === '1' && !isCluster) return "it is part of a cluster; give a client of ioredis' class Cluster";
  return undefined;
}

function warn(info: string): void {
  const policy = fieldOf(info, 'maxmemory_policy');
  if (policy === 'noeviction' || policy === '' || fieldOf(info, 'maxmemory') === '0') return;
  process.emitWarning(`Redis drops sessions that are in use when its memory is full: maxmemory-policy is '${policy}'; set it to 'noeviction'`,
    { type: 'ClusterWarning', code: 'CLUSTER_REDIS_EVICTION' });
}

/** Whether every answer is on the disk before it is given; a server that does not tell counts as one that does less. */
async function syncsAlways(server: Redis): Promise<boolean> {
  const pairs: unknown = await server.config('GET', '*appendfsync*').catch(() => []);
  if (!Array.isArray(pairs)) return false;
  const valueOf = (name: string): unknown => pairs[pairs.indexOf(name) + 1];
  return valueOf('appendfsync') === 'always' && valueOf('no-appendfsync-on-rewrite') === 'no';
}

/** With a replica somewhere, the server that answers next may know less. */
const isAlone = ({ options }: Redis, info: string): boolean => options.sentinels?.length === undefined && fieldOf(info, 'connected_slaves') === '0';

/**
 * What the servers are good for.
 * @throws ClusterError CLUSTER_UNAVAILABLE if one of them cannot hold sessions
 */
export async function inspectServers(servers: readonly Redis[], isCluster: boolean): Promise<Suitability> {
  const infos = await Promise.all(servers.map((server) => server.info()));
  for (const info of infos) {
    const fault = faultOf(info, isCluster);
    if (fault !== undefined) throw new ClusterError('CLUSTER_UNAVAILABLE', `this Redis cannot hold sessions: ${fault}`);
    warn(info);
  }
  const isSharded = isCluster && infos.every((info) => versionOf(info)[0] >= 7);
  const [server, info] = [servers[0], infos[0]];
  const keepsAll = !isCluster && server !== undefined && info !== undefined && fieldOf(info, 'aof_enabled') === '1' && isAlone(server, info)
    && await syncsAlways(server);
  const gone = isCluster && !isSharded ? 'unknown' : 'disconnected';
  return { capabilities: { delta: true, gone, rollback: !keepsAll, durability: keepsAll ? 'power' : 'process' }, isSharded };
}

/** More than enough to find one of each server's own among as many servers as a cluster has. */
const KEYS_TRIED = 10_000;

/** That a key or channel is another server's is told after the right was found. */
const isElsewhere = (error: unknown): boolean => /^(MOVED|ASK|TRYAGAIN) /.test(String((error as Partial<Error>).message)); // thrown by ioredis

/** What the script gives, over the first key that is this server's. */
async function tryScript(server: Redis, key: string): Promise<readonly [commands: string, why: string]> {
  for (let n = 0; n < KEYS_TRIED; n += 1) {
    try {
      await server.eval(rights.text, 1, `${key}${n}`);
      // As the script gives it.
      return await server.evalsha(rights.sha, 1, `${key}${n}`) as readonly [string, string];
    } catch (error) {
      if (!isElsewhere(error)) throw error;
    }
  }
  return ['', ''];
}

async function expectRightsAt(server: Redis, key: string, channel: string, isSharded: boolean): Promise<void> {
  const [commands, why] = await tryScript(server, key);
  if (commands !== '') throw new ClusterError('CLUSTER_UNAVAILABLE', `this Redis cannot hold sessions: scripts may not call ${commands}: ${why}`);
  await server.scan(0, 'COUNT', 1);
  await (isSharded ? server.spublish(channel, '') : server.publish(channel, '')).catch((error: unknown) => {
    if (!isElsewhere(error)) throw error;
  });
}

/** Any of a cluster's servers may have an instance's channel some day. */
async function expectToListenAt(subscriber: Redis, channel: string): Promise<void> {
  subscriber.on('error', () => undefined);
  // In place of an answer.
  const moved = new Promise<void>((resolve) => { subscriber.once('moved', () => { resolve(); }); });
  try {
    await subscriber.connect();
    await Promise.race([subscriber.ssubscribe(channel), moved]);
  } catch (error) {
    if (!isElsewhere(error)) throw error;
  } finally {
    subscriber.disconnect();
  }
}

/**
 * Tries what the driver calls, on keys that it leaves no trace of and a channel that nobody uses. A right that is lacking
 * would show late, or end a script half-way.
 * @throws whatever a server refuses; CLUSTER_UNAVAILABLE naming the commands that scripts may not call
 */
export async function expectRights(connection: Connection, key: string, channel: string, isSharded: boolean): Promise<void> {
  await Promise.all([
    ...connection.servers().map((server) => expectRightsAt(server, key, channel, isSharded)),
    // A single server's is tried by the subscription itself.
    ...(isSharded ? connection.subscribers() : []).map((subscriber) => expectToListenAt(subscriber, channel)),
  ]);
}

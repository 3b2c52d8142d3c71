import type { Redis } from 'ioredis';
import { ClusterError } from '@cluster/core';
import type { StoreCapabilities } from '@cluster/core/driver';

interface Server {
  readonly version: readonly [major: number, minor: number];
  readonly text: string;
  readonly field: (name: string) => string;
}

/** A server's own words about itself. */
async function describe(server: Redis): Promise<Server> {
  const text = await server.info();
  const field = (name: string): string => new RegExp(`^${name}:(.*)$`, 'm').exec(text)?.[1]?.trim() ?? '';
  const [major = 0, minor = 0] = field('redis_version').split('.').map(Number);
  return { version: [major, minor], text: field('redis_version'), field };
}

function refuse({ version: [major, minor], text, field }: Server, isCluster: boolean): void {
  const refusal = (message: string) => new ClusterError('CLUSTER_UNAVAILABLE', `Redis cannot be used: ${message}`);
  if (major < 6 || (major === 6 && minor < 2)) throw refusal(`expected version 6.2 or later, found ${text}`);
  if (field('role') !== 'master') throw refusal(`expected a server that takes writes, found one in the role '${field('role')}'; name the primary`);
  if (field('cluster_enabled') === '1' && !isCluster) throw refusal('it is part of a cluster; give a client of ioredis\' Cluster class');
}

function warn({ field }: Server): void {
  const policy = field('maxmemory_policy');
  if (policy === '' || policy === 'noeviction') return;
  process.emitWarning(`Redis may drop sessions while they are used: maxmemory-policy is '${policy}', expected 'noeviction'`,
    { type: 'ClusterWarning', code: 'CLUSTER_REDIS_EVICTION' });
}

/** Whether every answer is on the disk before it is given. Servers that do not tell count as those that do less. */
async function syncsAlways(server: Redis): Promise<boolean> {
  const found = await server.config('GET', '*appendfsync*').catch(() => []);
  // Pairs of a name and its value.
  const settings = new Map(Array.from({ length: (found as string[]).length / 2 }, (_, n) => (found as string[]).slice(2 * n, 2 * n + 2) as [string, string]));
  return settings.get('appendfsync') === 'always' && settings.get('no-appendfsync-on-rewrite') === 'no';
}

/**
 * What the servers are good for.
 * @throws ClusterError CLUSTER_UNAVAILABLE if one cannot hold sessions
 */
export async function inspectServers(connections: readonly Redis[], isCluster: boolean): Promise<{ capabilities: StoreCapabilities; isSharded: boolean }> {
  const servers = await Promise.all(connections.map(describe));
  for (const server of servers) refuse(server, isCluster);
  for (const server of servers.slice(0, 1)) warn(server);
  const isSharded = isCluster && servers.every(({ version: [major] }) => major >= 7);
  const [connection, server] = [connections[0], servers[0]];
  // With a replica somewhere, the server that answers next may know less.
  const isAlone = !isCluster && server?.field('connected_slaves') === '0' && server.field('aof_enabled') === '1';
  const keepsAll = isAlone && connection !== undefined && connection.options.sentinels?.length === undefined && await syncsAlways(connection);
  return {
    capabilities: {
      delta: true, gone: isCluster && !isSharded ? 'unknown' : 'disconnected', rollback: !keepsAll, durability: keepsAll ? 'power' : 'process',
    },
    isSharded,
  };
}

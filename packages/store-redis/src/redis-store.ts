import { ClusterError } from '@cluster/core';
import { ClusterStoreBase, resolveOptions } from '@cluster/core/driver';
import { IoredisConnection, isCluster, keyPrefixOf } from './connection.js';
import { hints } from './hints.js';
import { redisStoreOptions, type RedisStoreOptions } from './options.js';
import { RedisTable } from './redis-table.js';

/**
 * Keeps sessions in Redis 6.2 or later: a single server, one behind Sentinel, or Redis Cluster.
 * @throws ClusterError CLUSTER_BAD_OPTION naming each option that is not as expected; the server itself is checked by `start`
 */
export class RedisStore extends ClusterStoreBase {
  constructor(options: RedisStoreOptions) {
    const { instanceId, ...rest } = resolveOptions('RedisStore', redisStoreOptions, options, { hints });
    super(tableOver(rest), { instanceId });
  }
}

type Resolved = Omit<ReturnType<typeof resolveOptions<typeof redisStoreOptions>>, 'instanceId'>;

function tableOver({ client, url, prefix }: Resolved): RedisTable {
  if (client !== undefined && url === undefined) {
    const database = isCluster(client) ? 0 : client.options.db ?? 0;
    return new RedisTable({
      connect: () => new IoredisConnection(client), isCluster: isCluster(client), prefix: keyPrefixOf(client) + prefix, database,
    });
  }
  if (url !== undefined && client === undefined) {
    return new RedisTable({ connect: () => new IoredisConnection(url), isCluster: false, prefix, database: databaseOf(url) });
  }
  throw new ClusterError('CLUSTER_BAD_OPTION', `RedisStore: expected either client or url, found ${url === undefined ? 'neither, or undefined' : 'both'}`);
}

const databaseOf = (url: string): number => Number(/\/(\d+)(?:\?.*)?$/.exec(url)?.[1] ?? 0);

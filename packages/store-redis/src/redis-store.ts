import { ClusterError } from '@cluster/core';
import { ClusterStoreBase, resolveOptions } from '@cluster/core/driver';
import { clientOf, IoredisConnection, isCluster, keyPrefixOf } from './connection.js';
import { hints } from './hints.js';
import { redisStoreOptions, type RedisStoreOptions } from './options.js';
import { RedisTable } from './redis-table.js';

const like = "{ client } or { url: 'redis://host:6379' }";

/**
 * Keeps sessions in Redis 6.2 or later: a single server, one behind Sentinel, or Redis Cluster.
 * @throws ClusterError CLUSTER_BAD_OPTION naming each option that is not as expected; the server itself is checked by `start`
 */
export class RedisStore extends ClusterStoreBase {
  constructor(options: RedisStoreOptions) {
    const { instanceId, ...rest } = resolveOptions('RedisStore', redisStoreOptions, options, { like, hints });
    super(tableOver(rest), { instanceId });
  }
}

type Resolved = Omit<ReturnType<typeof resolveOptions<typeof redisStoreOptions>>, 'instanceId'>;

function tableOver({ client, url, prefix }: Resolved): RedisTable {
  const template = client ?? (url === undefined ? undefined : clientOf(url));
  if (template === undefined || (client !== undefined && url !== undefined)) {
    throw new ClusterError('CLUSTER_BAD_OPTION', `RedisStore: expected either client or url, found ${template === undefined ? 'neither, or undefined' : 'both'}`);
  }
  return new RedisTable({
    connect: () => new IoredisConnection(template), isCluster: isCluster(template), prefix: keyPrefixOf(template) + prefix,
    database: isCluster(template) ? 0 : template.options.db ?? 0,
  });
}

import { IoredisConnection } from '../src/connection.js';
import { RedisTable } from '../src/redis-table.js';

/** The driver over a single server, without the rest of a store. */
export const tableOver = (url: string): RedisTable =>
  new RedisTable({ connect: () => new IoredisConnection(url), isCluster: false, prefix: 'cluster:', database: 0 });

import { join } from 'node:path';
import { Cluster } from 'ioredis';
import type { testProcesses } from '@cluster/conformance';
import { clientOf, IoredisConnection } from '../src/connection.js';
import { RedisTable } from '../src/redis-table.js';

type Runner = Parameters<typeof testProcesses>[0];
interface Address { readonly host: string; readonly port: number }

/** The driver over a single server, without the rest of a store. */
export const tableOver = (url: string, database = 0): RedisTable =>
  new RedisTable({ connect: () => new IoredisConnection(clientOf(url)), isCluster: false, prefix: 'cluster:', database });

/** The same over Redis Cluster. */
export function tableOverCluster(nodes: readonly Address[], { username, password }: { readonly username?: string; readonly password?: string } = {}): RedisTable {
  const redisOptions = username === undefined || password === undefined ? {} : { username, password };
  const client = new Cluster(nodes.map(({ host, port }) => ({ host, port })), { lazyConnect: true, redisOptions });
  return new RedisTable({ connect: () => new IoredisConnection(client), isCluster: true, prefix: 'cluster:', database: 0 });
}

/** What the kit's processes run. */
export const program = {
  module: new URL('children/create-store.ts', import.meta.url),
  execArgv: ['--conditions=@cluster/source', '--import', join(import.meta.dirname, '../../../scripts/ts-register.mjs')],
};

/** What happens to the servers, and what ends the processes: the rest is tried over a single one. */
export const faultsOnly = ({ describe, it }: Runner): Runner => ({
  describe,
  it: Object.assign((title: string, body: () => Promise<void>, timeoutMs?: number) => {
    if (/^(while (?!nothing)|instances that are stopped)/.test(title)) it(title, body, timeoutMs);
  }, { skip: () => undefined }),
});

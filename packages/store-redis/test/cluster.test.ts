import { afterAll, describe, expect, it } from '@jest/globals';
import type { Cluster } from 'ioredis';
import { Cluster as Earlier } from 'ioredis-5';
import { testDriver, testProcesses } from '@cluster/conformance';
import { RedisCluster } from '../../../scripts/services/redis-cluster.js';
import type { RedisServer } from '../../../scripts/services/redis.js';
import { IoredisConnection } from '../src/connection.js';
import { RedisTable } from '../src/redis-table.js';
import { Ear } from './ear.js';
import { documentedUser, expectEachRightUsed, newerThan62 } from './least-rights.js';
import { faultsOnly, program, tableOver, tableOverCluster } from './table-over.js';

const cluster = await RedisCluster.start({ aof: true });
const [node] = cluster.nodes;
if (node === undefined) throw new Error('a cluster has nodes');

afterAll(() => cluster.stop());

const addresses = cluster.nodes.map(({ host, port }) => ({ host, port }));
const user = documentedUser('cluster');
for (const each of cluster.nodes) await user.makeAt(each);
const texts = (reply: unknown): string[] => (Array.isArray(reply) ? reply.map(String) : []);

/** Moves some of the slots in use: of sessions and leases, and of the channels by which instances hear each other. */
async function migrateAway(server: RedisServer): Promise<void> {
  const names = [...texts(await server.send('KEYS', '*')).slice(0, 20), ...texts(await server.send('PUBSUB', 'SHARDCHANNELS'))];
  const slots = new Set(await Promise.all(names.map((name) => cluster.slotOf(name))));
  for (const slot of slots) {
    const migration = await cluster.migrate(slot);
    while (await migration.moveKeys(1) > 0);
    await migration.finish();
  }
}

describe('over Redis Cluster', () => {
  testDriver({ describe, it }, { open: () => tableOverCluster(addresses, user) });

  it('the rights that the documentation gives to a user were enough for this, and each was needed', async () => {
    await expectEachRightUsed(cluster.nodes, user.rights);
    expect((await newerThan62(node, user.rights)).map((right) => right.split(' ')[0])).toEqual(['spublish', 'ssubscribe']);
  });

  testProcesses(faultsOnly({ describe, it }), {
    ...program, config: { nodes: addresses },
    faults: [
      {
        title: 'slots move to other nodes, and the channels in them',
        begin: async () => { for (const each of cluster.nodes) await migrateAway(each); },
        end: () => undefined,
      },
      {
        title: 'a node is killed and started again',
        begin: () => node.kill(),
        end: async () => {
          await node.restart();
          await cluster.ready();
        },
      },
    ],
  });

  it('an instance hears again after the slot of its channel has moved, and is told that it was deaf', async () => {
    const [table, ear] = [tableOverCluster(addresses), new Ear('web-1')];
    await table.start(ear.context);
    const migration = await cluster.migrate(await cluster.slotOf('cluster:0:shop.i.web-1'));
    await migration.finish();
    await ear.hears(table, 'after the move');
    expect(ear.heard).toEqual([true, false, true]);
    await table.stop();
  });

  it('the generation changes when a node is another one', async () => {
    const [table, ear] = [tableOverCluster(addresses), new Ear('web-1')];
    await table.start(ear.context);
    const before = await table.beat('web-1.0', 0, 10_000);
    expect(await table.beat('web-1.0', 1, 10_000)).toEqual(before);
    await node.restart();
    await cluster.ready();
    let after: unknown;
    while (after === undefined) after = await table.beat('web-1.0', 2, 10_000).catch(() => undefined);
    expect(after).not.toEqual(before);
    await table.stop();
  });

  it('a wrong password and a missing right are named where nothing more can be told than that no node will do', async () => {
    await expect(tableOverCluster(addresses, { username: user.username, password: 'wrong' }).start(new Ear('web-1').context)).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE', message: expect.stringMatching(/^Redis cannot be connected to: no node can be used, the last one since: WRONGPASS /),
    });
    for (const each of cluster.nodes) await each.send('ACL', 'SETUSER', 'less', 'on', '>secret', '~*', '&*', '+@all', '-cluster|info');
    await expect(tableOverCluster(addresses, { username: 'less', password: 'secret' }).start(new Ear('web-1').context)).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE',
      message: 'Redis cannot be connected to: no node that says that the cluster is whole (CLUSTER SLOTS, CLUSTER INFO) within 5000 ms',
    });
  });

  it('a right that is missing at one node is named, whichever it is, and a client of an earlier ioredis', async () => {
    const refusals = {
      hkeys: /^this Redis cannot hold sessions: scripts may not call hkeys: /,
      spublish: /^this Redis cannot hold sessions: NOPERM .*'spublish'/, ssubscribe: /^this Redis cannot hold sessions: NOPERM .*'ssubscribe'/,
    };
    for (const [right, refusal] of Object.entries(refusals)) {
      for (const lacking of cluster.nodes) {
        for (const each of cluster.nodes) await each.send('ACL', 'SETUSER', 'less', 'reset', 'on', '>secret', '~*', '&*', '+@all', ...(each === lacking ? [`-${right}`] : []));
        await expect(tableOverCluster(addresses, { username: 'less', password: 'secret' }).start(new Ear('web-1').context)).rejects.toMatchObject({
          code: 'CLUSTER_UNAVAILABLE', message: expect.stringMatching(refusal),
        });
      }
    }
    // Its types differ from those of 6 in what the driver does not use.
    const earlier = new Earlier([...addresses], { lazyConnect: true, redisOptions: { username: 'less', password: 'secret' } }) as unknown as Cluster;
    const table = new RedisTable({ connect: () => new IoredisConnection(earlier), isCluster: true, prefix: 'cluster:', database: 0 });
    await expect(table.start(new Ear('web-1').context)).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE', message: 'Redis cannot be connected to: expected ioredis 6, found an earlier version',
    });
  });

  it('calls to a node that loads its file are rejected, and not kept for later', async () => {
    const slow = await RedisCluster.start({ config: { 'key-load-delay': '2000', 'loading-process-events-interval-bytes': '1024' } });
    const table = tableOverCluster(slow.nodes);
    await table.start(new Ear('web-1').context);
    const loading = await slow.nodeOf(await slow.slotOf('{ballast}'));
    await loading.send('EVAL', "for n = 1, 1500 do redis.call('SET', KEYS[1] .. n, string.rep('x', 100)) end", '1', '{ballast}');
    await loading.send('SAVE');
    const restarted = loading.restart();
    const isLoading = async () => String(await loading.send('INFO', 'persistence').catch(() => '')).includes('\nloading:1');
    while (!await isLoading());
    const answers = await Promise.allSettled(Array.from({ length: 100 }, (_, n) => table.read(`{ballast}${n}`)));
    expect(answers.filter(({ status }) => status === 'rejected')).toHaveLength(100);
    expect(await isLoading()).toBe(true);
    await restarted;
    while (await table.read('{ballast}x').catch(() => 'not yet') === 'not yet');
    await table.stop();
    await slow.stop();
  });

  it('a single server of it is refused', async () => {
    await expect(tableOver(node.url).start(new Ear('web-1').context)).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE', message: "this Redis cannot hold sessions: it is part of a cluster; give a client of ioredis' class Cluster",
    });
  });
});

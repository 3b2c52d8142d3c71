import { createHash } from 'node:crypto';
import { afterAll, expect, it } from '@jest/globals';
import { Cluster } from 'ioredis';
import { DistributedManager } from '@cluster/core';
import { RedisCluster } from '../../../scripts/services/redis-cluster.js';
import { RedisServer } from '../../../scripts/services/redis.js';
import { until } from '../../../scripts/services/server-process.js';
import { RedisStore } from '../src/index.js';

const cluster = await RedisCluster.start();
const addresses = cluster.nodes.map(({ host, port }) => ({ host, port }));
const stops: (() => Promise<unknown>)[] = [() => cluster.stop()];

afterAll(async () => { for (const stop of stops.reverse()) await stop(); });

/** A replica of one of the nodes, which has what its primary has. */
async function replicaOf(primary: RedisServer): Promise<RedisServer> {
  const replica = await RedisServer.start({ config: { 'cluster-enabled': 'yes', 'cluster-node-timeout': '2000' } });
  stops.push(() => replica.stop());
  await replica.send('CLUSTER', 'MEET', primary.host, String(primary.port));
  const id = String(await primary.send('CLUSTER', 'MYID'));
  await until('the replica knows its primary', async () => String(await replica.send('CLUSTER', 'NODES')).includes(id));
  await until('it is a replica', async () => await replica.send('CLUSTER', 'REPLICATE', id).catch(() => '') === 'OK');
  await until('it is in step', async () => await replica.info('master_link_status') === 'up');
  const others = cluster.nodes.filter((node) => node !== primary);
  await until('the others know it', async () => (await Promise.all(others.map(async (node) => String(await node.send('CLUSTER', 'NODES')))))
    .every((nodes) => nodes.includes(`:${replica.port}@`) && nodes.includes(`slave ${id}`)));
  return replica;
}

function managerOf(instanceId: string): DistributedManager {
  const client = new Cluster(addresses, { lazyConnect: true });
  const manager = new DistributedManager(new RedisStore({ client, instanceId }), { context: 'shop', affinity: 'keep' });
  stops.push(() => manager.stop());
  return manager;
}

const nodeOf = async (name: string) => cluster.nodeOf(await cluster.slotOf(name));
const nodeOfSession = (id: string) => nodeOf(`cluster:shop.s.${createHash('sha256').update(id).digest('hex')}`);
const add = (manager: DistributedManager, id: string) => manager.update(id, (session) => { session.set('count', Number(session.get('count')) + 1); });

it('what is held by an instance whose channel is on a node that dies can be had, and it hears again when a replica has taken the node\'s place', async () => {
  const dying = await nodeOf('cluster:0:shop.i.web-a');
  const replica = await replicaOf(dying);
  const [holder, other] = [managerOf('web-a'), managerOf('web-b')];
  await Promise.all([holder.start(), other.start()]);
  const ids: string[] = [];
  const elsewhere: string[] = [];
  for (let n = 0; n < 20; n++) {
    const session = holder.createSession();
    session.set('count', 0);
    await holder.sendSession(session);
    await add(holder, session.id);
    ids.push(session.id);
    if (await nodeOfSession(session.id) !== dying) elsewhere.push(session.id);
  }
  expect(holder.health().held).toBe(ids.length);
  expect(elsewhere).not.toEqual([]);
  await until('the replica has all of it', async () => await replica.info('master_repl_offset') === await dying.info('master_repl_offset'));

  await dying.kill();
  // Signals go nowhere. The holder, which is told so, gives back what it has once a beat is acknowledged: at the latest after the fail-over.
  await Promise.all(elsewhere.map((id) => add(other, id)));
  await until('the replica is a primary', async () => await replica.info('role') === 'master');
  await until('the holder hears again', () => Promise.resolve(holder.health().listening));
  for (const manager of [other, holder, other]) for (const id of ids) await add(manager, id);
  for (const id of ids) {
    const found = await holder.findSession(id, { access: 'snapshot' });
    expect(found?.get('count')).toBe(elsewhere.includes(id) ? 5 : 4);
  }
});

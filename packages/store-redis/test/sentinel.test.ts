import { afterAll, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { DistributedManager } from '@cluster/core';
import { testProcesses } from '@cluster/conformance';
import { RedisSentinel } from '../../../scripts/services/redis-sentinel.js';
import { IoredisConnection } from '../src/connection.js';
import { RedisStore } from '../src/index.js';
import { RedisTable } from '../src/redis-table.js';
import { Ear } from './ear.js';
import { faultsOnly, program } from './table-over.js';

const redis = await RedisSentinel.start();

afterAll(() => redis.stop());

describe('behind Sentinel', () => {
  it('a connection that was lost while no Sentinel could be asked is made when one can be, whatever ioredis gives up', async () => {
    const client = new Redis({ sentinels: [...redis.sentinels], name: redis.name, lazyConnect: true, sentinelRetryStrategy: () => null });
    const table = new RedisTable({ connect: () => new IoredisConnection(client), isCluster: false, prefix: 'cluster:', database: 0 });
    const ear = new Ear('web-1');
    await table.start(ear.context);
    await redis.sentinel.kill();
    await (await redis.servers[0].info('role') === 'master' ? redis.servers[0] : redis.servers[1]).send('CLIENT', 'KILL', 'TYPE', 'normal');
    await expect(table.read('shop.s.absent')).rejects.toThrow();
    await sleep(300); // several attempts
    await redis.sentinel.restart();
    await ear.hears(table, 'again');
    expect(await table.read('shop.s.absent')).toEqual({ kind: 'absent' });
    await table.stop();
    await redis.heal();
  });

  testProcesses(faultsOnly({ describe, it }), {
    ...program, config: { sentinels: [...redis.sentinels], name: redis.name },
    faults: [
      {
        title: 'a replica that lags behind takes over from a primary that is killed', mayLose: true, lastsMs: 500,
        begin: async () => {
          await redis.cutReplica();
        },
        end: async () => {
          await redis.failOver();
          await redis.heal();
        },
      },
      {
        title: 'primary and replica change places', mayLose: true, lastsMs: 100,
        begin: async () => { await redis.switchOver(); },
        end: () => redis.heal(),
      },
    ],
  });

  it('what a fail-over loses is noticed, and written back by who holds the session', async () => {
    const client = new Redis({ sentinels: [...redis.sentinels], name: redis.name, lazyConnect: true });
    const managers = ['a', 'b'].map((instanceId) => new DistributedManager(new RedisStore({ client, instanceId }), { context: 'shop', affinity: 'keep' }));
    const [holder, other] = managers;
    if (holder === undefined || other === undefined) throw new Error('two were made');
    await Promise.all(managers.map((manager) => manager.start()));
    const noticed = new Promise((resolve) => { holder.on('generation', resolve); });
    const session = holder.createSession();
    session.set('count', 0);
    await holder.sendSession(session);
    const add = (manager: DistributedManager) => manager.update(session.id, (found) => { found.set('count', Number(found.get('count')) + 1); });
    await add(holder);
    expect(await (await redis.primary()).send('WAIT', '1', '5000')).toBe(1);
    await redis.cutReplica();
    await add(holder);
    const next = await redis.failOver();
    const key = String(await next.send('KEYS', 'cluster:shop.s.*'));
    expect(await next.send('HGET', key, '.count')).toBe('1'); // two were acknowledged
    await add(holder);
    await add(other);
    expect((await other.findSession(session.id, { access: 'snapshot' }))?.get('count')).toBe(4);
    await noticed; // at its next beat; the change above found out by itself, should that have come first
    await Promise.all(managers.map((manager) => manager.stop()));
    await redis.heal();
  });
});

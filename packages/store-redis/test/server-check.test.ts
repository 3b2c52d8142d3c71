import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { inspect } from 'node:util';
import type { DriverContext } from '@cluster/core/driver';
import { RedisServer, type RedisSettings } from '../../../scripts/services/redis.js';
import { faultOf } from '../src/server-check.js';
import { documentedUser } from './least-rights.js';
import { tableOver } from './table-over.js';

const context: DriverContext = { context: 'shop', instanceId: 'web-1', receive: () => undefined, listening: () => undefined };
const stops: (() => Promise<void>)[] = [];
afterEach(async () => { for (const stop of stops.splice(0)) await stop(); });

async function started(settings?: RedisSettings): Promise<RedisServer> {
  const server = await RedisServer.start(settings);
  stops.push(() => server.stop());
  return server;
}

/** What a table over the server declares once it has looked. */
async function declaredOver({ url }: { readonly url: string }) {
  const table = tableOver(url);
  await table.start(context);
  await table.stop();
  return table.capabilities;
}

describe('start is refused with CLUSTER_UNAVAILABLE', () => {
  it('where nobody listens, saying so', async () => {
    const server = await started();
    await server.kill();
    await expect(tableOver(server.url).start(context)).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE', message: `Redis cannot be connected to: connect ECONNREFUSED 127.0.0.1:${server.port}`,
    });
  });

  it('within seconds where a server does not answer', async () => {
    const server = await started();
    await server.freeze();
    await expect(tableOver(server.url).start(context)).rejects.toMatchObject({ code: 'CLUSTER_UNAVAILABLE' });
    await server.thaw();
  });

  it('by a password that is wrong, which the message does not show', async () => {
    const server = await started();
    await server.config('requirepass', 'right');
    await expect(tableOver(`redis://:wr0ng-one@127.0.0.1:${server.port}`).start(context)).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE', message: expect.stringMatching(/^Redis cannot be connected to: WRONGPASS (?!.*wr0ng)/),
    });
  });

  it.each([
    ['resetchannels', /^this Redis cannot hold sessions: NOPERM .*channel/],
    ...['info', 'eval', 'evalsha', 'scan', 'publish', 'subscribe'].map((command): [string, RegExp] => [`-${command}`, new RegExp(`^this Redis cannot hold sessions: NOPERM .*'${command}'`)]),
  ])(
    'by a server that does not let the user do what is needed (%s), saying what', async (right, message) => {
      const server = await started();
      await server.send('ACL', 'SETUSER', 'shop', 'on', '>s3cret', '~*', '&*', '+@all', right);
      const error: unknown = await tableOver(`redis://shop:s3cret@127.0.0.1:${server.port}`).start(context).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'CLUSTER_UNAVAILABLE', message: expect.stringMatching(message) });
      expect(inspect(error, { depth: 9 })).not.toContain('s3cret');
    });

  it('by a server that does not let scripts call what they need, naming it and leaving nothing', async () => {
    const [server, { rights }] = [await started(), documentedUser('single')];
    const notOfScripts = ['evalsha', 'eval', 'info', 'ping', 'select', 'publish', 'subscribe', 'config|get', 'scan'];
    for (const right of rights.filter((each) => !notOfScripts.includes(each))) {
      await server.send('ACL', 'SETUSER', 'less', 'reset', 'on', '>s3cret', '~*', '&*', '+@all', `-${right}`);
      await expect(tableOver(`redis://less:s3cret@${server.host}:${server.port}`).start(context)).rejects.toMatchObject({
        code: 'CLUSTER_UNAVAILABLE', message: expect.stringMatching(new RegExp(`^this Redis cannot hold sessions: scripts may not call ${right}: [A-Z]+ `)),
      });
    }
    expect(await server.send('DBSIZE')).toBe(0);
  });

  it('by a server without that database, which would put sessions into another one', async () => {
    const server = await started();
    await expect(tableOver(`${server.url}/99`, 99).start(context)).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE', message: 'Redis cannot be connected to: ERR DB index is out of range',
    });
  });

  it('by a replica', async () => {
    const [primary, replica] = [await started(), await started()];
    await replica.send('REPLICAOF', primary.host, String(primary.port));
    await expect(tableOver(replica.url).start(context)).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE', message: 'this Redis cannot hold sessions: expected a server that takes writes, found a replica; name the primary',
    });
  });

  it.each([
    ['6.0.16', "expected version 6.2 or later, found '6.0.16'"], ['5.0.14', "expected version 6.2 or later, found '5.0.14'"],
    ['', "expected version 6.2 or later, found ''"], ['6.2.0', undefined], ['7.0.15', undefined], ['10.1.0', undefined],
  ])('or not, by version %p', (version, fault) => {
    expect(faultOf(`# Server\r\nredis_version:${version}\r\nrole:master\r\n`, false)).toBe(fault);
  });
});

describe('a server is taken for what it is', () => {
  it('losing nothing, if every write is synced and it has no replica', async () => {
    expect(await declaredOver(await started({ aof: true }))).toEqual({ delta: true, rollback: false, gone: 'disconnected', durability: 'power' });
  });

  it.each([
    ['writes are synced once a second', { aof: true, config: { appendfsync: 'everysec' } }],
    ['writes are not synced while the file is rewritten', { aof: true, config: { 'no-appendfsync-on-rewrite': 'yes' } }],
    ['nothing is written', {}],
  ])('losing its last moments, if %s', async (_what, settings) => {
    expect(await declaredOver(await started(settings))).toEqual({ delta: true, rollback: true, gone: 'disconnected', durability: 'process' });
  });

  it('losing its last moments, if a replica may take over', async () => {
    const [primary, replica] = [await started({ aof: true }), await started()];
    await replica.send('REPLICAOF', primary.host, String(primary.port));
    while (await primary.info('connected_slaves') !== '1') await new Promise((resolve) => { setTimeout(resolve, 10); });
    expect(await declaredOver(primary)).toMatchObject({ rollback: true, durability: 'process' });
  });

  it('losing nothing also by a user with the documented rights, who may ask how it writes', async () => {
    const [server, user] = [await started({ aof: true }), documentedUser('single')];
    await user.makeAt(server);
    expect(await declaredOver({ url: `redis://${user.username}:${user.password}@${server.host}:${server.port}` })).toMatchObject({ rollback: false, durability: 'power' });
    expect(await server.send('ACL', 'LOG')).toEqual([]);
  });

  it('losing its last moments, if it does not tell', async () => {
    const server = await started({ aof: true });
    await server.send('ACL', 'SETUSER', 'shop', 'on', '>secret', '~*', '&*', '+@all', '-config');
    const table = tableOver(`redis://shop:secret@127.0.0.1:${server.port}`);
    await table.start(context);
    await table.stop();
    expect(table.capabilities).toMatchObject({ rollback: true, durability: 'process' });
  });
});

describe('a server that evicts', () => {
  it('is warned of', async () => {
    const warned = jest.spyOn(process, 'emitWarning').mockReturnValue(undefined);
    stops.push(() => {
      warned.mockRestore();
      return Promise.resolve();
    });
    const server = await started({ config: { 'maxmemory-policy': 'allkeys-lru' } });
    await declaredOver(server);
    expect(warned.mock.calls).toEqual([]); // it has no limit, so it never evicts
    await server.config('maxmemory', '100mb');
    await declaredOver(server);
    expect(warned.mock.calls).toEqual([[
      "Redis drops sessions that are in use when its memory is full: maxmemory-policy is 'allkeys-lru'; set it to 'noeviction'",
      { type: 'ClusterWarning', code: 'CLUSTER_REDIS_EVICTION' },
    ]]);
  });
});

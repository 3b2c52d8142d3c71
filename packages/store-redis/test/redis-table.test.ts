import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ClusterError } from '@cluster/core';
import type { Write } from '@cluster/core/driver';
import { Redis } from 'ioredis';
import { RedisServer } from '../../../scripts/services/redis.js';
import { clientOf, IoredisConnection } from '../src/connection.js';
import { RedisTable } from '../src/redis-table.js';
import { Ear } from './ear.js';
import { tableOver } from './table-over.js';

const key = `shop.s.${'0a'.repeat(32)}`;
const claim = { incarnation: 'web-1.0123456789abcdef', grant: 'a'.repeat(32) };
const sets = (name: string, value: string): Write => ({ change: { set: new Map([[name, value]]), remove: [], whole: false }, lifetimeMs: 60_000 });

let server: RedisServer;
let table: RedisTable;
beforeEach(async () => {
  server = await RedisServer.start();
  table = tableOver(server.url);
  await table.start(new Ear('web-1').context);
  await table.create(key, claim, sets('user', '"Anna"'), 'keep');
});
afterEach(async () => {
  await table.stop();
  await server.stop();
});

const commit = () => table.commit(key, claim.grant, { grant: claim.grant, version: 1 }, sets('card', '"4000 0000"'), 'keep');

describe('a server that is full', () => {
  beforeEach(() => server.config('maxmemory', '1'));

  it('refuses content, and changes nothing', async () => {
    const refusal = { code: 'CLUSTER_UNAVAILABLE', message: expect.stringMatching(/^Redis refused: .*OOM command not allowed when used memory > 'maxmemory'.?; nothing was changed; raise maxmemory, /) };
    await expect(commit()).rejects.toMatchObject(refusal);
    await expect(table.create(`${key}0`, claim, sets('user', '"Bert"'), 'keep')).rejects.toMatchObject(refusal);
    expect(await table.read(key)).toMatchObject({ stamp: { version: 1 }, attributes: new Map([['user', '"Anna"']]) });
    expect(await table.read(`${key}0`)).toEqual({ kind: 'absent' });
  });

  it('goes on with what adds nothing: locks, reads, touches, beats and removals', async () => {
    expect(await table.commit(key, claim.grant, undefined, { change: undefined, lifetimeMs: 0 }, 'release')).toMatchObject({ kind: 'done' });
    expect(await table.acquire(key, claim)).toMatchObject({ kind: 'granted' });
    expect(await table.touch(new Map([[key, 90_000]]))).toEqual(new Set());
    expect(await table.beat(claim.incarnation, 0, 10_000)).toHaveProperty('generation');
    expect(await table.remove(key, undefined, undefined, 'removed', 60_000)).toEqual({ kind: 'removed', holder: claim });
    expect(await table.read(key)).toEqual({ kind: 'absent', gone: 'removed' });
  });
});

describe('a server that has become a replica', () => {
  it('answers nothing, neither what it has nor that it has nothing', async () => {
    await server.send('REPLICAOF', '127.0.0.1', '1');
    const absent = `${key}0`;
    const calls = [
      () => table.read(key), () => table.read(absent), () => table.acquire(key, claim), () => table.acquire(absent, claim), commit,
      () => table.create(key, claim, sets('user', '"Bert"'), 'keep'), () => table.remove(absent, undefined, undefined, 'removed', 1_000),
      () => table.commit(absent, claim.grant, undefined, { change: undefined, lifetimeMs: 0 }, 'release'),
      () => table.touch(new Map([[absent, 1_000]])), () => table.beat(claim.incarnation, 0, 10_000), () => table.lapse(claim.incarnation, 0),
    ];
    for (const call of calls) {
      // The store connects anew after each, since the name of the server may lead to another one by now.
      let error: unknown;
      do error = await call().catch((caught: unknown) => caught); while (String(error).includes('the connection to Redis was lost'));
      expect(error).toMatchObject({ code: 'CLUSTER_UNAVAILABLE', message: expect.stringContaining('READONLY') });
    }
  });

  it('has another generation when it takes writes again', async () => {
    const before = await table.beat(claim.incarnation, 0, 10_000);
    await server.send('REPLICAOF', '127.0.0.1', '1');
    await server.send('REPLICAOF', 'NO', 'ONE');
    const after = await table.beat(claim.incarnation, 1, 10_000);
    expect(after).toHaveProperty('generation');
    expect(after).not.toEqual(before);
  });
});

describe('a server that is gone', () => {
  it('is named in the error, with what the last attempt to connect met', async () => {
    await server.kill();
    let message = '';
    // The first one may have been sent before the connection was known to be lost.
    while (!message.includes('ECONN')) message = String(await table.read(key).catch((error: unknown) => error));
    const expected = `the connection to Redis was lost before it answered: connect ECONNREFUSED ${server.host}:${server.port}`;
    expect(message).toBe(`Error: ${expected}`);
    const error: unknown = await table.signal('web-2', 'not for the log').catch((caught: unknown) => caught);
    expect(error).toMatchObject({ message: expected });
    expect(inspect(error, { depth: 9 })).not.toContain('not for the log');
  });
});

const eager = { lazyConnect: true, autoResendUnfulfilledCommands: true, maxRetriesPerRequest: null };

describe('what was not answered', () => {
  it.each([
    ['the client is set to', () => new Redis(server.url, eager)],
    ['the URL asks for', () => clientOf(`${server.url}/0?autoResendUnfulfilledCommands=true&maxRetriesPerRequest=5&keyPrefix=zz:&family=4`)],
  ])('when the connection ended is not sent again, whatever %s', async (_what, template) => {
    const like = new RedisTable({ connect: () => new IoredisConnection(template()), isCluster: false, prefix: 'cluster:', database: 0 });
    await like.start(new Ear('web-2').context);
    expect(await like.read(key)).toMatchObject({ stamp: { version: 1 } }); // no other prefix
    await server.freeze();
    const unanswered = like.commit(key, claim.grant, { grant: claim.grant, version: 1 }, sets('user', '"Bert"'), 'keep');
    const rejected = expect(unanswered).rejects.toThrow('the connection to Redis was lost before it answered');
    await server.kill();
    await server.restart();
    await rejected;
    while (await like.read(key).catch(() => 'not yet') === 'not yet');
    expect(await like.read(key)).toEqual({ kind: 'absent' });
    expect(String(await server.send('INFO', 'commandstats'))).not.toMatch(/^cmdstat_hset/m);
    await like.stop();
  });
});

describe('a script', () => {
  it('that the server has forgotten is sent again', async () => {
    await commit();
    await server.send('SCRIPT', 'FLUSH');
    expect(await commit()).toEqual({ kind: 'done', version: 2 });
  });
});

describe('a server that loads its file', () => {
  it('is like one that is gone: calls are not kept for later', async () => {
    const slow = await RedisServer.start({ config: { 'key-load-delay': '2000', 'loading-process-events-interval-bytes': '1024' } });
    const over = tableOver(slow.url);
    await over.start(new Ear('web-1').context);
    await slow.send('EVAL', "for n = 1, 1500 do redis.call('SET', 'ballast' .. n, string.rep('x', 100)) end", '0');
    await slow.send('SAVE');
    const restarted = slow.restart();
    const isLoading = async () => String(await slow.send('INFO', 'persistence').catch(() => '')).includes('\nloading:1');
    while (!await isLoading());
    let message = '';
    while (!message.includes('loading') && await isLoading()) message = String(await over.read(key).catch((error: unknown) => error));
    expect(message).toBe('Error: the connection to Redis was lost before it answered: Redis is loading its file');
    const answers = await Promise.allSettled(Array.from({ length: 100 }, () => over.read(key)));
    expect(answers.filter(({ status }) => status === 'rejected')).toHaveLength(100);
    expect(await isLoading()).toBe(true);
    await restarted;
    while (await over.read(key).catch(() => 'not yet') === 'not yet');
    await over.stop();
    await slow.stop();
  });
});

describe('a right that is taken away', () => {
  const likeWithout = async (right: string) => {
    await server.send('ACL', 'SETUSER', 'shop', 'on', '>s3cret', '~*', '&*', '+@all');
    const like = tableOver(`redis://shop:s3cret@${server.host}:${server.port}`);
    await like.start(new Ear('web-2').context);
    await server.send('ACL', 'SETUSER', 'shop', `-${right}`);
    return like;
  };

  it('while the store runs may end a step half-way, which is not called a refusal', async () => {
    const like = await likeWithout('pexpire');
    const error: unknown = await like.commit(key, claim.grant, { grant: claim.grant, version: 1 }, sets('user', '"Bert"'), 'keep').catch((caught: unknown) => caught);
    expect(await table.read(key)).toMatchObject({ stamp: { version: 2 } });
    expect(ClusterError.is(error)).toBe(false); // so that the engine looks what became of it
    expect(String(error)).toMatch(/^Error: Redis ended a step, perhaps half-way: (?!.*user_script)/);
    await like.stop();
  });

  it('makes no session that never expires: without it nothing is made', async () => {
    const like = await likeWithout('pexpire');
    await expect(like.create(`${key}0`, claim, sets('user', '"Bert"'), 'keep')).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE', message: 'Redis refused: NOPERM scripts may not call pexpire; nothing was changed',
    });
    expect(await server.send('KEYS', '*')).toEqual([`cluster:${key}`]);
    await like.stop();
  });

  it('and that calls need is named', async () => {
    const like = await likeWithout('evalsha');
    await expect(like.read(key)).rejects.toMatchObject({ code: 'CLUSTER_UNAVAILABLE', message: expect.stringMatching(/^Redis refused: NOPERM .*evalsha.*; nothing was changed$/) });
    await like.stop();
  });
});

describe('an error', () => {
  it('shows no content of a session, nor does its cause', async () => {
    await server.send('DEL', `cluster:${key}`);
    await server.send('SET', `cluster:${key}`, 'not a session');
    const error: unknown = await commit().catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: 'CLUSTER_UNAVAILABLE', message: expect.stringContaining('WRONGTYPE') });
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain('4000 0000');
  });

  it('says whose layout it cannot read', async () => {
    await server.send('HSET', `cluster:${key}`, 'format', '9');
    await expect(table.read(key)).rejects.toMatchObject({ code: 'CLUSTER_FOREIGN_VERSION', message: "session 0a0a0a0a0a0a: expected a record of format 1, found '9'" });
  });
});

describe('a change', () => {
  it('that sets and removes one name sets it', async () => {
    const change = { set: new Map([['user', '"Bert"']]), remove: ['user'], whole: false };
    await table.commit(key, claim.grant, { grant: claim.grant, version: 1 }, { change, lifetimeMs: 0 }, 'keep');
    expect(await table.read(key)).toMatchObject({ attributes: new Map([['user', '"Bert"']]) });
  });

  it('of more attributes than Lua takes at once is made whole', async () => {
    const set = new Map(Array.from({ length: 10_000 }, (_, n) => [`n${n}`, String(n)]));
    await table.commit(key, claim.grant, { grant: claim.grant, version: 1 }, { change: { set, remove: [], whole: true }, lifetimeMs: 0 }, 'keep');
    expect(await table.read(key)).toMatchObject({ attributes: set });
  });
});

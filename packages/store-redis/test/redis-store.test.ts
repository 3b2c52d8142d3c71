import 'reflect-metadata';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Container } from 'inversify';
import { Redis } from 'ioredis';
import { Redis as Earlier } from 'ioredis-5';
import { createClient, createCluster } from 'redis';
import { ClusterStore, DistributedManager, Manager } from '@cluster/core';
import { managerModule } from '@cluster/core/inversify';
import { RedisServer } from '../../../scripts/services/redis.js';
import { RedisStore, type RedisStoreOptions } from '../src/index.js';
import { redisStoreModule } from '../src/inversify.js';

let server: RedisServer;
beforeAll(async () => { server = await RedisServer.start(); });
afterAll(() => server.stop());

/** What a caller without types could pass. */
const made = (options: object): RedisStore => new RedisStore(options as RedisStoreOptions);

describe('the options', () => {
  it('are refused all at once, each with what was expected and found, but for the URL, which may have a password', () => {
    expect(() => made({ client: {}, url: 'http://user:secret@redis', prefix: 'a{b}', instanceId: 'no spaces', db: 1 })).toThrow(expect.objectContaining({
      code: 'CLUSTER_BAD_OPTION',
      message: 'RedisStore: client: expected a Redis or Cluster of ioredis, found {}; '
        + 'url: expected a URL that begins with redis:// or rediss://, with user and password percent-encoded, and no path but the number of a database, found one that begins with http://; '
        + "prefix: expected a text of up to 100 characters, without { and }, found 'a{b}'; "
        + "instanceId: expected 1 to 64 of the characters A-Z a-z 0-9 _ -, found 'no spaces'; "
        + 'db: no such option; use url, or client: new Redis({ ... }) of ioredis',
    }));
  });

  it.each([
    ['ttl', 'use idleTimeoutMs of session() or of the manager, in ms'], ['disableTouch', 'leave it out: touches are few, and sent together'],
    ['serializer', 'use codec of session() or of the manager'], ['keyPrefix', 'use prefix'], ['sentinels', 'use client: new Redis({ sentinels, name }) of ioredis'],
    ['context', 'give it to session() or to the manager'], ['prefx', 'did you mean prefix?'], ['compress', 'known are client, url, prefix, instanceId'],
  ])('say what to do in place of %s, which other libraries have', (option, advice) => {
    expect(() => made({ url: server.url, [option]: 1 })).toThrow(`RedisStore: ${option}: no such option; ${advice}`);
  });

  it('refuse a client of node-redis, whose methods are others, and say so', () => {
    const refusal = 'RedisStore: client: expected a Redis or Cluster of ioredis, found a client of node-redis (the package redis); '
      + 'make one of ioredis with the same settings, or give its address as url';
    expect(() => made({ client: createClient() })).toThrow(refusal);
    expect(() => made({ client: createCluster({ rootNodes: [{ url: server.url }] }) })).toThrow(refusal);
    const called = () => undefined;
    expect(() => made({ client: { evalsha: called, duplicate: called } })).toThrow(refusal); // as version 3 has it
  });

  it.each([
    ['redis://user:s3cret/1@redis:6379', 'one that cannot be taken apart'], ['redis://:s3cret', 'one that cannot be taken apart'],
    ['redis://user:s3cret%zz@redis', 'one that cannot be taken apart'], ['redis://:s3cret@redis/shop', 'one whose path is no number'],
    ['redis://user:6379/s3cret@redis', 'one whose path is no number'], ['user:s3cret@redis:6379', 'one without redis:// at its begin'], ['', 'an empty text'],
  ])('say what is wrong with the URL %p and show nothing of it that may be secret', (url, found) => {
    const message = 'RedisStore: url: expected a URL that begins with redis:// or rediss://, with user and password percent-encoded, '
      + `and no path but the number of a database, found ${found}`;
    expect(() => made({ url })).toThrow(expect.objectContaining({ code: 'CLUSTER_BAD_OPTION', message }));
  });

  it('are either a client or a URL', () => {
    const client = new Redis({ lazyConnect: true });
    expect(() => made({ url: undefined })).toThrow('RedisStore: expected either client or url, found neither, or undefined');
    expect(() => made({ client, url: server.url })).toThrow('RedisStore: expected either client or url, found both');
    expect(() => made(client)).toThrow(/^RedisStore: expected an object of options, such as \{ client \} or \{ url: 'redis:\/\/host:6379' \}, found an object of the class \w+$/);
  });
});

describe('a client', () => {
  it('lends its settings, key prefix and database included, and is neither used nor closed', async () => {
    const client = new Redis(server.url, { keyPrefix: 'app:', db: 3, autoResendUnfulfilledCommands: true, stringNumbers: true });
    const manager = new DistributedManager(new RedisStore({ client, prefix: 'sessions:' }), { context: 'shop' });
    const session = manager.createSession();
    session.set('user', 'Anna');
    await manager.sendSession(session);
    await manager.stop();
    expect(client.status).toBe('ready');
    const keys = await client.keys('*');
    expect(keys.filter((key) => /^app:sessions:shop\.s\.[0-9a-f]{64}$/.test(key))).toHaveLength(1);
    expect(keys.every((key) => key.startsWith('app:sessions:shop.'))).toBe(true);
    client.disconnect();
  });
});

describe('what the query of a URL names', () => {
  it('holds for keys and channels alike: the database, and a prefix of keys', async () => {
    const manager = new DistributedManager(new RedisStore({ url: `${server.url}?db=7&keyPrefix=app:`, instanceId: 'web-1' }), { context: 'shop' });
    await manager.start();
    expect(await server.send('PUBSUB', 'CHANNELS', '*')).toEqual(['app:cluster:7:shop.i.web-1']);
    await manager.sendSession(manager.createSession());
    await manager.stop();
    expect(await server.info('db7')).toMatch(/^keys=[1-9]/);
  });
});

describe('two prefixes in one database', () => {
  it('are two stores: a session of one is not in the other, whose holder hears nothing of it', async () => {
    const managers = ['one:', 'two:'].map((prefix) => new DistributedManager(new RedisStore({ url: `${server.url}/5`, prefix, instanceId: 'web-1' }), { context: 'shop' }));
    const [one, two] = managers as [DistributedManager, DistributedManager];
    const session = one.createSession();
    session.set('user', 'Anna');
    await one.sendSession(session);
    expect(await two.findSession(session.id, { access: 'snapshot' })).toBeUndefined();
    expect(await two.removeSession(session.id)).toBe('confirmed');
    expect(await one.update(session.id, (found) => found.get('user'))).toBe('Anna');
    await Promise.all(managers.map((manager) => manager.stop()));
  });
});

describe('a client of an earlier ioredis', () => {
  it('is refused', async () => {
    // Its types differ from those of 6 in what the driver does not use.
    const client = new Earlier(server.url, { lazyConnect: true }) as unknown as Redis;
    await expect(new DistributedManager(new RedisStore({ client })).start()).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE', message: 'Redis cannot be connected to: expected ioredis 6, found an earlier version',
    });
  });
});

describe('in a container', () => {
  it('the store is one object, which the manager gets, and which is stopped when it is unbound', async () => {
    const container = new Container();
    container.load(redisStoreModule({ url: server.url, instanceId: 'web-1' }), managerModule({ context: 'shop' }));
    const manager = container.get<Manager>(Manager);
    expect(manager.store.instanceId).toBe('web-1');
    expect(manager.store).toBeInstanceOf(RedisStore);
    expect(container.get<ClusterStore>(ClusterStore)).toBe(manager.store);
    await manager.start();
    await container.unbindAllAsync();
    expect(manager.health().status).toBe('stopped');
    // No connection of the store is left: only the one that asks.
    expect(await server.info('connected_clients')).toBe('1');
  });
});

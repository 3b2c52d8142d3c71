import 'reflect-metadata';
import { Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { Container } from 'inversify';
import { connect, type NatsConnection } from 'nats';
import { ClusterStore, DistributedManager, Manager, type Session } from '@cluster/core';
import { managerModule } from '@cluster/core/inversify';
import { natsReleases, NatsServer } from '../../../scripts/services/nats.js';
import { until } from '../../../scripts/services/server-process.js';
import { messageOf } from '../src/failures.js';
import { NatsStore, type NatsStoreOptions } from '../src/index.js';
import { natsStoreModule } from '../src/inversify.js';
import { NatsMap } from '../src/nats-map.js';

let server: NatsServer;
let client: NatsConnection;
beforeAll(async () => {
  server = await NatsServer.start();
  client = await connect({ servers: server.url });
});
afterAll(async () => {
  await client.close();
  await server.stop();
});

/** What a caller without types could pass. */
const made = (options: object): NatsStore => new NatsStore(options as NatsStoreOptions);
const here = () => ({ connect: { servers: server.url } });
const mapIn = (bucket: string, at: NatsServer = server) =>
  new NatsMap({ source: { connect: { servers: at.url } }, bucket, replicas: 1, storage: 'file' });
const nobody = { context: 'shop', instanceId: 'one', receive: () => undefined, listening: () => undefined };
const LONG_MS = 60_000;

describe('the options', () => {
  it('are refused all at once, each with what was expected and found', () => {
    expect(() => made({ client: {}, connect: 'nats://user:secret@host', bucket: 'a.b', replicas: 2, storage: 'disk', instanceId: 'no spaces', url: 1 }))
      .toThrow(expect.objectContaining({
        code: 'CLUSTER_BAD_OPTION',
        message: 'NatsStore: client: expected a connection of the package nats 2 (where yours is of @nats-io/*, give connect its options in place of client), found {}; '
          + "connect: expected the options of nats' connect, found a string; "
          + "bucket: expected 1 to 64 of the characters A-Z a-z 0-9 _ -, found 'a.b'; "
          + 'replicas: expected 1, 3 or 5, found 2; '
          + "storage: expected 'file' or 'memory', found 'disk'; "
          + "instanceId: expected 1 to 64 of the characters A-Z a-z 0-9 _ -, found 'no spaces'; "
          + 'url: no such option; known are client, connect, bucket, replicas, storage, instanceId',
      }));
  });

  it('are either a client or how to connect', () => {
    expect(() => made({})).toThrow('NatsStore: expected either client or connect, found neither');
    expect(() => made({ client, ...here() })).toThrow('NatsStore: expected either client or connect, found both');
  });
});

describe('a client', () => {
  it('is used, and not closed', async () => {
    const manager = new DistributedManager(new NatsStore({ client }), { context: 'lent' });
    const session = manager.createSession();
    session.set('user', 'Anna');
    await manager.sendSession(session);
    await manager.stop();
    expect(client.isClosed()).toBe(false);
    const later = new DistributedManager(new NatsStore({ client }), { context: 'lent' });
    expect((await later.findSession(session.id, { access: 'snapshot' }))?.get('user')).toBe('Anna');
    await later.stop();
  });
});

describe('a client that is left', () => {
  it('keeps nothing that watches it', async () => {
    // What the client keeps inside and does not declare.
    const watching = () => (Reflect.get(client, 'listeners') as unknown[]).length;
    const before = watching();
    const map = new NatsMap({ source: { client }, bucket: 'left', replicas: 1, storage: 'file' });
    await map.start(nobody);
    await map.stop();
    await new Promise(setImmediate);
    expect(watching()).toBe(before);
  });
});

describe('what is asked', () => {
  it('in one turn of the event loop leaves in one write', async () => {
    const map = mapIn('gathered');
    await map.start(nobody);
    const written = jest.spyOn(Socket.prototype, 'write');
    const revisions = await Promise.all(Array.from({ length: 9 }, (_, index) => map.compareAndSet(`shop.s.${index}`, undefined, { value: 'x', lifetimeMs: LONG_MS })));
    const sent = written.mock.calls.filter(([content]) => Buffer.from(content).includes('HPUB')).length;
    written.mockRestore();
    expect({ sent, stored: new Set(revisions).size }).toEqual({ sent: 1, stored: 9 });
    await map.stop();
  });

  it('is answered under the inbox prefix of the connection', async () => {
    const own = await connect({ servers: server.url, inboxPrefix: '_own' });
    const answers: string[] = [];
    client.subscribe('_own.>', { callback: (_, { subject }) => { answers.push(subject); } });
    await client.flush();
    const map = new NatsMap({ source: { client: own }, bucket: 'gathered', replicas: 1, storage: 'file' });
    await map.start(nobody);
    await client.flush();
    const before = answers.length;
    expect(await map.get('shop.s.none')).toBeUndefined();
    await client.flush();
    expect(answers.length).toBe(before + 1);
    await map.stop();
    await own.close();
  });
});

describe('a server that is not there', () => {
  it('is named by start', async () => {
    const manager = new DistributedManager(new NatsStore({ connect: { servers: 'nats://127.0.0.1:1' } }));
    await expect(manager.start()).rejects.toMatchObject({ code: 'CLUSTER_UNAVAILABLE', message: expect.stringContaining('NATS cannot be connected to') });
    await manager.stop();
  });

  it('fails a call at once when it goes, and is used again when it is back', async () => {
    const own = await NatsServer.start();
    const map = mapIn('cluster', own);
    await map.start(nobody);
    const revision = await map.compareAndSet('shop.s.a', undefined, { value: 'kept', lifetimeMs: LONG_MS });
    const generation = map.generation();
    await own.freeze();
    const unanswered = map.get('shop.s.a').catch(String);
    await own.kill();
    expect(await unanswered).toContain('NATS: the connection was lost before an answer came');
    await expect(map.compareAndSet('shop.s.a', revision, { value: 'never', lifetimeMs: LONG_MS })).rejects.toMatchObject({ code: 'CLUSTER_UNAVAILABLE' });
    await own.restart();
    let found;
    for (let tried = 0; found === undefined && tried < 500; tried++) {
      found = await map.get('shop.s.a').catch(() => undefined);
      await new Promise((resolve) => { setTimeout(resolve, 10); });
    }
    expect(found).toEqual({ value: 'kept', revision });
    expect(map.generation()).not.toBe(generation);
    await map.stop();
    await own.stop();
  });

  it('says in each failure why it does not let the store in', async () => {
    const users = (pass: string) => `authorization { users: [{ user: all, password: all }, { user: shop, password: ${pass} }] }\nno_auth_user: all`;
    await using own = await NatsServer.start({ lines: users('old') });
    const map = new NatsMap({ source: { connect: { servers: own.url, user: 'shop', pass: 'old' } }, bucket: 'cluster', replicas: 1, storage: 'file' });
    await map.start(nobody);
    await own.configure(users('new'));
    await own.restart();
    await until('it is told', async () => await map.get('shop.s.a').then(String, messageOf)
      === 'there is no connection to NATS (it said AUTHORIZATION_VIOLATION); nothing was changed');
    await map.stop();
  });
});

describe('a bucket', () => {
  it('with replicas is refused on a server whose replicas accept two puts of the same revision', async () => {
    await using old = await NatsServer.start({ release: 'installed' });
    const map = new NatsMap({ source: { connect: { servers: old.url } }, bucket: 'cluster', replicas: 3, storage: 'file' });
    await expect(map.start(nobody)).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE',
      message: expect.stringMatching(/^NATS: with replicas expected servers of 2\.11 or later, found '2\.(9|10)\.\d+': older ones may accept two changes of the same state\. /),
    });
  });

  it('with one replica is refused in a cluster of servers, where a client on another one does not notice that it went back', async () => {
    // One node of them; its configuration says that it belongs to a cluster.
    await using node = await NatsServer.start();
    await node.join([1]);
    await node.restart();
    await expect(mapIn('cluster', node).start(nobody)).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE',
      message: "NATS: in a cluster of servers ('sessions') expected replicas: 3, or 5, found 1: what is lost with the one server that keeps the bucket would not be "
        + 'noticed on the others. Give replicas: 3, or connect to a server that is in no cluster',
    });
  });

  it('that is found further back by a put raises the generation, and puts at once do not', async () => {
    const map = mapIn('back');
    await map.start(nobody);
    const put = (key: string) => map.compareAndSet(`shop.s.${key}`, undefined, { value: 'x', lifetimeMs: LONG_MS });
    const generation = map.generation();
    await Promise.all(Array.from({ length: 64 }, (_each, at) => put(`a${at}`)));
    expect(map.generation()).toBe(generation);
    const { config } = await server.ask('$JS.API.STREAM.INFO.KV_back') as { config: object };
    await server.ask('$JS.API.STREAM.DELETE.KV_back');
    await server.ask('$JS.API.STREAM.CREATE.KV_back', config);
    await map.get('shop.s.a');
    // The server has said by now that the bucket was made anew, which in a cluster it may not.
    const told = map.generation();
    await put('b');
    const found = map.generation();
    expect(found).not.toBe(told);
    await put('c');
    expect(map.generation()).toBe(found);
    await map.stop();
  });

  it('that differs from the options is refused, and each difference named', async () => {
    await server.ask('$JS.API.STREAM.CREATE.KV_other', { name: 'KV_other', subjects: ['$KV.other.>'], storage: 'memory', max_msgs_per_subject: 5, discard: 'new' });
    await expect(mapIn('other').start(nobody)).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE',
      message: "NATS: the bucket 'other' is not as it must be: max_msgs_per_subject: expected 1, found 5; storage: expected \"file\", found \"memory\". "
        + 'Name another bucket, give the options it was made with, or edit its stream',
    });
  });

  it('that is full is said to be, and changes nothing', async () => {
    const map = mapIn('full');
    await map.start(nobody);
    const { config } = await server.ask('$JS.API.STREAM.INFO.KV_full') as { config: object };
    await server.ask('$JS.API.STREAM.UPDATE.KV_full', { ...config, max_bytes: 1 });
    await expect(map.compareAndSet('shop.s.a', undefined, { value: 'x', lifetimeMs: LONG_MS })).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE', message: 'NATS refused: maximum bytes exceeded; nothing was changed',
    });
    await map.stop();
  });

  it('that is found unfit after a reconnection takes no puts until it is mended', async () => {
    await using own = await NatsServer.start();
    const map = mapIn('cluster', own);
    await map.start(nobody);
    const put = () => map.compareAndSet('shop.s.a', undefined, { value: 'x', lifetimeMs: LONG_MS }).then(() => 'done', messageOf);
    const { config } = await own.ask('$JS.API.STREAM.INFO.KV_cluster') as { config: object };
    await own.ask('$JS.API.STREAM.UPDATE.KV_cluster', { ...config, discard: 'old' });
    await own.restart();
    await until('it is found', async () => (await put()).startsWith('NATS: the bucket \'cluster\' is not as it must be: discard: expected "new", found "old"'));
    await own.ask('$JS.API.STREAM.UPDATE.KV_cluster', config);
    await until('it is taken again', async () => (await map.compareAndSet(`shop.s.${Math.random()}`, undefined, { value: 'x', lifetimeMs: LONG_MS })
      .catch(() => undefined)) !== undefined);
    await map.stop();
  });

  it('that is deleted and made anew does not take an old revision for one of its own', async () => {
    const map = mapIn('again');
    await map.start(nobody);
    await map.compareAndSet('shop.s.a', undefined, { value: 'x', lifetimeMs: LONG_MS });
    const generation = map.generation();
    const { config } = await server.ask('$JS.API.STREAM.INFO.KV_again') as { config: object };
    await server.ask('$JS.API.STREAM.DELETE.KV_again');
    await server.ask('$JS.API.STREAM.CREATE.KV_again', config);
    expect(await map.get('shop.s.a')).toBeUndefined();
    expect(map.generation()).not.toBe(generation);
    await map.stop();
  });

  it('whose keys others delete or let expire with a marker has those as absent, and takes them again', async () => {
    const map = mapIn('marked');
    await map.start(nobody);
    const kv = await client.jetstream().views.kv('marked', { bindOnly: true });
    const first = await map.compareAndSet('shop.s.a', undefined, { value: 'x', lifetimeMs: LONG_MS });
    await kv.delete('shop.s/a');
    expect(await map.get('shop.s.a')).toBeUndefined();
    expect(await map.compareAndSet('shop.s.a', first, { value: 'y', lifetimeMs: LONG_MS })).toBeUndefined();
    expect(await map.compareAndSet('shop.s.a', undefined, { value: 'z', lifetimeMs: LONG_MS })).toBeDefined();
    expect(await map.get('shop.s.a')).toMatchObject({ value: 'z' });
    await map.stop();
  });
});

describe('round trips, by the count of the server', () => {
  const managers: DistributedManager[] = [];
  afterEach(async () => { await Promise.all(managers.splice(0).map((manager) => manager.stop())); });
  /** With these neither a beat nor a signal to itself falls into a test. */
  const seldom = { leaseMs: 600_000, readLeaseMs: 300_000 };
  const started = async (affinity: 'keep' | 'release') => {
    const manager = new DistributedManager(new NatsStore(here()), { context: 'trips', affinity, ...seldom });
    managers.push(manager);
    await manager.start();
    return manager;
  };
  /** How many messages are sent to NATS meanwhile. */
  const during = async (work: () => Promise<unknown>): Promise<number> => {
    const before = await server.received();
    await work();
    return await server.received() - before;
  };
  const withSession = async (manager: DistributedManager): Promise<string> => {
    const session = manager.createSession();
    session.set('count', 1);
    await manager.sendSession(session);
    return session.id;
  };
  const change = (manager: DistributedManager, id: string) => manager.update(id, (found) => { found.set('count', Number(found.get('count')) + 1); });

  it('none for a read of what is held here, one for a write, one for a read of what another holds', async () => {
    const [holder, other] = [await started('keep'), await started('keep')];
    const id = await withSession(holder);
    await change(holder, id);
    expect(await during(() => holder.findSession(id, { access: 'snapshot' }))).toBe(0);
    expect(await during(() => change(holder, id))).toBe(1);
    expect(await during(() => other.findSession(id, { access: 'snapshot' }))).toBe(1);
  });

  it('two to find and lock what nobody holds, one to store and release it', async () => {
    const manager = await started('release');
    const id = await withSession(manager);
    let found: Session | undefined;
    expect(await during(async () => { found = await manager.findSession(id); })).toBe(2);
    found?.set('count', 2);
    expect(await during(() => manager.sendSession(found!))).toBe(1);
  });
});

describe.each(natsReleases())('a lifetime (%s)', (release) => {
  it('ends an entry for readers and writers, and leaves nothing of it', async () => {
    await using own = await NatsServer.start({ release });
    const map = mapIn('cluster', own);
    await map.start(nobody);
    const revision = await map.compareAndSet('shop.s.a', undefined, { value: 'x', lifetimeMs: 1_000 });
    await new Promise((resolve) => { setTimeout(resolve, 1_500); });
    expect(await map.get('shop.s.a')).toBeUndefined();
    expect(await map.compareAndSet('shop.s.a', revision, { value: 'late', lifetimeMs: LONG_MS })).toBeUndefined();
    await map.sweep(10);
    expect(await own.ask('$JS.API.STREAM.INFO.KV_cluster')).toMatchObject({ state: { messages: 0 } });
    await map.stop();
  });
});

describe('entries that are over, where instances clear them away', () => {
  it('are swept by two at once, each of them by one', async () => {
    await using own = await NatsServer.start({ release: 'installed' });
    const maps = [mapIn('cluster', own), mapIn('cluster', own)];
    for (const map of maps) await map.start(nobody);
    for (let made = 0; made < 30; made += 1) await maps[0]?.compareAndSet(`shop.s.${made}`, undefined, { value: 'x', lifetimeMs: 1 });
    const swept = await Promise.all(maps.map((map) => map.sweep(100)));
    expect(swept.reduce((sum, each) => sum + each, 0)).toBe(30);
    await Promise.all(maps.map((map) => map.stop()));
  });
});

describe('in a container', () => {
  it('the store is one object, which the manager gets, and which is stopped when it is unbound', async () => {
    const container = new Container();
    container.load(natsStoreModule({ ...here(), instanceId: 'web-1' }), managerModule({ context: 'shop' }));
    const manager = container.get<Manager>(Manager);
    expect(manager.store.instanceId).toBe('web-1');
    expect(manager.store).toBeInstanceOf(NatsStore);
    expect(container.get<ClusterStore>(ClusterStore)).toBe(manager.store);
    await manager.start();
    await container.unbindAllAsync();
    expect(manager.health().status).toBe('stopped');
  });
});

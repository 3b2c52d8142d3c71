import 'reflect-metadata';
import { once } from 'node:events';
import { connect as dial, createServer, Socket, type AddressInfo } from 'node:net';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { Container } from 'inversify';
import { connect } from 'nats';
import { ClusterStore, DistributedManager, Manager, type Session } from '@cluster/core';
import { managerModule } from '@cluster/core/inversify';
import { NatsServer } from '../../../scripts/services/nats.js';
import { until } from '../../../scripts/services/server-process.js';
import { messageOf } from '../src/failures.js';
import { NatsStore, type NatsStoreOptions } from '../src/index.js';
import { natsStoreModule } from '../src/inversify.js';
import { entry, mapAt, nobody, OneServer } from './set-up.js';

const place = new OneServer();

/** What a caller without types could pass. */
const made = (options: object): NatsStore => new NatsStore(options as NatsStoreOptions);
const here = () => ({ connect: { servers: place.server.url } });

describe('the options', () => {
  it('are refused all at once, each with what was expected and found', () => {
    expect(() => made({ client: {}, connect: 'nats://user:secret@host', bucket: 'a.b', replicas: 2, storage: 'disk', instanceId: 'no spaces', url: 1 }))
      .toThrow(expect.objectContaining({
        code: 'CLUSTER_BAD_OPTION',
        message: 'NatsStore: client: expected a connection of the package nats 2 (where yours is of @nats-io/*, give connect its options in place of client), found {}; '
          + "connect: expected the options of nats' connect: servers ('nats://a:4222' or a list of such), and of the others name, user, pass, token, authenticator, "
          + 'tls, inboxPrefix, ignoreClusterUpdates, noRandomize, found a string; '
          + "bucket: expected 1 to 64 of the characters A-Z a-z 0-9 _ -, found 'a.b'; "
          + 'replicas: expected 1, 3 or 5, found 2; '
          + "storage: expected 'file' or 'memory', found 'disk'; "
          + "instanceId: expected 1 to 64 of the characters A-Z a-z 0-9 _ -, found 'no spaces'; "
          + 'url: no such option; known are client, connect, bucket, replicas, storage, instanceId',
      }));
  });

  it.each<[object | null, string]>([
    [{}, 'no servers'], [{ server: 'nats://a' }, "an unknown 'server'; did you mean servers?"], [JSON.parse('{ "servers": "a", "__proto__": 1 }'), "an unknown '__proto__'"], [{ servers: 'a', toString: 1 }, "an unknown 'toString'"], [{ servers: 'a', tls: [] }, 'an array as tls'], [{ servers: 'a', maxReconnectAttempts: 3 }, "an unknown 'maxReconnectAttempts'"],
    [{ servers: [] }, 'an empty list of servers'], [{ servers: undefined }, 'no servers'], [{ servers: ['a', []] }, 'the server an array of 0'],
    [{ servers: '' }, "the server ''"], [{ servers: 'nats://a b' }, "the server 'nats://a b'"], [{ servers: 'redis://a:1' }, "the server 'redis://a:1'"],
    [{ servers: ['nats://a', 'tls://b'] }, "the server 'tls://b'; for TLS give nats:// and tls: {}"],
    [{ servers: 'tls://user:secret@b' }, "the server '***@b'; for TLS give nats:// and tls: {}"],
    [{ servers: 'nats://user:50%@a' }, "the server '***@a'; user and password must be percent-encoded"],
    [{ servers: 'nats://shop:p@ss:w/rd@a' }, "the server '***@a'; user and password must be percent-encoded"],
    [['nats://a'], 'an array'], [null, 'null'], [{ servers: 'a', user: 'shop', pass: 5 }, 'a number as pass'], [{ servers: 'a', token: null }, 'null as token'],
    [{ servers: 'a', tls: true }, 'a boolean as tls'], [{ servers: 'a', authenticator: {} }, 'an object as authenticator'], [{ servers: 'a', noRandomize: 'yes' }, 'a string as noRandomize'],
  ])('do not connect by %j, of which they name what is wrong', (connect, found) => {
    expect(() => made({ connect })).toThrow(new RegExp(`^NatsStore: connect: expected the options of nats' connect: servers .* found ${found.replace(/[*?{}]/g, '\\$&')}$`));
  });

  it('of connect may be undefined, but for the servers', () => {
    expect(() => made({ connect: { servers: 'a', pass: undefined, tls: null, authenticator: [() => ({})] } })).not.toThrow();
  });

  it('are either a client or how to connect', () => {
    expect(() => made({})).toThrow('NatsStore: expected either client or connect, found neither');
    expect(() => made(place.client)).toThrow(/^NatsStore: expected an object of options, such as \{ client \} or \{ connect: .*, found an object of the class NatsConnectionImpl$/);
    expect(() => made({ client: place.client, ...here() })).toThrow('NatsStore: expected either client or connect, found both');
  });
});

describe('a client', () => {
  it('is used, and not closed', async () => {
    const manager = new DistributedManager(new NatsStore({ client: place.client }), { context: 'lent' });
    const session = manager.createSession();
    session.set('user', 'Anna');
    await manager.sendSession(session);
    await manager.stop();
    expect(place.client.isClosed()).toBe(false);
    const later = new DistributedManager(new NatsStore({ client: place.client }), { context: 'lent' });
    expect((await later.findSession(session.id, { access: 'snapshot' }))?.get('user')).toBe('Anna');
    await later.stop();
  });

  it('that was closed is refused by start', async () => {
    const closed = await connect({ servers: place.server.url });
    await closed.close();
    const manager = new DistributedManager(new NatsStore({ client: closed }));
    await expect(manager.start()).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE', message: 'NATS: expected a client that is connected, found one that was closed',
    });
    await manager.stop();
  });
});

describe('a server that takes no large messages', () => {
  it('is refused by a manager whose records may be larger, and taken with smaller ones', async () => {
    await using own = await NatsServer.start({ lines: 'max_payload: 65536' });
    const managerOf = (options: { maxRecordBytes?: number }) => new DistributedManager(new NatsStore({ connect: { servers: own.url } }), options);
    const refused = managerOf({});
    await expect(refused.start()).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE', message: 'NATS: expected a server whose max_payload is at least maxRecordBytes (1048576), found 65536. '
        + 'Raise max_payload on all servers, or give the manager a lower maxRecordBytes',
    });
    await refused.stop();
    const taken = managerOf({ maxRecordBytes: 60_000 });
    await taken.start();
    await taken.stop();
  });
});

describe('a record that is larger than a message may be', () => {
  it('is refused, and its size and the limit named', async () => {
    const map = place.mapIn('large');
    await map.start(nobody);
    await expect(map.compareAndSet('shop.s.a', undefined, entry('ä'.repeat(600_000)))).rejects.toMatchObject({
      code: 'CLUSTER_TOO_LARGE', message: "the record of 1200000 bytes is larger than the server's max_payload of 1048576; raise that, or lower maxRecordBytes",
    });
    await map.stop();
  });
});

describe('what is never answered', () => {
  it('fails in the end, and is forgotten', async () => {
    await using own = await NatsServer.start();
    const lent = await connect({ servers: own.url });
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'setTimeout', 'nextTick', 'queueMicrotask', 'performance', 'Date', 'hrtime', 'clearTimeout', 'clearImmediate'] });
    try {
      const map = mapAt(own.url, { source: { client: lent } });
      await map.start(nobody);
      await own.freeze();
      const asked = map.get('shop.s.a').catch(messageOf);
      jest.advanceTimersByTime(15_500);
      expect(await asked).toBe('NATS: no answer came: nobody leads the stream, or JetStream is off');
      await own.thaw();
      await map.stop();
    } finally {
      jest.useRealTimers();
    }
    await lent.close();
  });
});

describe('a client that is left', () => {
  it('keeps nothing that watches it', async () => {
    // What the client keeps inside and does not declare.
    const watching = () => (Reflect.get(place.client, 'listeners') as unknown[]).length;
    const before = watching();
    const map = mapAt(place.server.url, { source: { client: place.client }, bucket: 'left' });
    await map.start(nobody);
    await map.stop();
    await new Promise(setImmediate);
    expect(watching()).toBe(before);
  });
});

describe('what is asked', () => {
  it('in one turn of the event loop leaves in one write', async () => {
    const map = place.mapIn('gathered');
    await map.start(nobody);
    const written = jest.spyOn(Socket.prototype, 'write');
    const revisions = await Promise.all(Array.from({ length: 9 }, (_, index) => map.compareAndSet(`shop.s.${index}`, undefined, entry('x'))));
    const sent = written.mock.calls.filter(([content]) => Buffer.from(content).includes('HPUB')).length;
    written.mockRestore();
    expect({ sent, stored: new Set(revisions).size }).toEqual({ sent: 1, stored: 9 });
    await map.stop();
  });

  it('is answered under the inbox prefix of the connection', async () => {
    const own = await connect({ servers: place.server.url, inboxPrefix: '_own' });
    const answers: string[] = [];
    place.client.subscribe('_own.>', { callback: (_, { subject }) => { answers.push(subject); } });
    await place.client.flush();
    const map = mapAt(place.server.url, { source: { client: own }, bucket: 'gathered' });
    await map.start(nobody);
    await place.client.flush();
    const before = answers.length;
    expect(await map.get('shop.s.none')).toBeUndefined();
    await place.client.flush();
    expect(answers.length).toBe(before + 1);
    await map.stop();
    await own.close();
  });
});

describe('a server that asks who comes', () => {
  it.each([['user: "the shop", password: "a:b"', 'the%20shop:a%3Ab'], ['token: "t@1"', 't%401']])('is told by the URL (%s)', async (who, said) => {
    await using own = await NatsServer.start({ lines: `authorization { ${who} }` });
    const manager = new DistributedManager(new NatsStore({ connect: { servers: `nats://${said}@${own.host}:${own.port}` } }));
    await manager.start();
    await manager.stop();
  });

  it('is told by the URL also where user, password and token are given as undefined', async () => {
    await using own = await NatsServer.start({ lines: 'authorization { user: shop, password: open }' });
    const nobodyElse = { servers: `nats://shop:open@${own.host}:${own.port}`, user: undefined, pass: undefined, token: undefined };
    const manager = new DistributedManager(made({ connect: nobodyElse }));
    await manager.start();
    await manager.stop();
  });

  it('and refuses is named, and what it was told is not', async () => {
    await using own = await NatsServer.start({ lines: 'authorization { user: shop, password: open }' });
    const manager = new DistributedManager(new NatsStore({ connect: { servers: [`nats://shop:sesame@${own.host}:${own.port}`] } }));
    await expect(manager.start()).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE', message: `NATS cannot be connected to at ${own.host}:${own.port}: 'Authorization Violation'`,
    });
  });
});

describe('a server that is not there', () => {
  it('is named by start', async () => {
    const manager = new DistributedManager(new NatsStore({ connect: { servers: 'nats://127.0.0.1:1' } }));
    await expect(manager.start()).rejects.toMatchObject({ code: 'CLUSTER_UNAVAILABLE', message: 'NATS cannot be connected to at 127.0.0.1:1: CONNECTION_REFUSED' });
    await manager.stop();
  });

  it('or has no TLS is said so', async () => {
    const manager = new DistributedManager(new NatsStore({ connect: { servers: place.server.url, tls: {} } }));
    await expect(manager.start()).rejects.toThrow(`NATS cannot be connected to at 127.0.0.1:${place.server.port}: it has no TLS, which \`connect.tls\` asks for`);
    await manager.stop();
  });

  it('fails a call at once when it goes, and is used again when it is back', async () => {
    const own = await NatsServer.start();
    const map = mapAt(own.url);
    await map.start(nobody);
    const revision = await map.compareAndSet('shop.s.a', undefined, entry('kept'));
    const generation = map.generation();
    await own.freeze();
    const unanswered = map.get('shop.s.a').catch(String);
    await own.kill();
    expect(await unanswered).toContain('NATS: the connection was lost before an answer came');
    await expect(map.compareAndSet('shop.s.a', revision, entry('never'))).rejects.toMatchObject({ code: 'CLUSTER_UNAVAILABLE' });
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
    const map = mapAt(own.url, { source: { connect: { servers: own.url, user: 'shop', pass: 'old' } } });
    await map.start(nobody);
    await own.configure(users('new'));
    await own.restart();
    await until('it is told', async () => await map.get('shop.s.a').then(String, messageOf)
      === `there is no connection to NATS at ${own.host}:${own.port} (it said AUTHORIZATION_VIOLATION); nothing was changed`);
    await map.stop();
  });
});

describe('a server that does not greet', () => {
  /** The way to a server that greets until it is told not to; what is accepted from then on is `mute`. */
  const way = async (to: { readonly host: string; readonly port: number }) => {
    const sockets = new Set<Socket>();
    const mute: Promise<unknown>[] = [];
    let isMute = false;
    const server = createServer((near) => {
      sockets.add(near.on('error', () => undefined).resume());
      if (isMute) {
        mute.push(once(near, 'close'));
        return;
      }
      const far = dial(to.port, to.host).on('error', () => undefined);
      sockets.add(far);
      near.pipe(far).pipe(near);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return {
      // It listens on a port.
      url: `nats://127.0.0.1:${(server.address() as AddressInfo).port}`, mute,
      silence: () => { isMute = true; },
      cut: () => { for (const socket of sockets) socket.destroy(); },
      close: () => { server.close(); },
    };
  };
  // Else they would keep the process alive.
  const allEnded = async ({ mute }: { readonly mute: readonly Promise<unknown>[] }) => {
    await until('it is dialled', async () => mute.length > 0);
    await Promise.all(mute);
  };
  const ENDED_MS = 10_000;

  it('is left when the store is stopped while it is dialled again', async () => {
    const road = await way(place.server);
    const map = mapAt(road.url, { bucket: 'dialled' });
    let down = () => { /* set below */ };
    const lost = new Promise<void>((resolve) => { down = resolve; });
    await map.start({ ...nobody, listening: (up) => { if (!up) down(); } });
    // Sooner after it dialled last the client waits before it dials again, and does not once it is closed.
    await new Promise((resolve) => { setTimeout(resolve, 200); });
    road.silence();
    road.cut();
    await lost;
    await map.stop();
    await allEnded(road);
    road.close();
  }, ENDED_MS);
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
    const before = await place.server.received();
    await work();
    return await place.server.received() - before;
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

import 'reflect-metadata';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { cp, rename, rm } from 'node:fs/promises';
import { connect, Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Container } from 'inversify';
import kafkajs, { type Admin } from 'kafkajs';
import { ClusterStore, DistributedManager, Manager } from '@cluster/core';
import type { LogRecord } from '@cluster/core/driver';
import { managerModule } from '@cluster/core/inversify';
import { KafkaServer } from '../../../scripts/services/kafka.js';
import { until } from '../../../scripts/services/server-process.js';
import { KafkaStore, type KafkaPort, type Reader, type Reading } from '../src/index.js';
import { kafkaStoreModule } from '../src/inversify.js';
import { KafkaLog } from '../src/kafka-log.js';
import { KafkajsPort } from '../src/kafkajs-port.js';
import { connectionOf } from '../src/options.js';
import { FetchRoad } from './fetch-road.js';

let server: KafkaServer;
let admin: Admin;
beforeAll(async () => {
  server = await KafkaServer.start();
  admin = new kafkajs.Kafka({ brokers: [server.url], logLevel: kafkajs.logLevel.NOTHING }).admin();
  await admin.connect();
});
afterAll(async () => {
  await admin.disconnect();
  await server.stop();
});

const here = () => ({ connect: { brokers: [server.url] }, replicas: 1 });

const portTo = (broker: string) => new KafkajsPort(connectionOf({ brokers: [broker] }));

/** Waits long for an answer. For tests that count records: one that is given up too early is sent again, under another key. */
const patientPortTo = ({ host, port }: { readonly host: string; readonly port: number }) => new KafkajsPort(connectionOf({
  brokers: [`${host}:${port}`], requestTimeout: 30_000,
  // The store cuts a connection without an answer for 2 s, and goes by what was written into it.
  socketFactory: ({ onConnect }: { readonly onConnect: () => void }) => Object.defineProperty(connect(port, host, onConnect), 'bytesWritten', { value: 0 }),
}));

const open: KafkaLog[] = [];
afterEach(async () => { await Promise.all(open.splice(0).map((log) => log.stop())); });
interface Settings { readonly topic: string; readonly partitions?: number; readonly replicas?: number; readonly at?: KafkaServer; readonly port?: () => KafkaPort }
function logIn({ topic, partitions = 1, replicas = 1, at = server, port = () => portTo(at.url) }: Settings): KafkaLog {
  const log = new KafkaLog({ open: port, topic, partitions, replicas, maxBytes: Infinity });
  open.push(log);
  return log;
}
const records = (log: KafkaLog, partition = 0): LogRecord[] => {
  const found: LogRecord[] = [];
  log.follow(partition, (record) => { found.push(record); });
  return found;
};
const read = (found: readonly LogRecord[], count: number) => until(`${count} records are read`, async () => found.length >= count, 20_000);

describe('a client of one\'s own', () => {
  it('is made at the start, serves sessions, and is closed by the stop', async () => {
    const [made, closed]: [KafkaPort[], KafkaPort[]] = [[], []];
    const client = (): KafkaPort => {
      const port = portTo(server.url);
      const close = port.close.bind(port);
      made.push(port);
      return Object.assign(port, { close: () => { closed.push(port); return close(); } });
    };
    const manager = new DistributedManager(new KafkaStore({ client, topic: 'own-client', replicas: 1 }));
    expect(made).toHaveLength(0);
    await manager.start();
    const session = manager.createSession();
    session.set('user', 'Anna');
    await manager.sendSession(session);
    expect((await manager.findSession(session.id, { access: 'snapshot' }))?.get('user')).toBe('Anna');
    await manager.stop();
    expect(made).toHaveLength(1);
    expect(closed).toEqual(made);
  });
});

describe('a broker that is not there', () => {
  it('is named by start', async () => {
    const manager = new DistributedManager(new KafkaStore({ connect: { brokers: ['127.0.0.1:1'] } }));
    await expect(manager.start()).rejects.toMatchObject({ code: 'CLUSTER_UNAVAILABLE', message: expect.stringMatching(/^Kafka: the topic 'cluster' cannot be used: .*ECONNREFUSED/) });
    await manager.stop();
  });

  it('is named where kafkajs does not do so', async () => {
    const socketFactory = () => {
      const socket = new Socket();
      setImmediate(() => { socket.destroy(new Error('cut')); });
      return socket;
    };
    const port = new KafkajsPort(connectionOf({ brokers: ['127.0.0.1:1', '127.0.0.1:2'], socketFactory }));
    await expect(port.open({ topic: 'cluster', partitions: 1, replicas: 1 })).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE', message: "Kafka: the topic 'cluster' cannot be used: Connection error: cut (127.0.0.1:1, 127.0.0.1:2)",
    });
    await port.close();
  });

  it('leaves no timer behind when it was to be read from', async () => {
    const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
    const before = timers();
    const port = portTo('127.0.0.1:1');
    await expect(port.read({ next: () => 0, take: () => undefined, ended: () => undefined })).rejects.toThrow('ECONNREFUSED');
    await port.close();
    // A group may be joined for 6 s.
    await until('no timer is left', async () => timers() <= before, 3_000);
  });
});

describe('a topic', () => {
  it('is made with what it needs', async () => {
    await logIn({ topic: 'made', partitions: 2 }).start();
    const { topics } = await admin.fetchTopicMetadata({ topics: ['made'] });
    expect(topics[0]?.partitions.length).toBe(2);
    const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: 'made' }] });
    const config = Object.fromEntries(resources[0]!.configEntries.map(({ configName, configValue }) => [configName, configValue]));
    expect(config).toMatchObject({
      'cleanup.policy': 'compact', 'message.timestamp.type': 'LogAppendTime', 'min.insync.replicas': '1', 'unclean.leader.election.enable': 'false', 'delete.retention.ms': '86400000',
    });
  });

  it('that differs is refused, and each difference named', async () => {
    await admin.createTopics({ waitForLeaders: true, topics: [{ topic: 'other', numPartitions: 3, configEntries: [{ name: 'delete.retention.ms', value: '1000' }] }] });
    await expect(logIn({ topic: 'other' }).start()).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE',
      message: "Kafka: the topic 'other' is not as it must be: partitions: expected 1, found 3; cleanup.policy: expected compact, found delete; "
        + 'message.timestamp.type: expected LogAppendTime, found CreateTime; delete.retention.ms: expected 600000 or more, found 1000. '
        + 'Name another topic, give the options it was made with, or change its configuration',
    });
  });

  it('with more replicas than there are brokers is not made, and the option is named', async () => {
    await expect(logIn({ topic: 'three', replicas: 3 }).start()).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE', message: expect.stringMatching(/^Kafka: there is no topic 'three', and it cannot be made: .*replicas: expected at most as many as there are brokers, found 3$/),
    });
  });
});

describe('a topic that takes less at once than a session may have', () => {
  it.each([{ name: 'max.message.bytes', topic: 'short', bytes: 65_536, fits: 60_000 }, { name: 'segment.bytes', topic: 'cut', bytes: 1_048_576, fits: 1_000_000 }])(
    'is refused by start for its $name, with both numbers and what to do', async ({ name, topic, bytes, fits }) => {
      await admin.createTopics({ waitForLeaders: true, topics: [{ topic, configEntries: [
        { name: 'cleanup.policy', value: 'compact' }, { name: 'message.timestamp.type', value: 'LogAppendTime' },
        { name: 'max.message.bytes', value: '2000000' }, { name, value: String(bytes) }].filter((each, at, all) => all.findLast((other) => other.name === each.name) === each) }] });
      const managerOf = (options: { maxRecordBytes?: number }) => new DistributedManager(new KafkaStore({ ...here(), topic }), options);
      await expect(managerOf({}).start()).rejects.toMatchObject({
        code: 'CLUSTER_UNAVAILABLE', message: `Kafka: expected a topic '${topic}' that takes 1049600 bytes at once, for a maxRecordBytes of 1048576, found ${bytes}. `
          + 'Raise both max.message.bytes and segment.bytes of it to that, or give the manager a lower maxRecordBytes',
      });
      const taken = managerOf({ maxRecordBytes: fits });
      await taken.start();
      await taken.stop();
    });
});

it('a topic is made so that it takes the largest session', async () => {
  const manager = new DistributedManager(new KafkaStore({ ...here(), topic: 'long' }), { maxRecordBytes: 4_194_304 });
  await manager.start();
  await manager.stop();
});

describe('a record', () => {
  it('that is too large is refused before it is sent', async () => {
    const log = logIn({ topic: 'large' });
    await log.start();
    await expect(log.append(0, 'shop.s.a#1', 'x'.repeat(2_097_152))).rejects.toMatchObject({
      code: 'CLUSTER_TOO_LARGE', message: expect.stringMatching(/^Kafka: a record of \d+ bytes; the topic takes \d+\. Raise the topic's max\.message\.bytes, or lower maxRecordBytes$/),
    });
    await log.append(0, 'shop.s.a#2', 'x'.repeat(2_096_000));
  });

  it('that the broker refuses is said to have changed nothing', async () => {
    const log = logIn({ topic: 'refused' });
    await log.start();
    await admin.alterConfigs({ validateOnly: false, resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: 'refused', configEntries: [
      { name: 'cleanup.policy', value: 'compact' }, { name: 'message.timestamp.type', value: 'LogAppendTime' }, { name: 'max.message.bytes', value: '10' }] }] });
    await expect(log.append(0, 'shop.s.a#1', 'value')).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE', message: "Kafka refused (topic 'refused'): it is larger than the topic's max.message.bytes; nothing was changed",
    });
  });

  it('that is sent again stands under another key, unless it removes what stands under its own', async () => {
    const sent: string[][] = [];
    const port = () => {
      const real = patientPortTo(server);
      const send = real.send.bind(real);
      return Object.assign(real, { send: async (partition: number, batch: Parameters<KafkaPort['send']>[1]) => {
        sent.push(batch.map(({ key }) => key));
        const offset = await send(partition, batch);
        if (sent.length === 1) throw new Error('the answer is lost');
        return offset;
      } });
    };
    const log = logIn({ topic: 'again', port });
    await log.start();
    const found = records(log);
    await Promise.all([log.append(0, 'shop.s.a#1', 'x'), log.append(0, 'shop.s.b#1', 'y'), log.append(0, 'shop.s.c#1', undefined)]);
    await read(found, 6);
    expect(found.map(({ key }) => key)).toEqual(['shop.s.a#1', 'shop.s.b#1', 'shop.s.c#1', 'shop.s.a#1~2', 'shop.s.b#1~2', 'shop.s.c#1']);
    expect(sent.length).toBe(2);
  });
});

describe('a record that the broker does not take', () => {
  it('is sent again for as long as whoever calls waits, and what was never sent has changed nothing', async () => {
    let begin = (): void => undefined;
    const begun = new Promise<void>((resolve) => { begin = resolve; });
    const port = () => Object.assign(portTo(server.url), { send: async () => {
      begin();
      await sleep(400);
      throw new Error('no leader');
    } });
    const log = logIn({ topic: 'patience', port });
    await log.start({ storeTimeoutMs: 300 });
    const [sent, waiting] = await Promise.allSettled([log.append(0, 'shop.s.a#1', 'x'), begun.then(() => log.append(0, 'shop.s.b#1', 'y'))]);
    expect(sent).toMatchObject({ reason: { message: 'Kafka: it is not known whether a record was taken: no leader' } });
    expect(waiting).toMatchObject({ reason: { code: 'CLUSTER_UNAVAILABLE', message: 'Kafka took nothing for 300 ms: no leader; nothing was changed' } });
  });
});

describe('records of many callers', () => {
  it('go in batches of at most 50, one after the other, and in their order', async () => {
    const sizes: number[] = [];
    let [inFlight, most] = [0, 0];
    const port = () => {
      const real = patientPortTo(server);
      const send = real.send.bind(real);
      return Object.assign(real, { send: async (partition: number, batch: Parameters<KafkaPort['send']>[1]) => {
        sizes.push(batch.length);
        most = Math.max(most, inFlight += 1);
        const offset = await send(partition, batch);
        inFlight -= 1;
        return offset;
      } });
    };
    const log = logIn({ topic: 'many', port });
    // The last ones wait for two batches.
    await log.start({ storeTimeoutMs: 30_000 });
    const found = records(log);
    await Promise.all(Array.from({ length: 120 }, (_, n) => log.append(0, `shop.s.a#${n}`, String(n))));
    await read(found, 120);
    expect({ sizes, most }).toEqual({ sizes: [50, 50, 20], most: 1 });
    expect(found.map(({ value }) => Number(value))).toEqual(Array.from({ length: 120 }, (_, n) => n));
  });
});

describe('a reader', () => {
  it('goes on where it was, once each, when it is thrown out of its group and when the broker was away', async () => {
    const own = await KafkaServer.start();
    const log = logIn({ topic: 'read', port: () => patientPortTo(own) });
    await log.start();
    const found = records(log);
    await log.append(0, 'shop.s.a#1', 'before');
    await read(found, 1);
    const client = new kafkajs.Kafka({ brokers: [own.url], logLevel: kafkajs.logLevel.NOTHING });
    const others = client.admin();
    await others.connect();
    const { groups } = await others.listGroups();
    const group = groups.find(({ groupId }) => groupId.startsWith('read.'))!.groupId;
    // Another member of it takes the partition away.
    const intruder = client.consumer({ groupId: group, maxWaitTimeInMs: 100 });
    await intruder.connect();
    await intruder.subscribe({ topic: 'read' });
    await intruder.run({ eachMessage: async () => undefined });
    await intruder.disconnect();
    await others.disconnect();
    await log.append(0, 'shop.s.a#2', 'after');
    await read(found, 2);
    await own.kill();
    const unanswered = log.append(0, 'shop.s.a#3', 'meanwhile').catch(() => undefined);
    await own.restart();
    await unanswered;
    await until('it takes records again', () => log.append(0, 'shop.s.a#4', 'later').then(() => true, () => false));
    await until('it reads them', async () => found.some(({ value }) => value === 'later'));
    expect(found.slice(0, 2).map(({ key }) => key)).toEqual(['shop.s.a#1', 'shop.s.a#2']);
    expect(found.map(({ position }) => position)).toEqual(found.map((_, at) => at));
    await log.stop();
    await own.stop();
  });
});

describe('a reader whose fetch is not answered', () => {
  it('begins anew after 2 s, and goes on where it was', async () => {
    const road = await FetchRoad.open(server);
    const ends: string[] = [];
    const port = () => {
      const real = patientPortTo(road.address);
      const read = real.read.bind(real);
      return Object.assign(real, { read: (reader: Reader) => read({
        ...reader,
        ended: (error) => {
          ends.push(error.message);
          road.isLossy = false;
          reader.ended(error);
        },
      }) });
    };
    const log = logIn({ topic: 'fetched', port });
    await log.start();
    const found = records(log);
    await log.append(0, 'shop.s.a#1', 'before');
    await read(found, 1);
    road.isLossy = true;
    await log.append(0, 'shop.s.a#2', 'lost on its way');
    // It looks twice a second. Left to kafkajs, which asks again three times, it takes 8 s.
    await until('it is given up', async () => ends.length > 0, 5_000);
    await read(found, 2);
    expect(ends).toEqual(['a fetch was not answered']);
    expect(found.map(({ value }) => value)).toEqual(['before', 'lost on its way']);
    await log.stop();
    road.close();
  }, 20_000);
});

describe('a store that is stopped while it comes back to its topic', () => {
  it('does not go on with it, which would keep the process alive', async () => {
    const own = await KafkaServer.start();
    const begun: Promise<Reading>[] = [];
    const port = () => {
      const made = portTo(own.url);
      const begin = made.read.bind(made);
      return Object.assign(made, { read: (reader: Reader) => {
        const reading = begin(reader);
        begun.push(reading);
        return reading;
      } });
    };
    const log = logIn({ topic: 'left', at: own, port });
    await log.start();
    const first = begun.length;
    await own.freeze();
    await until('it begins anew', async () => begun.length > first, 20_000);
    let isOver = false;
    begun.at(-1)?.catch(() => { isOver = true; });
    await log.stop();
    await until('that is over', async () => isOver, 1_000);
    expect(begun).toHaveLength(first + 1);
    await own.thaw();
    await own.stop();
  });
});

describe('a topic that has lost what it had acknowledged', () => {
  it('is read anew by every instance that had read it, and takes sessions again', async () => {
    const settings = { topic: 'back', partitions: 2, replicas: 1 };
    const managers = [1, 2].map(() => new DistributedManager(new KafkaStore({ connect: { brokers: [server.url] }, ...settings }), { context: 'shop', leaseMs: 1_500 }));
    const [first, second] = managers as [DistributedManager, DistributedManager];
    const generations: string[] = [];
    first.on('generation', ({ after }) => { generations.push(after); });
    const put = async (manager: DistributedManager, name: string): Promise<string> => {
      const session = manager.createSession();
      session.set('name', name);
      await manager.sendSession(session);
      return session.id;
    };
    const lost = await put(first, 'Anna');
    expect(await second.update(lost, (found) => found.get('name'))).toBe('Anna');
    await admin.deleteTopics({ topics: ['back'] });
    await until('it is there again', () => logIn(settings).start().then(() => true, () => false));
    const ids: string[] = [];
    await until('the first takes sessions', () => put(first, 'Ben').then((id) => ids.push(id) > 0, () => false));
    await until('the second finds them', async () => await second.update(ids[0]!, (found) => found.get('name')).catch(() => undefined) === 'Ben');
    for (const manager of managers) expect(await manager.update(lost, (found) => found.get('name'))).toBeUndefined();
    await until('the next beat tells of it', async () => generations.length > 0);
    await Promise.all(managers.map((manager) => manager.stop()));
  });
});

describe('a topic whose end was lost and written anew', () => {
  it('is noticed by an instance that had read it and was cut off meanwhile', async () => {
    const own = await KafkaServer.start();
    const settings = { topic: 'tail', port: () => patientPortTo(own) };
    const log = logIn(settings);
    await log.start();
    const found: { readonly value: string | undefined; readonly generation: string }[] = [];
    log.follow(0, ({ value }) => { found.push({ value, generation: log.generation() }); });
    await log.append(0, 'shop.s.a#1', 'kept');
    await own.kill();
    const [disk, kept] = [join(own.folder, 'data'), join(own.folder, 'kept')];
    await cp(disk, kept, { recursive: true });
    await own.restart();
    await until('it takes records again', () => log.append(0, 'shop.s.a#2', 'lost').then(() => true, () => false));
    await until('it has read them', async () => found.some(({ value }) => value === 'lost'));
    await own.kill();
    await rm(disk, { recursive: true });
    await rename(kept, disk);
    await own.restart();
    const other = logIn(settings);
    await other.start();
    for (let n = 0; n < 20; n += 1) await other.append(0, `shop.s.b#${n}`, 'anew');
    await until('it is noticed', async () => log.generation() !== '0', 20_000);
    // Who follows is told so before the first of the others.
    expect(found.filter(({ generation }) => generation === '0').map(({ value }) => value)).not.toContain('anew');
    const anew = records(log);
    await read(anew, 21);
    expect(anew.map(({ key }) => key)).toEqual(['shop.s.a#1', ...Array.from({ length: 20 }, (_, n) => `shop.s.b#${n}`)]);
    expect(log.generation()).toBe('1');
    await Promise.all([log.stop(), other.stop()]);
    await own.stop();
  }, 60_000);
});

describe('the module', () => {
  it('binds a store that deactivation stops', async () => {
    const container = new Container();
    container.load(kafkaStoreModule(here()), managerModule({ context: 'bound' }));
    const manager = container.get<Manager>(Manager);
    await manager.start();
    expect(container.get<ClusterStore>(ClusterStore)).toBeInstanceOf(KafkaStore);
    await container.unbindAllAsync();
    await expect(manager.findSession('x'.repeat(32))).rejects.toMatchObject({ code: expect.stringMatching(/^CLUSTER_/) });
  });
});

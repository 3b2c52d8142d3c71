import 'reflect-metadata';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import amqplib, { type ChannelModel } from 'amqplib';
import { Container } from 'inversify';
import { ClusterError, ClusterStore, DistributedManager, Manager } from '@cluster/core';
import type { LogRecord } from '@cluster/core/driver';
import { managerModule } from '@cluster/core/inversify';
import { RabbitServer } from '../../../scripts/services/rabbitmq.js';
import { until } from '../../../scripts/services/server-process.js';
import { RabbitStore, type RabbitStoreOptions } from '../src/index.js';
import { rabbitStoreModule } from '../src/inversify.js';
import { Link, type Life } from '../src/link.js';
import { RabbitLog } from '../src/rabbit-log.js';
import { LogTime, readRecord, writeRecord } from '../src/record.js';

let server: RabbitServer;
let connection: ChannelModel;
beforeAll(async () => {
  server = await RabbitServer.start();
  connection = await amqplib.connect(server.url, { noDelay: true });
});
afterAll(async () => {
  await connection.close().catch(() => undefined);
  await server.stop();
});

/** What a caller without types could pass. */
const made = (options: object): RabbitStore => new RabbitStore(options as RabbitStoreOptions);
const logOf = (stream: string, rest: object = {}) => new RabbitLog({ urls: [server.url], socket: {}, stream, replicas: 1, maxBytes: 1_048_576, ...rest });
const nobody = { context: 'shop', instanceId: 'one', receive: () => undefined, listening: () => undefined };

/** What stands in it, without what each start puts there. */
async function reading(log: RabbitLog): Promise<LogRecord[]> {
  const records: LogRecord[] = [];
  await log.start(nobody);
  log.follow(0, (record) => { if (record.key !== '' || record.timeMs === 0) records.push(record); });
  return records;
}

describe('the options', () => {
  it('are refused all at once, each with what was expected and found', () => {
    expect(() => made({ urls: ['http://a'], socket: { recovery: true }, stream: 'a b', replicas: 0, maxBytes: 1, instanceId: 'no spaces', url: 1 })).toThrow(expect.objectContaining({
      code: 'CLUSTER_BAD_OPTION', message: expect.stringMatching(/^RabbitStore: urls: expected a list .*; socket: .*; stream: .*; replicas: .*; maxBytes: .*; instanceId: .*; url: no such option/),
    }));
  });

  it.each<[string, object, RegExp]>([
    ['no urls', {}, /^RabbitStore: urls is required: expected a list of amqp:/],
    ['a URL that is not in a list', { urls: 'amqp://shop:hunter2@a' }, /found a text$/],
    ['no list', { urls: 5 }, /found 5$/],
    ['an empty list', { urls: [] }, /found an empty list$/],
    ['another scheme', { urls: ['amqp://a', 'http://shop:hunter2@b'] }, /found as urls\[1\] one that begins with http:\/\/$/],
    ['no scheme', { urls: ['shop:hunter2@a:5672'] }, /found as urls\[0\] a text without amqp:\/\/ at its begin$/],
    // Node's own error would quote it.
    ['a password with a slash', { urls: ['amqp://shop:hunter2/@127.0.0.1:5672'] }, /found as urls\[0\] one that cannot be taken apart/],
    ['an entry that is no text', { urls: ['amqp://a', { hostname: 'b', password: 'hunter2' }] }, /found as urls\[1\] \{ hostname, password \}$/],
    ['a recovery that would send twice', { urls: ['amqp://a'], socket: { recovery: true, passphrase: 'hunter2' } }, /^RabbitStore: socket: expected .*, without recovery, found \{ recovery, passphrase \}$/],
    ['a list of socket options', { urls: ['amqp://a'], socket: ['hunter2'] }, /found an array of 1$/],
    ['a text of socket options', { urls: ['amqp://a'], socket: 'hunter2' }, /found a text$/],
  ])('are refused with %s, of which no password is shown', (_, options, message) => {
    const error: unknown = (() => { try { return made(options); } catch (thrown) { return thrown; } })();
    expect(error).toMatchObject({ code: 'CLUSTER_BAD_OPTION', message: expect.stringMatching(message) });
    expect(inspect(error, { depth: 9 }).replace(/^ +at .*$/gm, '')).not.toContain('hunter2');
  });
});

describe('maxBytes', () => {
  const MOST_BYTES = 2_666_666_666;

  it('is refused beyond what RabbitMQ makes a stream for', () => {
    expect(() => made({ urls: ['amqp://a'], maxBytes: MOST_BYTES })).not.toThrow();
    expect(() => made({ urls: ['amqp://a'], maxBytes: MOST_BYTES + 1 })).toThrow(expect.objectContaining({
      code: 'CLUSTER_BAD_OPTION', message: `RabbitStore: maxBytes: expected a whole number from 1048576 to ${MOST_BYTES}, found ${MOST_BYTES + 1}`,
    }));
  });

  it('may be the largest that is accepted, and one more is what the broker refuses', async () => {
    const largest = logOf('most', { maxBytes: MOST_BYTES });
    await largest.start(nobody);
    await largest.stop();
    await expect(logOf('more', { maxBytes: MOST_BYTES + 1 }).start(nobody)).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE', message: expect.stringMatching(/Exceeded max value for x-stream-max-segment-size-bytes": give a lower maxBytes$/),
    });
  });
});

describe('a start', () => {
  it('takes the next URL where one cannot be reached, and hands `socket` to amqplib', async () => {
    const { host } = new URL(server.url);
    const store = new RabbitStore({
      urls: ['amqp://127.0.0.1:1', `amqp://nobody:wrong@${host}`], socket: { credentials: amqplib.credentials.plain('guest', 'guest') }, stream: 'second', maxBytes: 1_048_576,
    });
    const manager = new DistributedManager(store);
    await manager.start();
    expect(manager.health().status).toBe('up');
    await manager.stop();
  });
});

describe('a store', () => {
  it('that runs is not started again, and one that was stopped is', async () => {
    const log = logOf('twice');
    await log.start(nobody);
    await expect(log.start(nobody)).rejects.toMatchObject({ code: 'CLUSTER_BAD_OPTION', message: 'this store has been started' });
    await log.append(0, 'shop.s.1#1', 'x');
    await log.stop();
    const records = await reading(log);
    await until('it is read', async () => records.length === 1);
    await log.stop();
  });
});

describe('a broker that cannot be used', () => {
  it.each([
    ['is not there', () => ({ urls: ['amqp://127.0.0.1:1'] }), /^RabbitMQ: 127\.0\.0\.1:1 cannot be used: connect ECONNREFUSED/],
    ['knows no such vhost', () => ({ urls: [`${server.url}/nowhere`] }), /the vhost of the URL is not there/],
    ['does not know the user', () => ({ urls: [server.url.replace('//', '//guest:wrong@')] }), /the user is not known, or the password is wrong$/],
  ])('%s', async (_, options, message) => {
    await expect(logOf('never', options()).start(nobody)).rejects.toMatchObject({ code: 'CLUSTER_UNAVAILABLE', message: expect.stringMatching(message) });
  });

  it('has another stream of that name', async () => {
    const channel = await connection.createChannel();
    await channel.assertQueue('other.shop', { durable: true, arguments: { 'x-queue-type': 'stream', 'x-max-length-bytes': 5 } });
    await channel.close();
    await expect(logOf('other').start(nobody)).rejects.toMatchObject({
      code: 'CLUSTER_UNAVAILABLE', message: expect.stringMatching(/x-max-length-bytes.* 'other\.shop' .*: give the options that the stream was made with, or name another one$/),
    });
  });
});

describe('a broker without memory', () => {
  const memory = (share: string) => server.tell('rabbitmqctl', 'set_vm_memory_high_watermark', share);

  it('takes nothing until that is over, neither of who runs nor of who starts', async () => {
    const log = logOf('alarm');
    await log.start(nobody);
    await memory('0');
    try {
      // It says so to who sends something, and takes that when it is over.
      const sent = log.append(0, 'shop.s.1#1', 'x');
      const refusal = { code: 'CLUSTER_UNAVAILABLE', message: 'RabbitMQ: it takes nothing at the moment: low on memory' };
      await expect(logOf('alarm').start(nobody)).rejects.toMatchObject(refusal);
      await expect(log.append(0, 'shop.s.1#2', 'x')).rejects.toMatchObject(refusal);
      await memory('0.4');
      await sent;
      await log.append(0, 'shop.s.1#3', 'x');
    } finally {
      await memory('0.4');
      await log.stop();
    }
  });
});

describe('a connection', () => {
  it('is tried again while it is opened, unless what it is for is refused', async () => {
    let lives = 0;
    const link = new Link({ urls: [server.url], socket: {} }, 'unused', async () => {
      lives += 1;
      if (lives < 3) throw new Error('others are making the stream');
    });
    await link.open();
    await link.close();
    expect(lives).toBe(3);
  });

  it('is closed over a broker that stands still', async () => {
    const log = logOf('still');
    await log.start(nobody);
    await server.freeze();
    try {
      await log.stop();
    } finally {
      await server.thaw();
    }
    await expect(log.append(0, 'shop.s.1#1', 'x')).rejects.toMatchObject({ code: 'CLUSTER_STOPPED' });
  });

  it('that is made anew leaves behind why there was none', async () => {
    const lives: Life[] = [];
    const link = new Link({ urls: [server.url], socket: {} }, 'cause', async (life) => {
      await life.publisher.assertQueue(life.stream, { autoDelete: false });
      lives.push(life);
    });
    await link.open();
    lives[0]?.end(new Error('the first outage'));
    await expect(link.publish(Buffer.from('x'))).rejects.toThrow(/the first outage$/);
    await until('there is a connection again', async () => link.life !== undefined);
    // Told while the connection is still there, as when a channel is closed by the broker.
    const [asked] = await Promise.allSettled([link.publish(Buffer.from('x')), lives[1]?.publisher.close()]);
    await link.close();
    expect(asked).toMatchObject({ reason: { message: expect.stringMatching(/^RabbitMQ did not confirm it: /) } });
    expect(asked).not.toMatchObject({ reason: { message: expect.stringContaining('the first outage') } });
  });

  it('is not made anew at once each time while none lasts', async () => {
    let lives = 0;
    let fourthMs = NaN;
    const link = new Link({ urls: [server.url], socket: {} }, 'unused', async ({ end }) => {
      lives += 1;
      if (lives === 4) fourthMs = performance.now();
      setImmediate(end);
    });
    const sinceMs = performance.now();
    await link.open();
    await until('there were four', async () => lives >= 4);
    await link.close();
    expect(fourthMs - sinceMs).toBeGreaterThanOrEqual(3 * 250);
  });
});

describe('a record', () => {
  it('that is too large is refused before it is sent', async () => {
    const log = logOf('large');
    await log.start(nobody);
    await expect(log.append(0, 'shop.s.1#1', 'x'.repeat(17_000_000))).rejects.toMatchObject({ code: 'CLUSTER_TOO_LARGE' });
    const largest = 'x'.repeat(16_000_000);
    await expect(log.append(0, 'shop.s.1#1', `{}\n${largest}x`)).rejects.toMatchObject({ code: 'CLUSTER_TOO_LARGE' });
    // A snapshot says more of it than who puts it.
    for (const head of ['{}', JSON.stringify({ head: 'x'.repeat(500) })]) await log.append(0, 'shop.s.1#1', `${head}\n${largest}`);
    await log.stop();
  });

  it('is dated by the fastest clock', () => {
    const time = new LogTime();
    expect(Math.abs(time.nowMs - Date.now())).toBeLessThan(1_000);
    time.see(Date.now() + 3_600_000);
    time.see(Date.now());
    expect(Math.abs(time.nowMs - Date.now() - 3_600_000)).toBeLessThan(1_000);
  });

  it('says where to begin, unless that is still to come', () => {
    expect(readRecord(writeRecord(5, 7, 'a.s.1#2', 'x\n y'), 7)).toEqual({ position: 7, timeMs: 5, beginning: 7, key: 'a.s.1#2', value: 'x\n y' });
    expect(readRecord(writeRecord(5, 8, 'a.s.1#2', undefined), 7)).toEqual({ position: 7, timeMs: 5, beginning: 0, key: 'a.s.1#2', value: undefined });
  });

  it.each(['hello', '', '5 a.s.1#2\nx', 'NaN 0 a.s.1#2\nx', '5 NaN a.s.1#2\nx', ' 0 a.s.1#2\nx', '1e300 0 a.s.1#2\nx'])('%j is none', (text) => { expect(readRecord(Buffer.from(text), 0)).toBeUndefined(); });
});

describe('a stream', () => {
  it('is read from the last snapshot on', async () => {
    const log = logOf('begins');
    const records = await reading(log);
    for (let n = 0; n < 20; n += 1) await log.append(0, `shop.s.1#${n}`, '');
    await until('all are read', async () => records.length === 20);
    await log.forget(0, records[10]?.position ?? NaN);
    await log.append(0, 'shop.s.1#20', '');
    await log.stop();
    // Also where nobody wrote but those who start.
    for (let start = 0; start < 2; start += 1) {
      const later = logOf('begins');
      const read = await reading(later);
      await until('the rest is read', async () => read.length === 11);
      expect(read[0]?.key).toBe('shop.s.1#10');
      await later.stop();
    }
  }, 60_000);

  it('goes on where it was when the broker comes back, and is the same one', async () => {
    const own = await RabbitServer.start();
    const log = logOf('back', { urls: [own.url] });
    const records = await reading(log);
    await log.append(0, 'shop.s.1#1', 'before');
    const generation = log.generation();
    // Where its first stream is, a node has in these tables, and on its disk some seconds later; without that it does not find it again.
    await own.tell('rabbitmqctl', 'eval', '[ok = dets:sync(Table) || Table <- dets:all()].');
    await own.kill();
    const why = new RegExp(`^RabbitMQ: there is no connection; 127\\.0\\.0\\.1:${own.port}: connect ECONNREFUSED`);
    await until('that is noticed', async () => log.append(0, 'shop.s.1#2', 'never').then(() => false, (error: unknown) => ClusterError.is(error) && why.test(error.message)));
    await own.restart();
    await until('it takes records', async () => log.append(0, 'shop.s.1#3', 'after').then(() => true, () => false));
    await until('they are read', async () => records.some(({ value }) => value === 'after'));
    expect(records.filter(({ value }) => value === 'before')).toHaveLength(1);
    expect(log.generation()).toBe(generation);
    await log.stop();
    await own.stop();
  }, 60_000);

  it('that was deleted is another one, of which whoever reads is told before anything else', async () => {
    const log = logOf('deleted');
    const records = await reading(log);
    for (let n = 0; n < 5; n += 1) await log.append(0, `shop.s.1#${n}`, 'old');
    await until('they are read', async () => records.length === 5);
    const generation = log.generation();
    const channel = await connection.createChannel();
    await channel.deleteQueue('deleted.shop');
    await channel.close();
    await until('that is noticed', async () => {
      await log.append(0, 'shop.s.1#9', 'new').catch(() => undefined);
      return log.generation() !== generation;
    });
    expect(records.map(({ value }) => value).slice(0, 6)).toEqual(['old', 'old', 'old', 'old', 'old', undefined]);
    const anew: LogRecord[] = [];
    log.follow(0, (record) => { anew.push(record); });
    await until('it takes records', async () => log.append(0, 'shop.s.1#10', 'new').then(() => true, () => false));
    await until('the new one is read', async () => anew.length > 0);
    expect(anew.map(({ value }) => value)).not.toContain('old');
    await log.stop();
  }, 60_000);

  it('that has lost its oldest part still has every session for a newcomer', async () => {
    const options = { urls: [server.url], stream: 'losing', maxBytes: 1_048_576 };
    const open = () => new DistributedManager(new RabbitStore(options), { context: 'shop' });
    const one = open();
    const kept = one.createSession();
    kept.set('user', 'Anna');
    await one.sendSession(kept);
    const busy = one.createSession();
    busy.set('text', '');
    await one.sendSession(busy);
    const text = 'x'.repeat(200_000);
    // More than the stream keeps.
    for (let n = 0; n < 80; n += 1) await one.update(busy.id, (session) => { session.set('text', `${n}${text}`); });
    const log = logOf('losing');
    const first: number[] = [];
    const channel = await connection.createChannel();
    await channel.prefetch(10);
    await channel.consume('losing.shop', (message) => { if (message !== null) first.push(Number(message.properties.headers?.['x-stream-offset'])); },
      { arguments: { 'x-stream-offset': 'first' } });
    await until('something is read', async () => first.length > 0);
    await channel.close();
    expect(first[0]).toBeGreaterThan(0);
    await log.stop();
    const other = open();
    expect((await other.findSession(kept.id, { access: 'snapshot' }))?.get('user')).toBe('Anna');
    await Promise.all([one.stop(), other.stop()]);
  }, 60_000);
});

describe('in a container', () => {
  it('the store is one object, which the manager gets, and which is stopped when it is unbound', async () => {
    const container = new Container();
    container.load(rabbitStoreModule({ urls: [server.url], instanceId: 'web-1' }), managerModule({ context: 'container' }));
    const manager = container.get<Manager>(Manager);
    expect(manager.store.instanceId).toBe('web-1');
    expect(container.get<ClusterStore>(ClusterStore)).toBe(manager.store);
    await manager.start();
    await container.unbindAllAsync();
    expect(manager.health().status).toBe('stopped');
  });
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import amqplib from 'amqplib';
import { DistributedManager } from '@cluster/core';
import type { LogRecord } from '@cluster/core/driver';
import { certified, refusalOf, testUser } from '../../../scripts/services/access.js';
import { RabbitServer } from '../../../scripts/services/rabbitmq.js';
import { until } from '../../../scripts/services/server-process.js';
import { RabbitStore } from '../src/index.js';
import { RabbitLog } from '../src/rabbit-log.js';
import { grant, setRights, type Right } from './rights.js';

const PASSWORD = 'the-secret';
const tls = certified();
const socket = { ca: tls.certificate };
let server: RabbitServer;
const as = (user: string, password: string) => server.url.replace('//', `//${user}:${password}@`);
beforeAll(async () => {
  server = await RabbitServer.start({ tls });
  await grant(server, PASSWORD);
});
afterAll(() => server.stop());

const managerOf = (options: { readonly password?: string; readonly socket?: object } = {}) => new DistributedManager(
  new RabbitStore({ urls: [as('shop', options.password ?? PASSWORD)], maxBytes: 1_048_576, socket: options.socket ?? socket }), { context: 'shop' });

const refused = (text: string) => ({ code: 'CLUSTER_UNAVAILABLE', message: expect.stringContaining(text) });

describe('a user by TLS', () => {
  it.each<[Right, string]>([
    ['configure', 'the user needs the right to configure the stream'],
    ['write', 'the user needs the right to write to the default exchange, amq.default'],
    ['read', 'the user needs the right to read the stream'],
  ])('without the right to %s is refused by start, which names it', async (right, text) => {
    await setRights(server, right);
    const error = await refusalOf(managerOf());
    expect(error).toMatchObject(refused(`RabbitMQ: 127.0.0.1:${server.port} cannot be used: `));
    expect(error).toMatchObject(refused(`: ${text}`));
  });

  testUser(it, {
    allow: () => setRights(server),
    managerOf: (password) => managerOf(password === undefined ? {} : { password }),
    refusal: /^RabbitMQ: 127\.0\.0\.1:\d+ cannot be used: .*: the user is not known, or the password is wrong$/,
  });

  it('is not given to a broker whose certificate nobody vouches for', async () => {
    expect(await refusalOf(managerOf({ socket: {} }))).toMatchObject(
      refused("self-signed certificate: give the certificate of the authority that signed the broker's as socket.ca"));
  });
});

describe('an instance that is away while its stream is deleted and filled again', () => {
  it('forgets what it had read, and reads all anew', async () => {
    const nobody = { context: 'away', instanceId: 'one', receive: () => undefined, listening: () => undefined };
    const open = (url: string) => new RabbitLog({ urls: [url], socket, stream: 'cluster', replicas: 1, maxBytes: 1_048_576 });
    const fill = async (log: RabbitLog, value: string) => {
      await log.start(nobody);
      for (let n = 0; n < 5; n += 1) await log.append(0, `away.s.1#${n}`, value);
    };
    const log = open(as('shop', PASSWORD));
    const records: LogRecord[] = [];
    const follow = () => log.follow(0, (record) => { records.push(record); });
    await fill(log, 'old');
    follow();
    await until('all is read', async () => records.length === 6);
    const generation = log.generation();
    await server.tell('rabbitmqctl', 'clear_permissions', 'shop');
    await server.tell('rabbitmqctl', 'close_all_user_connections', 'shop', 'away');

    const guest = await amqplib.connect(as('guest', 'guest'), socket);
    await (await guest.createChannel()).deleteQueue('cluster.away');
    await guest.close();
    const other = open(as('guest', 'guest'));
    await fill(other, 'new');
    await other.stop();
    await setRights(server);
    await until('that is noticed', async () => log.generation() !== generation);
    expect(records.map(({ value }) => value)).not.toContain('new');
    records.length = 0;
    follow();
    await until('all is read anew', async () => records.length === 6);
    expect(records.map(({ value }) => value)).toEqual([undefined, 'new', 'new', 'new', 'new', 'new']);
    await log.stop();
  });
});

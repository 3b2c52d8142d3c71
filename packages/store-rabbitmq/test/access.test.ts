import { execFileSync } from 'node:child_process';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import amqplib from 'amqplib';
import { DistributedManager } from '@cluster/core';
import type { LogRecord } from '@cluster/core/driver';
import { RabbitServer, type Certified } from '../../../scripts/services/rabbitmq.js';
import { until } from '../../../scripts/services/server-process.js';
import { RabbitStore } from '../src/index.js';
import { RabbitLog } from '../src/rabbit-log.js';
import { grant, setRights, type Right } from './rights.js';

/** A key, and a certificate that it signed itself. */
function certified(): Certified {
  const both = execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
    '-subj', '/CN=cluster test', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', '-', '-out', '-'], { stdio: 'pipe', encoding: 'utf8' });
  const at = both.indexOf('-----BEGIN CERTIFICATE');
  return { key: both.slice(0, at), certificate: both.slice(at) };
}

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

async function refusalOf(manager: DistributedManager): Promise<unknown> {
  try {
    await manager.start();
  } catch (error) {
    return error;
  } finally {
    await manager.stop();
  }
  throw new Error('it has started');
}

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

  it('with the rights that the page names makes the stream, and changes sessions', async () => {
    await setRights(server);
    const managers = [managerOf(), managerOf()] as const;
    const [first, second] = managers;
    await Promise.all(managers.map((manager) => manager.start()));
    const session = first.createSession();
    session.set('user', 'Anna');
    await first.sendSession(session);
    await second.update(session.id, (found) => { found.set('user', `${String(found.get('user'))} B`); });
    expect(await first.update(session.id, (found) => found.get('user'))).toBe('Anna B');
    await Promise.all(managers.map((manager) => manager.stop()));
  });

  it('with a wrong password is refused by start, which does not show it', async () => {
    const error = await refusalOf(managerOf({ password: 'not-the-secret' }));
    expect(error).toMatchObject(refused('the user is not known, or the password is wrong'));
    expect(inspect(error, { depth: 9 })).not.toContain('not-the-secret');
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

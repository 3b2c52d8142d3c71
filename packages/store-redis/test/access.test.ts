import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Cluster, Redis } from 'ioredis';
import { DistributedManager } from '@cluster/core';
import { ask } from '../../../scripts/services/redis-wire.js';
import { RedisServer } from '../../../scripts/services/redis.js';
import { freePort, launch, ServerProcess, until } from '../../../scripts/services/server-process.js';
import { RedisStore } from '../src/index.js';

let server: RedisServer;
let authority: string;
const files = () => ['key', 'cert'].map((name) => join(server.folder, `${name}.pem`)) as [key: string, certificate: string];
const tlsAt = (each: RedisServer, tlsPort: number, ...more: readonly string[]) => {
  const [key, certificate] = files();
  return each.send('CONFIG', 'SET', 'tls-auth-clients', 'no', 'tls-cert-file', certificate, 'tls-key-file', key, 'tls-ca-cert-file', certificate, 'tls-port', String(tlsPort), ...more);
};

beforeAll(async () => {
  server = await RedisServer.start();
  const [key, certificate] = files();
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
    '-subj', '/CN=cluster test', '-addext', `subjectAltName=IP:${server.host}`, '-keyout', key, '-out', certificate], { stdio: 'pipe' });
  authority = readFileSync(certificate, 'utf8');
  await tlsAt(server, server.peerPort);
});
afterAll(() => server.stop());

/** A Sentinel that takes connections by TLS, and makes them so. */
class TlsSentinel extends ServerProcess {
  static start(): Promise<TlsSentinel> {
    const [key, certificate] = files();
    return launch('sentinel', async (place) => {
      await writeFile(join(place.folder, 'sentinel.conf'), `
port ${place.port}
bind 127.0.0.1
tls-port ${place.peerPort}
tls-cert-file ${certificate}
tls-key-file ${key}
tls-ca-cert-file ${certificate}
tls-auth-clients no
tls-replication yes
sentinel monitor sessions ${server.host} ${server.peerPort} 1
`);
      return new TlsSentinel(place);
    });
  }

  protected command() { return { command: 'redis-server', args: ['sentinel.conf', '--sentinel'] }; }
  protected async isReady(): Promise<boolean> { return await ask(this.port, ['PING'], 1000) === 'PONG'; }
}

/** Whether a change made by one store is seen by another one, made alike. */
async function worksOver(make: () => RedisStore): Promise<boolean> {
  const managers = [make(), make()].map((store) => new DistributedManager(store, { context: 'shop' }));
  const [first, second] = managers as [DistributedManager, DistributedManager];
  const session = first.createSession();
  session.set('user', 'Anna');
  await first.sendSession(session);
  const seen = await second.update(session.id, (found) => found.get('user'));
  await Promise.all(managers.map((manager) => manager.stop()));
  return seen === 'Anna';
}

const startOver = (url: string) => new DistributedManager(new RedisStore({ url })).start();

const refusal = (text: string) => ({ code: 'CLUSTER_UNAVAILABLE', message: expect.stringContaining(`Redis cannot be connected to: ${text}`) });

describe('by TLS', () => {
  it('a client that trusts the authority lends that too', async () => {
    const client = new Redis(server.peerPort, server.host, { tls: { ca: authority }, lazyConnect: true });
    expect(await worksOver(() => new RedisStore({ client }))).toBe(true);
  });

  it('a client of Sentinel lends what it asks that by, and the primary', async () => {
    const sentinel = await TlsSentinel.start();
    const tls = { ca: authority };
    const client = new Redis({
      sentinels: [{ host: sentinel.host, port: sentinel.peerPort }], name: 'sessions', enableTLSForSentinelMode: true, sentinelTLS: tls, tls, lazyConnect: true,
    });
    expect(await worksOver(() => new RedisStore({ client }))).toBe(true);
    await sentinel.stop();
  });

  it('a client of Redis Cluster lends it to the connections to each node', async () => {
    const node = await RedisServer.start({ config: { 'cluster-enabled': 'yes' } });
    const port = await freePort(); // peers have the other one
    await tlsAt(node, port, 'tls-cluster', 'yes', 'cluster-announce-ip', node.host, 'cluster-announce-tls-port', String(port));
    await node.send('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
    await until('the cluster is whole', async () => String(await node.send('CLUSTER', 'INFO')).includes('cluster_state:ok'));
    const client = new Cluster([{ host: node.host, port }], { lazyConnect: true, redisOptions: { tls: { ca: authority } } });
    expect(await worksOver(() => new RedisStore({ client }))).toBe(true);
    await node.stop();
  });

  it('an authority that Node.js does not know is refused, saying where to name it', async () => {
    await expect(startOver(`rediss://${server.host}:${server.peerPort}`)).rejects.toMatchObject(
      refusal('self-signed certificate; let Node.js know its authority by NODE_EXTRA_CA_CERTS, or give a client with tls: { ca }'));
  });

  it('TLS where there is none, and none where there is, are told from a server that is down', async () => {
    await expect(startOver(`rediss://${server.host}:${server.port}`)).rejects.toMatchObject(refusal('connect ETIMEDOUT; does it speak TLS on that port?'));
    const plain: unknown = await startOver(`redis://${server.host}:${server.peerPort}`).catch((error: unknown) => error);
    expect(String(plain)).toMatch(/(ECONNRESET|EPIPE|closed at once); does it expect TLS \(rediss:\/\/\) on that port\?/);
  });
});

describe('a URL', () => {
  it('leads to the database that it names, with a user and a password that had to be percent-encoded', async () => {
    const password = 'p@ss/w:rd %#?';
    await server.send('ACL', 'SETUSER', 'web@shop', 'on', `>${password}`, '~cluster:*', '&cluster:*', '+@all');
    const url = `redis://${encodeURIComponent('web@shop')}:${encodeURIComponent(password)}@${server.host}:${server.port}/3`;
    await server.send('FLUSHALL');
    expect(await worksOver(() => new RedisStore({ url }))).toBe(true);
    expect(String(await server.send('INFO', 'keyspace'))).toMatch(/^# Keyspace\r\ndb3:[^\n]*\n$/);
  });
});

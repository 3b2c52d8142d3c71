import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { DistributedManager } from '@cluster/core';
import { RedisServer } from '../../../scripts/services/redis.js';
import { RedisStore } from '../src/index.js';

let server: RedisServer;
let authority: string;
beforeAll(async () => {
  server = await RedisServer.start();
  const [key, certificate] = ['key', 'cert'].map((name) => join(server.folder, `${name}.pem`)) as [string, string];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
    '-subj', '/CN=cluster test', '-addext', `subjectAltName=IP:${server.host}`, '-keyout', key, '-out', certificate], { stdio: 'pipe' });
  authority = readFileSync(certificate, 'utf8');
  await server.send('CONFIG', 'SET', 'tls-auth-clients', 'no', 'tls-cert-file', certificate, 'tls-key-file', key, 'tls-port', String(server.peerPort));
});
afterAll(() => server.stop());

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

// Two processes of the application, a provider and a Redis. With --once: 20 requests find their token expired, then all ends.
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { RedisServer } from '../../scripts/services/redis.js';
import { Provider } from './provider.js';

const given = process.env['REDIS_URL'];
const redis = given === undefined ? await RedisServer.start() : undefined;
const provider = new Provider();
const env = { ...process.env, REDIS_URL: given ?? redis?.url, PROVIDER_URL: await provider.start() };

async function startServer(): Promise<{ child: ChildProcess; url: string }> {
  const child = fork(fileURLToPath(new URL('./server.ts', import.meta.url)), { env });
  const ended = once(child, 'exit').then(() => { throw new Error('a process of the application ended before it was ready'); });
  // It sends its port, and nothing else.
  const [port] = await Promise.race([once(child, 'message'), ended]) as [number];
  return { child, url: `http://127.0.0.1:${port}` };
}

const servers = await Promise.all([startServer(), startServer()]);
const urlOf = (n: number) => servers[n % 2]?.url ?? '';

async function end() {
  await Promise.all(servers.map(async ({ child }) => {
    const exit = once(child, 'exit');
    child.kill('SIGTERM');
    await exit;
  }));
  provider.stop();
  await redis?.stop();
}

async function visit() {
  const login = await fetch(`${urlOf(0)}/login`, { method: 'POST' });
  const headers = { cookie: login.headers.getSetCookie().map((each) => each.split(';')[0]).join('; ') };
  const profiles = await Promise.all(Array.from({ length: 20 }, async (_, n) => {
    const answer = await fetch(`${urlOf(n)}/profile`, { headers });
    return `${answer.status} ${await answer.text()}`;
  }));
  console.log(`20 requests at once on two processes: ${profiles.filter((each) => each === '200 Ada').length} answered 200 Ada`);
  console.log(`refreshes that the provider was asked for: ${provider.refreshes}, that it refused: ${provider.refused}`);
}

if (process.argv.includes('--once')) {
  await visit();
  await end();
} else {
  console.log(`curl -X POST -c jar ${urlOf(0)}/login; curl -b jar ${urlOf(0)}/profile & curl -b jar ${urlOf(1)}/profile`);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void end());
}

// Two processes of the shop on the Redis of REDIS_URL, or on one that is started here. With --once: a few requests, then all ends.
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { RedisServer } from '../../scripts/services/redis.js';

const given = process.env['REDIS_URL'];
const redis = given === undefined ? await RedisServer.start() : undefined;
const REDIS_URL = given ?? redis?.url;

async function startServer(): Promise<{ child: ChildProcess; url: string }> {
  const child = fork(fileURLToPath(new URL('./server.ts', import.meta.url)), { env: { ...process.env, REDIS_URL, PORT: '0' } });
  const ended = once(child, 'exit').then(() => { throw new Error('a process of the shop ended before it was ready'); });
  // It sends its port, and nothing else.
  const [port] = await Promise.race([once(child, 'message'), ended]) as [number];
  return { child, url: `http://127.0.0.1:${port}` };
}

async function end(...children: ChildProcess[]) {
  await Promise.all(children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null).map((child) => {
    child.kill('SIGTERM');
    return once(child, 'exit');
  }));
  await redis?.stop();
}

const [a, b] = await Promise.all([startServer(), startServer()]);

async function visit() {
  const first = await fetch(`${a.url}/cart/tea`, { method: 'POST', redirect: 'manual' });
  const headers = { cookie: first.headers.getSetCookie().map((each) => each.split(';')[0]).join('; ') };
  const add = (url: string, item: string) => fetch(`${url}/cart/${item}`, { method: 'POST', headers, redirect: 'manual' });
  // The answer of /cart is an array of names.
  const cart = async () => await (await fetch(`${b.url}/cart`, { headers })).json() as string[];
  console.log(`added by one process, seen by the other: ${(await cart()).join(', ')}`);

  await Promise.all(Array.from({ length: 20 }, (_, n) => add(n % 2 === 0 ? a.url : b.url, `item-${n}`)));
  console.log(`20 added at once by both: ${(await cart()).length} in the cart`);

  const killed = once(a.child, 'exit');
  a.child.kill('SIGKILL');
  await killed;
  await add(b.url, 'pears');
  console.log(`one more after kill -9 of one process: ${(await cart()).length} in the cart`);
}

if (process.argv.includes('--once')) {
  await visit();
  await end(a.child, b.child);
} else {
  console.log(`curl -L -X POST -c jar -b jar ${a.url}/cart/tea; curl -b jar ${b.url}/cart`);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void end(a.child, b.child));
}

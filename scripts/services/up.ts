import { once } from 'node:events';
import { Doorbell, ringAll } from './doorbell.js';
import { RedisServer } from './redis.js';

interface Running { readonly lines: readonly string[]; stop: () => Promise<void> }

const kinds: Readonly<Record<string, () => Promise<Running>>> = {
  single: () => alone(RedisServer.start()),
  aof: () => alone(RedisServer.start({ aof: true })),
};

async function alone(starting: Promise<RedisServer>): Promise<Running> {
  const server = await starting;
  return { lines: [server.url], stop: () => server.stop() };
}

/** Starts a Redis of this kind and says where it is; resolves after Ctrl-C or `down`, when nothing is left of it. */
export async function up(kind: string): Promise<void> {
  const start = kinds[kind];
  if (start === undefined) throw new Error(`up redis: expected ${Object.keys(kinds).join(', ')}, found ${kind}`);
  const { lines, stop } = await start();
  const doorbell = new Doorbell();
  for (const line of lines) console.log(line);
  console.log('Ctrl-C or npm run services -- down ends it.');
  await Promise.race([doorbell.rung(), ...['SIGINT', 'SIGTERM', 'SIGHUP'].map((signal) => once(process, signal))]);
  await stop();
  await doorbell.close();
}

/** Ends what every `up` of this checkout has started. */
export async function down(): Promise<void> {
  console.log(`ended: ${await ringAll()}`);
}

// What Redis spends on a value that goes through a script, in µs of its CPU. Not a test: it asserts nothing.
// node --conditions=@cluster/source --import ./scripts/ts-register.mjs packages/store-redis/test/costs.ts
import { Redis } from 'ioredis';
import { RedisServer } from '../../../scripts/services/redis.js';

const ROUNDS = 2_000;
const server = await RedisServer.start();
const client = new Redis(server.url);

async function cpuUs(): Promise<number> {
  const [system, user] = [await server.info('used_cpu_sys'), await server.info('used_cpu_user')];
  return (Number(system) + Number(user)) * 1e6;
}

async function costUs(step: () => Promise<unknown>): Promise<string> {
  for (let round = 0; round < ROUNDS / 10; round += 1) await step();
  const before = await cpuUs();
  for (let round = 0; round < ROUNDS; round += 1) await step();
  return ((await cpuUs() - before) / ROUNDS).toFixed(0).padStart(12);
}

const put = "redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) return redis.call('PEXPIRE', KEYS[1], 60000)";
const get = "return redis.call('HGETALL', KEYS[1])";

console.log('    KiB   HSET+PEXPIRE   by a script       HGETALL   by a script');
for (const kib of [1, 4, 8, 16, 64, 256]) {
  const value = Buffer.alloc(kib * 1_024, 'x');
  const columns = [
    await costUs(() => client.multi().hset('plain', 'value', value).pexpire('plain', 60_000).exec()),
    await costUs(() => client.eval(put, 1, 'scripted', 'value', value)),
    await costUs(() => client.hgetallBuffer('plain')),
    await costUs(() => client.callBuffer('eval', [get, 1, 'scripted'])),
  ];
  console.log(String(kib).padStart(7), ...columns.map((column) => ` ${column}`));
}
client.disconnect();
await server.stop();

// How long it takes until a session can be changed again after its holder was killed. Not a test: it asserts nothing.
// node --conditions=@cluster/source --import ./scripts/ts-register.mjs packages/store-redis/test/take-over.ts [kills]
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { DistributedManager } from '@cluster/core';
import { RedisServer } from '../../../scripts/services/redis.js';
import { RedisStore } from '../src/index.js';
import { program } from './table-over.js';

const kills = Number(process.argv[2] ?? 30);
const server = await RedisServer.start({ aof: true });
const manager = new DistributedManager(new RedisStore({ url: server.url }), { context: 'shop' });
await manager.start();

async function afterKill(): Promise<number> {
  const holder = spawn(process.execPath, [...program.execArgv, join(import.meta.dirname, 'children/holder.ts'), server.url], { stdio: ['ignore', 'pipe', 'inherit'] });
  // The first line is the session's id.
  const [id] = await once(createInterface({ input: holder.stdout }), 'line') as [string];
  await sleep(500 + Math.random() * 500);
  const killed = once(holder, 'exit');
  holder.kill('SIGKILL');
  const sinceMs = performance.now();
  await manager.update(id, (session) => { session.set('count', 2); });
  const tookMs = performance.now() - sinceMs;
  await killed;
  return tookMs;
}

const tookMs: number[] = [];
for (let n = 0; n < kills; n += 1) tookMs.push(await afterKill());
tookMs.sort((a, b) => a - b);
console.log(`${kills} kills: a session could be changed again after p50 ${Math.round(tookMs[Math.floor(kills / 2)] ?? 0)} ms, at most ${Math.round(tookMs.at(-1) ?? 0)} ms`);
await manager.stop();
await server.stop();

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { RedisServer } from '../../../scripts/services/redis.js';

const repository = dirname(dirname(dirname(import.meta.dirname)));
const run = promisify(execFile);
const command = (file: string) => ['--conditions=@cluster/source', '--import', './scripts/ts-register.mjs', join('examples', 'express-redis', file)];

describe('two processes of an Express application', () => {
  it('share their sessions in a Redis that is started for them, and end', async () => {
    // Rejects unless the process ends by itself with status 0.
    const { stdout } = await run(process.execPath, [...command('main.ts'), '--once'], { cwd: repository, timeout: 50_000, env: { ...process.env, REDIS_URL: undefined } });
    const lines = stdout.trim().split('\n');
    expect(lines.slice(0, 2)).toEqual(Array(2).fill(expect.stringMatching(/^pid \d+ serves http:\/\/127\.0\.0\.1:\d+$/)));
    expect(lines.slice(2)).toEqual([
      'added by one process, seen by the other: tea',
      '20 added at once by both: 21 in the cart',
      'one more after kill -9 of one process: 22 in the cart',
    ]);
  });

  it('are each a process that ends by itself when it is asked to', async () => {
    await using redis = await RedisServer.start();
    const server = spawn(process.execPath, command('server.ts'), {
      cwd: repository, env: { ...process.env, REDIS_URL: redis.url, PORT: '0' }, stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = await once(server.stdout, 'data') as [Buffer];
    const response = await fetch(`${/http\S+/.exec(line.toString())![0]}/cart/tea`, { method: 'POST' });
    expect(await response.text()).toBe('[]'); // without the cookie /cart is another visitor's
    server.kill('SIGTERM');
    expect(await once(server, 'exit')).toEqual([0, null]);
  });

  it('says that there is no Redis, and does not start', async () => {
    const starting = run(process.execPath, command('server.ts'), { cwd: repository, env: { ...process.env, REDIS_URL: 'redis://127.0.0.1:1', PORT: '0' } });
    await expect(starting).rejects.toThrow('Redis cannot be connected to: connect ECONNREFUSED 127.0.0.1:1');
  });
});

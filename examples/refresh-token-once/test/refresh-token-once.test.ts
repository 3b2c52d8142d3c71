import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from '@jest/globals';

const repository = dirname(dirname(dirname(import.meta.dirname)));
const run = promisify(execFile);

describe('a token that 20 requests on two processes find expired', () => {
  it('is refreshed once', async () => {
    // Rejects unless the process ends by itself with status 0.
    const { stdout } = await run(process.execPath, [
      '--conditions=@cluster/source', '--import', './scripts/ts-register.mjs', join('examples', 'refresh-token-once', 'main.ts'), '--once',
    ], { cwd: repository, timeout: 50_000, env: { ...process.env, REDIS_URL: undefined } });
    expect(stdout.trim().split('\n')).toEqual([
      '20 requests at once on two processes: 20 answered 200 Ada',
      'refreshes that the provider was asked for: 1, that it refused: 0',
    ]);
  });
});

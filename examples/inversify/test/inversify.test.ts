import { describe, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const repository = dirname(dirname(dirname(import.meta.dirname)));
const run = promisify(execFile);

describe('a container', () => {
  it('wires manager and store, and stops both when it is emptied', async () => {
    // Rejects unless the process ends by itself with status 0.
    const { stdout } = await run(process.execPath, [
      '--conditions=@cluster/source', '--import', './scripts/ts-register.mjs', join('examples', 'inversify', 'main.ts'), '--once',
    ], { cwd: repository, timeout: 30_000 });
    expect(stdout.trim().split('\n')).toEqual([
      'first request: {"visits":1}',
      'second request: {"visits":2}',
      'manager: stopped, sessions held: 0',
    ]);
  }, 40_000);
});

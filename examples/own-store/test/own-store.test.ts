import { execFile } from 'node:child_process';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { testStore } from '@cluster/conformance';
import { startKvServer } from '../kv-process.js';
import { LEASE_MS } from '../lease.js';

const execArgv = ['--conditions=@cluster/source', '--import', new URL('../../../scripts/ts-register.mjs', import.meta.url).href];
let server: Awaited<ReturnType<typeof startKvServer>>;

beforeAll(async () => { server = await startKvServer(execArgv); });
afterAll(() => server.stop());

// A killed process loses its connection at once; a machine that vanished, when its lease is over.
testStore({ describe, it }, { module: new URL('./create-store.ts', import.meta.url), execArgv, config: () => ({ port: server.port }), takeOverMs: LEASE_MS });

describe('the example', () => {
  it('loses no change of two instances, and ends by itself', async () => {
    // Rejects unless the process ends by itself with status 0.
    const { stdout } = await promisify(execFile)(process.execPath, [...execArgv, 'main.ts', '--once'], { cwd: dirname(import.meta.dirname), timeout: 30_000 });
    expect(stdout.trim().split('\n')).toEqual(['a and b made 100 changes each; in the session: 200', 'removed by b; a finds: nothing']);
  }, 40_000);
});

import { afterAll, beforeAll, describe, it } from '@jest/globals';
import { testProcesses } from '@cluster/conformance';
import { startKvServer } from '../kv-process.js';
import { LEASE_MS } from '../lease.js';

const execArgv = ['--conditions=@cluster/source', '--import', new URL('../../../scripts/ts-register.mjs', import.meta.url).href];
let server: Awaited<ReturnType<typeof startKvServer>>;

beforeAll(async () => { server = await startKvServer(execArgv); });
afterAll(() => server.stop());

testProcesses({ describe, it }, {
  module: new URL('./create-store.ts', import.meta.url), execArgv, takeOverMs: LEASE_MS,
  server: { address: () => ({ host: '127.0.0.1', port: server.port }), config: ({ port }) => ({ port }) },
});

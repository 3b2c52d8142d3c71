import { afterAll, describe, it } from '@jest/globals';
import { join } from 'node:path';
import { testDriver, testStore } from '@cluster/conformance';
import { RedisServer } from '../../../scripts/services/redis.js';
import { tableOver } from './table-over.js';

const server = await RedisServer.start();
const register = join(import.meta.dirname, '../../../scripts/ts-register.mjs');

testDriver({ describe, it }, { open: () => tableOver(server.url) });

testStore({ describe, it }, {
  module: new URL('children/create-store.ts', import.meta.url), config: { url: server.url }, takeOverMs: 1_500,
  execArgv: ['--conditions=@cluster/source', '--import', register],
});

afterAll(() => server.stop());

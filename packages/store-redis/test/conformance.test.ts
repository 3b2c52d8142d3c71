import { afterAll, describe, it } from '@jest/globals';
import { testDriver, testStore } from '@cluster/conformance';
import { RedisServer } from '../../../scripts/services/redis.js';
import { program, tableOver } from './table-over.js';

const server = await RedisServer.start();

testDriver({ describe, it }, { open: () => tableOver(server.url) });

testStore({ describe, it }, { ...program, config: { url: server.url }, takeOverMs: 1_500 });

afterAll(() => server.stop());

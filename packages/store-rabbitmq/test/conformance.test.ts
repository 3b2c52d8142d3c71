import { afterAll, describe, it } from '@jest/globals';
import { join } from 'node:path';
import { testDriver, testStore } from '@cluster/conformance';
import { RabbitServer } from '../../../scripts/services/rabbitmq.js';
import { RabbitLog } from '../src/rabbit-log.js';
import { grant } from './rights.js';

const register = join(import.meta.dirname, '../../../scripts/ts-register.mjs');
const server = await RabbitServer.start();
const url = server.url.replace('//', '//shop:secret@');
await grant(server, 'secret');

testDriver({ describe, it }, {
  open: () => new RabbitLog({ urls: [url], socket: {}, stream: 'cluster', replicas: 1, maxBytes: 16_777_216 }), maxValueBytes: 1_000_000,
});

testStore({ describe, it }, {
  module: new URL('children/create-store.ts', import.meta.url), config: { urls: [url] }, takeOverMs: 13_000, maxValueBytes: 500_000,
  execArgv: ['--conditions=@cluster/source', '--import', register],
});

afterAll(() => server.stop());

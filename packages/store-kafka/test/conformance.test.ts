import { afterAll, describe, it } from '@jest/globals';
import { join } from 'node:path';
import { testDriver, testStore } from '@cluster/conformance';
import { KafkaServer } from '../../../scripts/services/kafka.js';
import { KafkaLog } from '../src/kafka-log.js';
import { KafkajsPort } from '../src/kafkajs-port.js';
import { connectionOf } from '../src/options.js';

const register = join(import.meta.dirname, '../../../scripts/ts-register.mjs');
const server = await KafkaServer.start();

testDriver({ describe, it }, {
  open: () => new KafkaLog({
    open: () => new KafkajsPort(connectionOf({ brokers: [server.url] })), topic: 'driver', partitions: 2, replicas: 1, maxBytes: Infinity,
  }),
  maxValueBytes: 1_000_000,
});

testStore({ describe, it }, {
  module: new URL('children/create-store.ts', import.meta.url), config: { brokers: [server.url], replicas: 1 }, takeOverMs: 13_000, maxValueBytes: 500_000,
  execArgv: ['--conditions=@cluster/source', '--import', register],
});

afterAll(() => server.stop());

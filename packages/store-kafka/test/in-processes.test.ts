import { afterAll, describe, it } from '@jest/globals';
import { join } from 'node:path';
import kafkajs from 'kafkajs';
import { testProcesses, type ProcessHarness } from '@cluster/conformance';
import { KafkaServer } from '../../../scripts/services/kafka.js';

const register = join(import.meta.dirname, '../../../scripts/ts-register.mjs');
const TOPIC = 'cluster';

type Address = { readonly host: string; readonly port: number };

const server = await KafkaServer.start();
const admin = new kafkajs.Kafka({ brokers: [server.url], logLevel: kafkajs.logLevel.NOTHING }).admin();

afterAll(async () => {
  await admin.disconnect();
  await server.stop();
});

/** The broker takes no record from now on, or again. */
async function limitBatches(bytes: number): Promise<void> {
  const config = { 'cleanup.policy': 'compact', 'message.timestamp.type': 'LogAppendTime', 'max.message.bytes': String(bytes) };
  const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }));
  await admin.connect();
  await admin.alterConfigs({ validateOnly: false, resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: TOPIC, configEntries }] });
}

const instead = (addresses: readonly Address[]) => Object.fromEntries([server].map(({ url }, at) => [url, addresses[at] ?? { host: server.host, port: server.port }]));

const overOne: NonNullable<ProcessHarness['server']> = {
  address: () => ({ host: server.host, port: server.port }),
  config: (...addresses) => ({ brokers: [server.url], replicas: 1, instead: instead(addresses) }),
  kill: () => server.kill(),
  start: () => server.restart(),
  freeze: () => server.freeze(),
  thaw: () => server.thaw(),
  frozenMs: 5_000,
  refuseWrites: () => limitBatches(1),
  takeWrites: () => limitBatches(1_048_588),
};

describe('over one Kafka', () => {
  testProcesses({ describe, it }, {
    module: new URL('children/create-store.ts', import.meta.url), execArgv: ['--conditions=@cluster/source', '--import', register],
    server: overOne, recoveryMs: 3_000,
  });
});

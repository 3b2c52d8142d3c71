import { afterAll, describe, it } from '@jest/globals';
import { join } from 'node:path';
import { testProcesses, type ProcessHarness } from '@cluster/conformance';
import { RabbitServer } from '../../../scripts/services/rabbitmq.js';

const register = join(import.meta.dirname, '../../../scripts/ts-register.mjs');
const server = await RabbitServer.start();

afterAll(() => server.stop());

type Address = { readonly host: string; readonly port: number };

const overOne: NonNullable<ProcessHarness['server']> = {
  address: () => ({ host: server.host, port: server.port }),
  config: (...addresses: readonly Address[]) => ({ urls: (addresses.length > 0 ? addresses : [server]).map(({ host, port }) => `amqp://${host}:${port}`) }),
  kill: () => server.kill(),
  start: () => server.restart(),
  freeze: () => server.freeze(),
  thaw: () => server.thaw(),
  frozenMs: 5_000,
};

describe('over one RabbitMQ', () => {
  testProcesses({ describe, it }, {
    module: new URL('children/create-store.ts', import.meta.url), execArgv: ['--conditions=@cluster/source', '--import', register],
    server: overOne, recoveryMs: 10_000,
  });
});

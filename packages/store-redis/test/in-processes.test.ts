import { afterAll, describe, it } from '@jest/globals';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { testProcesses } from '@cluster/conformance';
import { RedisServer } from '../../../scripts/services/redis.js';

const server = await RedisServer.start({ aof: true });
const register = join(import.meta.dirname, '../../../scripts/ts-register.mjs');

afterAll(() => server.stop());

describe('over one Redis that loses nothing', () => {
  testProcesses({ describe, it }, {
    module: new URL('children/create-store.ts', import.meta.url), execArgv: ['--conditions=@cluster/source', '--import', register],
    server: {
      address: () => ({ host: server.host, port: server.port }),
      config: ({ host, port }) => ({ url: `redis://${host}:${port}` }),
    },
    faults: [
      { title: 'Redis is killed and started again', begin: () => server.kill(), end: () => server.restart() },
      {
        title: 'Redis stands still for 8 s',
        begin: async () => {
          await server.freeze();
          await sleep(5_750);
        },
        end: () => server.thaw(),
      },
      {
        title: 'Redis is full', says: /OOM command not allowed/,
        begin: () => server.config('maxmemory', '1'),
        end: () => server.config('maxmemory', '0'),
      },
    ],
  });
});

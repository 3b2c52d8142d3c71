import { afterAll, describe, it } from '@jest/globals';
import { testProcesses } from '@cluster/conformance';
import { RedisServer } from '../../../scripts/services/redis.js';
import { program } from './table-over.js';

const server = await RedisServer.start({ aof: true });

afterAll(() => server.stop());

describe('over one Redis that loses nothing', () => {
  testProcesses({ describe, it }, {
    ...program,
    server: {
      address: () => ({ host: server.host, port: server.port }),
      config: ({ host, port }) => ({ url: `redis://${host}:${port}` }),
      kill: () => server.kill(),
      start: () => server.restart(),
      freeze: () => server.freeze(),
      thaw: () => server.thaw(),
      refuseWrites: () => server.config('maxmemory', '1'),
      takeWrites: () => server.config('maxmemory', '0'),
    },
  });
});

import { afterAll, describe, it } from '@jest/globals';
import { join } from 'node:path';
import { testDriver, testStore } from '@cluster/conformance';
import { NatsCluster } from '../../../scripts/services/nats-cluster.js';
import { natsReleases, NatsServer } from '../../../scripts/services/nats.js';
import { mapAt } from './set-up.js';

const register = join(import.meta.dirname, '../../../scripts/ts-register.mjs');
const servers = await Promise.all(natsReleases().map((release) => NatsServer.start({ release })));

for (const [at, server] of servers.entries()) {
  const isBuilt = natsReleases()[at] === 'built';
  describe(isBuilt ? 'over a NATS that lets keys expire' : 'over the NATS that is installed', () => {
    testDriver({ describe, it }, {
      open: () => mapAt(server.url),
      // The server takes no time of less than a second.
      lateMs: isBuilt ? 1_500 : 300, maxValueBytes: 1_000_000,
    });
  });
}

// Where no current server could be built there is none that replicates.
const cluster = natsReleases().includes('built') ? await NatsCluster.start() : undefined;
if (cluster !== undefined) {
  describe('over three NATS servers', () => {
    testDriver({ describe, it }, {
      open: () => mapAt([...cluster.urls], { replicas: 3 }),
      lateMs: 1_500, maxValueBytes: 1_000_000,
    });
  });
}

const newest = servers.at(-1);
if (newest === undefined) throw new Error('one is always there');

testStore({ describe, it }, {
  module: new URL('children/create-store.ts', import.meta.url), config: { servers: newest.url }, takeOverMs: 1_500, lateMs: 1_500, maxValueBytes: 500_000,
  execArgv: ['--conditions=@cluster/source', '--import', register],
});

afterAll(async () => { await Promise.all([...servers.map((server) => server.stop()), cluster?.stop()]); });

import { afterAll, beforeAll, describe, it } from '@jest/globals';
import { testProcesses } from '../src/index.js';
import type { Runner } from '../src/clause.js';
import { host } from './served/host.js';
import { MapHost } from './served/map-host.js';
import type { SmallServer } from './served/server.js';

const execArgv = ['--conditions=@cluster/source', '--import', new URL('../../../scripts/ts-register.mjs', import.meta.url).href];

/** Registers the clauses that match; all of them are tried over a disk, by the filesystem store. */
const only = (wanted: RegExp): Runner => ({
  describe,
  it: (title, body, timeoutMs) => { if (wanted.test(title)) it(title, body, timeoutMs); },
});

describe('a session map behind a server', () => {
  const mapHost = new MapHost();
  const { server } = mapHost;
  let rollBack = (): void => undefined;
  beforeAll(() => server.open());
  afterAll(() => { server.close(); });
  testProcesses(only(/^(?!SIGKILL at|every clause)/), {
    module: new URL('./served/served-map.ts', import.meta.url), execArgv,
    server: { ...mapHost.asServer, frozenMs: 4_000 },
    faults: [
      { title: 'the server does not answer', begin: () => { server.freeze(); }, end: () => { server.thaw(); }, says: /did not answer/ },
      {
        title: 'the server comes back as it was a moment ago',
        lag: () => { rollBack = mapHost.saved(); },
        begin: () => { server.close(); },
        end: () => { rollBack(); return server.open(); },
      },
    ],
  });
});

describe('a store with locks of its own, which end with the connection of their instance', () => {
  let server: SmallServer;
  beforeAll(async () => { server = await host(); });
  afterAll(() => { server.close(); });
  testProcesses(only(/^(while nothing|what a killed|a network|instances)/), {
    module: new URL('./served/served-store.ts', import.meta.url), execArgv,
    server: { address: () => ({ host: '127.0.0.1', port: server.port }), config: (address) => ({ ...address }) },
    takeOverMs: 1_500, silentTakeOverMs: Infinity,
  });
});

import { afterAll, beforeAll, describe, it } from '@jest/globals';
import { testProcesses } from '../src/index.js';
import type { Runner } from '../src/clause.js';
import { MapHost } from './served/map-host.js';

const execArgv = ['--conditions=@cluster/source', '--import', new URL('../../../scripts/ts-register.mjs', import.meta.url).href];

/** Those that a store on a disk is held to as well take their time there. */
const notAtEachStep: Runner = {
  describe,
  it: (title, body, timeoutMs) => { if (!/^SIGKILL at|^every clause/.test(title)) it(title, body, timeoutMs); },
};
const sleep = (ms: number) => new Promise<void>((resolve) => { setTimeout(resolve, ms); });

describe('a session map behind a server', () => {
  const host = new MapHost();
  const { server } = host;
  let rollBack = (): void => undefined;
  beforeAll(() => server.open());
  afterAll(() => { server.close(); });
  testProcesses(notAtEachStep, {
    module: new URL('./served/served-map.ts', import.meta.url), execArgv,
    server: { address: () => ({ host: '127.0.0.1', port: server.port }), config: (address) => ({ ...address }) },
    faults: [
      { title: 'the server is restarted', begin: () => { server.close(); }, end: () => server.open(), says: /did not answer/ },
      { title: 'the server stands still', begin: () => { server.freeze(); }, end: () => { server.thaw(); }, says: /did not answer/ },
      {
        title: 'the server comes back as it was a moment ago', mayLose: true,
        begin: async () => {
          rollBack = host.saved();
          await sleep(300);
          server.close();
        },
        end: () => { rollBack(); return server.open(); },
      },
    ],
  });
});

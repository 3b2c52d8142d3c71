import { afterAll, describe, it } from '@jest/globals';
import { mkdtempSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { testDriver, testStore } from '@cluster/conformance';
import { FilesystemMap } from '../src/filesystem-map.js';

const directory = mkdtempSync(join(tmpdir(), 'store-filesystem-'));
const register = join(import.meta.dirname, '../../../scripts/ts-register.mjs');

testDriver({ describe, it }, {
  open: () => new FilesystemMap({ directory, allowNetworkMounts: false }),
  erase: async () => {
    for (const context of await readdir(directory)) await rm(join(directory, context), { recursive: true });
  },
});

testStore({ describe, it }, {
  module: new URL('children/create-store.ts', import.meta.url), config: { directory }, takeOverMs: 1_000,
  execArgv: ['--conditions=@cluster/source', '--import', register],
});

afterAll(() => rm(directory, { recursive: true }));

import { afterAll, describe, expect, it } from '@jest/globals';
import { chownSync, mkdirSync, mkdtempSync } from 'node:fs';
import { appendFile, chmod, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { testProcesses } from '@cluster/conformance';
import { decodeRecord } from '../src/record-file.js';
import { keyOfFolder } from '../src/revision.js';
import { mountSmallDisk, orSay, unmount } from './small-disk.js';

const folder = mkdtempSync(join(tmpdir(), 'store-filesystem-'));
const disk = join(folder, 'small');
const isMounted = mountSmallDisk(disk, 'size=4m');
const register = join(import.meta.dirname, '../../../scripts/ts-register.mjs');
const program = { module: new URL('children/create-store.ts', import.meta.url), execArgv: ['--conditions=@cluster/source', '--import', register] };

afterAll(async () => {
  if (isMounted) unmount(disk);
  await rm(folder, { recursive: true });
});

describe('a folder on a disk', () => {
  testProcesses({ describe, it }, { ...program, config: { directory: join(folder, 'sessions') } });
});

/** The faults of a disk, and what ends the processes: the rest is tried above. */
const faultsOnly = {
  describe,
  it: Object.assign((title: string, body: () => Promise<void>, timeoutMs?: number) => {
    if (title.startsWith('while the') || title.startsWith('instances that are stopped')) it(title, body, timeoutMs);
  }, { skip: () => undefined }),
};

const pathsIn = async (directory: string): Promise<string[]> =>
  (await readdir(directory, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));

/** Every file that is a content of a key, also one that nothing refers to. */
async function expectWholeFiles(directory: string): Promise<void> {
  const files = (await pathsIn(directory)).filter((path) => /\/keys\/[0-9a-f]{2}\//.test(path));
  expect(files.length).toBeGreaterThan(10);
  for (const path of files) {
    const key = keyOfFolder(basename(dirname(path)));
    expect(key).toBeDefined();
    decodeRecord(key ?? '', path, await readFile(path));
  }
}

describe('a disk that is full', () => {
  const filler = join(disk, 'filler');
  let filling: Promise<void> | undefined;
  let isFull = false;

  const fill = async (): Promise<void> => {
    for (const bytes of [1_048_576, 4_096]) {
      while (await appendFile(filler, Buffer.alloc(bytes)).then(() => true, () => false)) { /* there is room */ }
    }
  };
  const keepFull = async (): Promise<void> => {
    while (isFull) {
      await fill();
      await sleep(10);
    }
  };
  testProcesses(faultsOnly, {
    ...program, config: { directory: join(disk, 'sessions') },
    faults: [{
      title: 'the disk is full', says: /ENOSPC: no space left on device; nothing was changed/, skipped: isMounted ? undefined : 'this user may not mount a small disk',
      begin: async () => {
        isFull = true;
        await fill();
        // What others free is taken as well.
        filling = keepFull();
      },
      end: async () => {
        isFull = false;
        await filling;
        await rm(filler);
      },
    }],
  });
  it('leaves no file half-written, and nothing in the making', async () => {
    orSay(isMounted, 'a full disk under several processes');
    if (!isMounted) return;
    await expectWholeFiles(disk);
    expect((await pathsIn(disk)).filter((path) => path.includes('/making/'))).toEqual([]);
  });
});

describe('a folder that may no longer be used', () => {
  const directory = join(folder, 'lost');
  mkdirSync(directory);
  // Permissions do not bind root, whose processes go on as nobody.
  const uid = process.geteuid?.() === 0 ? 65_534 : undefined;
  if (uid !== undefined) {
    chownSync(directory, uid, uid);
    chownSync(folder, uid, uid);
  }
  const keys = async () => (await readdir(directory)).map((context) => join(directory, context, 'keys'));
  const keyFolders = async () => (await readdir((await keys())[0] ?? '', { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isDirectory()).map(({ parentPath, name }) => join(parentPath, name));

  testProcesses(faultsOnly, {
    ...program, config: { directory, ...(uid === undefined ? {} : { uid }) },
    faults: [
      {
        title: 'the keys may not be looked at', says: /EACCES: permission denied; nothing was changed/,
        begin: async () => { for (const path of await keys()) await chmod(path, 0); },
        end: async () => { for (const path of await keys()) await chmod(path, 0o700); },
      },
      {
        title: 'the keys may not be written', says: /EACCES: permission denied; nothing was changed/,
        begin: async () => { for (const path of await keyFolders()) await chmod(path, 0o500); },
        end: async () => { for (const path of await keyFolders()) await chmod(path, 0o700); },
      },
    ],
  });
  it('has no file half-written', () => expectWholeFiles(directory));
});

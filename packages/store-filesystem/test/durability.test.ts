import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import * as promises from 'node:fs/promises';
import { basename } from 'node:path';
import { FilesystemMap } from '../src/filesystem-map.js';
import type { Disk } from '../src/key-folder.js';
import { removeFolder, temporaryFolder } from './processes.js';

const entry = (value: string) => ({ value, lifetimeMs: 600_000 });

/** What a path is in a store, by the form of its name. */
function kindOf(path: string): string {
  const name = basename(path);
  if (name.includes('~')) return 'slot';
  if (/^\d+-/.test(name)) return /\/making\/[^/]+$/.test(path) ? 'new folder' : 'body';
  return /^[0-9a-f]{2}$/.test(name) ? 'shard' : name;
}

let directory: string;
let calls: string[];
let failing: string | undefined;

/** The real disk, which notes what is made durable and in which order; a call named by `failing` is answered by an error. */
const noted: Disk = {
  ...promises,
  open: async (path, flags, mode) => {
    const file = await promises.open(path, flags, mode);
    const noting = (method: 'datasync' | 'sync') => {
      const real = file[method].bind(file);
      return async () => {
        if (failing === method) throw Object.assign(new Error('EIO: i/o error, as a disk would say'), { code: 'EIO' });
        await real();
        calls.push(`${method} ${kindOf(String(path))}`);
      };
    };
    return Object.assign(file, { datasync: noting('datasync'), sync: noting('sync') });
  },
  link: async (from, to) => {
    await promises.link(from, to);
    calls.push(`link ${kindOf(String(to))}`);
  },
  rename: async (from, to) => {
    await promises.rename(from, to);
    calls.push(`rename to ${kindOf(String(to))}`);
  },
  unlink: async (path) => {
    await promises.unlink(path);
    calls.push(`unlink ${kindOf(String(path))}`);
  },
};

let map: FilesystemMap;
beforeEach(async () => {
  directory = await temporaryFolder();
  calls = [];
  failing = undefined;
  map = new FilesystemMap({ directory, allowNetworkMounts: false, disk: noted });
  await map.start({ context: 'shop', instanceId: 'a', receive: () => undefined, listening: () => undefined });
});
afterEach(async () => {
  await map.stop();
  await removeFolder(directory);
});

describe('an acknowledged put', () => {
  it('of a new key is on the disk, and so is every name on the way to it', async () => {
    await map.compareAndSet('key', undefined, entry('one'));
    expect(calls.slice(0, 4)).toEqual(['sync keys', 'datasync body', 'link slot', 'rename to key']);
    expect(calls.slice(4).sort()).toEqual(['sync key', 'sync shard']);
  });

  it('of a present key has its content on the disk before anybody can see it, and its name before it is acknowledged', async () => {
    let revision = await map.compareAndSet('key', undefined, entry('one'));
    for (const value of ['two', 'three']) {
      calls = [];
      revision = await map.compareAndSet('key', revision, entry(value));
      expect(calls).toEqual(['datasync body', 'link slot', 'sync key']);
    }
  });
});

describe('a disk that fails', () => {
  it('before anybody could see the content: certainly not done, and nothing left', async () => {
    const revision = await map.compareAndSet('key', undefined, entry('one'));
    failing = 'datasync';
    for (const expected of [revision, undefined]) {
      await expect(map.compareAndSet(expected === undefined ? 'other' : 'key', expected, entry('two'))).rejects.toMatchObject({ code: 'CLUSTER_UNAVAILABLE' });
    }
    expect(await map.get('key')).toEqual({ value: 'one', revision });
    expect(await map.get('other')).toBeUndefined();
    const files = await promises.readdir(directory, { recursive: true });
    expect(files.filter((file) => kindOf(`/${file}`) === 'body' || file.includes('making/'))).toHaveLength(1);
  });

  it('after that: unknown', async () => {
    const revision = await map.compareAndSet('key', undefined, entry('one'));
    failing = 'sync';
    await expect(map.compareAndSet('key', revision, entry('two'))).rejects.toMatchObject({ code: 'CLUSTER_UNKNOWN_OUTCOME' });
    expect((await map.get('key'))?.value).toBe('two');
  });
});

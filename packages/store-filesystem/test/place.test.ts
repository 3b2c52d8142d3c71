import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { chmod, chown, mkdir, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ClusterError } from '@cluster/core';
import { FilesystemMap } from '../src/filesystem-map.js';
import { preparePlace, sharedTypeName } from '../src/place.js';
import { removeFolder, temporaryFolder } from './processes.js';
import { mountSmallDisk, orSay, unmount } from './small-disk.js';

let folder: string;
beforeEach(async () => { folder = await temporaryFolder(); });
afterEach(() => removeFolder(folder));

const prepare = (directory: string) => preparePlace(directory, 'shop', false);

async function started(directory: string): Promise<FilesystemMap> {
  const map = new FilesystemMap({ directory, allowNetworkMounts: false });
  await map.start({ context: 'shop', instanceId: 'a', receive: () => undefined, listening: () => undefined });
  return map;
}

describe('the directory of a store', () => {
  it('is made, with its parents, for its owner only', async () => {
    const directory = join(folder, 'new/deep');
    const map = await started(directory);
    await map.compareAndSet('k', undefined, { value: 'x', lifetimeMs: 1_000 });
    await map.stop();
    for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
      expect((await stat(join(entry.parentPath, entry.name))).mode & 0o077).toBe(0);
    }
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
  });

  it('may be relative, and reached by a symbolic link', async () => {
    await mkdir(join(folder, 'real'));
    await symlink('real', join(folder, 'link'));
    const map = await started(join(folder, 'link/../link'));
    await map.stop();
    expect(await readdir(join(folder, 'real'))).toEqual(['shop']);
  });

  it('is refused when it is a file, or in one', async () => {
    const path = join(folder, 'file');
    await writeFile(path, '');
    for (const directory of [path, join(path, 'below')]) {
      await expect(prepare(directory)).rejects.toMatchObject({
        code: 'CLUSTER_BAD_OPTION',
        message: `FilesystemStore: directory: expected a folder on a local disk that this process may write to, found a file: ${directory}`,
      });
    }
  });

  it('is refused where nothing can be made', async () => {
    await expect(prepare('/proc/sessions')).rejects.toMatchObject({ code: 'CLUSTER_UNAVAILABLE' });
  });

  it('is refused when it may not be written to', async () => {
    await chmod(folder, 0o555);
    // Permissions do not bind root, who acts as nobody here.
    if (process.geteuid?.() === 0) process.seteuid?.(65_534);
    try {
      await expect(prepare(join(folder, 'sessions'))).rejects.toMatchObject({ code: 'CLUSTER_BAD_OPTION', message: expect.stringContaining('one without permission') });
    } finally {
      if (process.getuid?.() === 0) process.seteuid?.(0);
      await chmod(folder, 0o755);
    }
  });

  it('is refused when it holds a store of another layout', async () => {
    await prepare(folder);
    await writeFile(join(folder, 'shop/layout'), 'cluster-store-filesystem 2\n');
    await expect(prepare(folder)).rejects.toMatchObject({
      code: 'CLUSTER_FOREIGN_VERSION', message: expect.stringMatching(/expected 'cluster-store-filesystem 1', found 'cluster-store-filesystem 2'$/),
    });
  });

  it('of several contexts keeps them apart, also where only case differs', async () => {
    const places = await Promise.all(['shop', 'Shop', 'SHOP'].map((context) => preparePlace(folder, context, false)));
    expect(new Set(places.map(({ root }) => root.toLowerCase())).size).toBe(3);
  });
});

describe("a context's folder that others could change is refused", () => {
  const below = ['shop', 'shop/keys', 'shop/making', 'shop/sockets', 'shop/unreadable', 'shop/sweeper', 'shop/keys/a0'];
  const refusal = (path: string, found: string) => ({
    code: 'CLUSTER_BAD_OPTION',
    message: expect.stringMatching(new RegExp(`that nobody else may write to, found ${found}.*: ${join(folder, path)}$`)),
  });
  // In a folder as others made it before: with all that a store makes, and open to everybody to look at.
  beforeEach(async () => {
    for (const path of below) await mkdir(join(folder, path), { mode: 0o755 });
    await prepare(folder);
  });

  it.each(below)('when %s is a symbolic link, and nothing is made behind it', async (path) => {
    await rm(join(folder, path), { recursive: true });
    await mkdir(join(folder, 'theirs'));
    for (const target of ['theirs', 'nothing']) {
      await symlink(join(folder, target), join(folder, path));
      await expect(prepare(folder)).rejects.toMatchObject(refusal(path, 'a symbolic link'));
      await rm(join(folder, path));
    }
    expect(await readdir(join(folder, 'theirs'))).toEqual([]);
    expect(await readdir(folder)).not.toContain('nothing');
    await prepare(folder);
  });

  it.each(below)('when %s may be written to by the group or by all', async (path) => {
    for (const mode of [0o770, 0o702, 0o1777]) {
      await chmod(join(folder, path), mode);
      await expect(prepare(folder)).rejects.toMatchObject(refusal(path, `mode 0${mode.toString(8)}`));
    }
    await chmod(join(folder, path), 0o755);
    await prepare(folder);
  });

  it('when it is of another user', async () => {
    if (process.geteuid?.() !== 0) {
      orSay(false, 'a folder of another user');
      return;
    }
    for (const path of below) {
      await chown(join(folder, path), 65_534, 0);
      await expect(prepare(folder)).rejects.toMatchObject(refusal(path, 'one of uid 65534'));
      await chown(join(folder, path), 0, 0);
    }
    await prepare(folder);
  });
});

describe('a file system that several hosts may share', () => {
  it('is known by its type, also where the type is given as a negative number', () => {
    expect([0x6969, 0xff534d42, 0xff534d42 | 0, 0x65735546, 0x01021997, 0x6a656a63].map(sharedTypeName)).toEqual(['NFS', 'SMB', 'SMB', 'FUSE', '9p', 'virtiofs']);
  });

  it('is not ext4, xfs, btrfs, tmpfs, overlay or zfs', () => {
    for (const type of [0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x794c7630, 0x2fc12fc1]) expect(sharedTypeName(type)).toBeUndefined();
  });
});

/** Runs `work` on a small file system of its own; false where this process may not mount. */
async function mounted(options: string, work: (path: string) => Promise<void>): Promise<boolean> {
  const path = join(folder, 'mount');
  if (!mountSmallDisk(path, options)) return false;
  try {
    await work(path);
  } finally {
    unmount(path);
  }
  return true;
}

describe('a disk', () => {
  it('that is full refuses a put as certainly not done, keeps what is there, and takes puts again when there is room', async () => {
    const done = await mounted('size=256k', async (path) => {
      const map = await started(join(path, 'sessions'));
      let revision = await map.compareAndSet('k', undefined, { value: 'small', lifetimeMs: 600_000 });
      const files = (await readdir(path, { recursive: true })).sort();
      const large = { value: 'x'.repeat(400_000), lifetimeMs: 600_000 };
      for (const [key, expected] of [['k', revision], ['new', undefined]] as const) {
        const failure = await map.compareAndSet(key, expected, large).catch((error: unknown) => error);
        expect(ClusterError.is(failure, 'CLUSTER_UNAVAILABLE')).toBe(true);
        expect(String(failure)).toMatch(/ENOSPC: no space left on device; nothing was changed$/);
      }
      expect(await map.get('k')).toEqual({ value: 'small', revision });
      expect(await map.get('new')).toBeUndefined();
      // The folder in which the new key would have been stays.
      expect((await readdir(path, { recursive: true })).filter((file) => !/keys\/[0-9a-f]{2}$/.test(file)).sort())
        .toEqual(files.filter((file) => !/keys\/[0-9a-f]{2}$/.test(file)));
      revision = await map.compareAndSet('k', revision, { value: 'small again', lifetimeMs: 600_000 });
      expect(await map.get('k')).toEqual({ value: 'small again', revision });
      await map.stop();
    });
    orSay(done, 'a full disk');
  });

  it('that is read-only is refused at start', async () => {
    const done = await mounted('ro', async (path) => {
      await expect(prepare(join(path, 'sessions'))).rejects.toMatchObject({ code: 'CLUSTER_BAD_OPTION', message: expect.stringContaining('found a read-only file system') });
    });
    orSay(done, 'a read-only disk');
  });

  it('without room for the first files is refused at start as unavailable', async () => {
    const done = await mounted('size=1m,nr_inodes=4', async (path) => {
      await expect(prepare(join(path, 'sessions'))).rejects.toMatchObject({ code: 'CLUSTER_UNAVAILABLE', message: expect.stringContaining('ENOSPC') });
    });
    orSay(done, 'a disk without inodes');
  });
});

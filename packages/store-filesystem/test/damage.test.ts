import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FilesystemMap } from '../src/filesystem-map.js';
import { decodeRecord, encodeRecord } from '../src/record-file.js';
import { firstRevision, folderName, newId, shardOf } from '../src/revision.js';
import { removeFolder, temporaryFolder } from './processes.js';

const key = `shop.s.${'c3'.repeat(32)}`;
const revision = firstRevision(newId(1, () => '0123456789abcdef', 5_000));
const bytes = encodeRecord(key, revision, '{"cart":["€ \u{1f34f}"]}');

describe('the bytes of a record', () => {
  it('are a line that people can read, then the value', () => {
    expect(bytes.toString()).toBe(`cluster-store-filesystem 1 ${bytes.toString().split(' ')[2] ?? ''} 21 ${revision.id}~${revision.id}~- ${key}\n{"cart":["€ \u{1f34f}"]}`);
    expect(decodeRecord(key, 'here', bytes)).toEqual({ revision, value: '{"cart":["€ \u{1f34f}"]}' });
  });

  it('are refused with any one bit turned over', () => {
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const damaged = Buffer.from(bytes);
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(() => decodeRecord(key, 'here', damaged)).toThrow(/^here: /);
    }
  });

  it('are refused when cut off anywhere, and with more behind them', () => {
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeRecord(key, 'here', bytes.subarray(0, length))).toThrow(expect.objectContaining({ code: 'CLUSTER_UNREADABLE' }));
    }
    expect(() => decodeRecord(key, 'here', Buffer.concat([bytes, Buffer.from('\n')]))).toThrow('22 bytes of content instead of 21');
  });

  it('are refused under another key', () => {
    expect(() => decodeRecord(`${key.slice(0, -1)}0`, 'here', bytes)).toThrow('the content of another key');
  });

  it('of another layout are called so', () => {
    const foreign = Buffer.from('cluster-store-filesystem 2 what that layout is like');
    expect(() => decodeRecord(key, 'here', Buffer.concat([foreign, Buffer.from('\n')])))
      .toThrow(expect.objectContaining({ code: 'CLUSTER_FOREIGN_VERSION', message: 'here: expected layout 1, found layout 2' }));
  });
});

describe('a file that cannot be read', () => {
  let directory: string;
  let map: FilesystemMap;
  let held: string;
  const folder = () => join(directory, 'shop/keys', shardOf(key), folderName(key));

  beforeEach(async () => {
    directory = await temporaryFolder();
    map = new FilesystemMap({ directory, allowNetworkMounts: false });
    await map.start({ context: 'shop', instanceId: 'a', receive: () => undefined, listening: () => undefined });
    const created = await map.compareAndSet(key, undefined, { value: 'one', lifetimeMs: 600_000 });
    held = await map.compareAndSet(key, created, { value: 'two', lifetimeMs: 600_000 }) ?? '';
    const slot = (await readdir(folder())).find((name) => name.startsWith('2~')) ?? '';
    await writeFile(join(folder(), slot), 'cluster-store-filesystem 1 half a he');
  });
  afterEach(async () => {
    await map.stop();
    await removeFolder(directory);
  });

  it('is reported by its name, kept, and never taken for absence', async () => {
    const reported = { code: 'CLUSTER_UNREADABLE', message: expect.stringMatching(/\/shop\.s\.(c3){32}\/2~1-.*: found no header of this store$/) };
    await expect(map.get(key)).rejects.toMatchObject(reported);
    await expect(map.compareAndSet(key, undefined, { value: 'three', lifetimeMs: 1 })).rejects.toMatchObject(reported);
    const [kept = ''] = await readdir(join(directory, 'shop/unreadable'));
    expect(kept).toContain(folderName(key));
    expect(await readFile(join(directory, 'shop/unreadable', kept), 'utf8')).toBe('cluster-store-filesystem 1 half a he');
  });

  it('stops no sweep and no listing', async () => {
    await map.compareAndSet('shop.c.over', undefined, { value: 'x', lifetimeMs: -1 });
    expect(await map.sweep(10)).toBe(1);
    const keys = [];
    for await (const each of map.keys()) keys.push(each);
    expect(keys).toEqual([key]);
  });

  it('is healed by the next put of who holds the content', async () => {
    const revision = await map.compareAndSet(key, held, { value: 'three', lifetimeMs: 600_000 });
    expect(await map.get(key)).toEqual({ value: 'three', revision });
  });

  it('can be given up by removing the folder of its key', async () => {
    await rm(folder(), { recursive: true });
    expect(await map.get(key)).toBeUndefined();
    expect(await map.compareAndSet(key, held, { value: 'three', lifetimeMs: 600_000 })).toBeUndefined();
    expect(await map.compareAndSet(key, undefined, { value: 'three', lifetimeMs: 600_000 })).toBeDefined();
  });
});

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import * as promises from 'node:fs/promises';
import { join } from 'node:path';
import { FilesystemMap } from '../src/filesystem-map.js';
import { folderName, shardOf } from '../src/revision.js';
import { steppingDisk } from './children/stepping-disk.js';
import { removeFolder, temporaryFolder } from './processes.js';

// The processes that are killed for real, at the same places, are in in-processes.test.ts; here is what they leave on the disk.

const key = `shop.s.${'5a'.repeat(32)}`;
const keyPath = join('shop/keys', shardOf(key), folderName(key));
const entry = (value: string) => ({ value, lifetimeMs: 600_000 });
let directory: string;
let files: promises.FileHandle[];

const openNoted: typeof promises.open = async (...args) => {
  const file = await promises.open(...args);
  files.push(file);
  return file;
};

beforeEach(async () => {
  directory = await temporaryFolder();
  files = [];
});
afterEach(async () => {
  for (const file of files) await file.close();
  await removeFolder(directory);
});

async function open(instanceId: string, disk?: ReturnType<typeof steppingDisk>): Promise<FilesystemMap> {
  const map = new FilesystemMap({ directory, allowNetworkMounts: false, ...(disk && { disk }) });
  await map.start({ context: 'shop', instanceId, receive: () => undefined, listening: () => undefined });
  return map;
}

/** A writer puts some values, and dies before the given call of the last put. Resolves to how many calls that put had. */
async function dieAt(lastCall: number, putsBefore: number): Promise<number> {
  let calls = -Infinity;
  let died: () => void = () => undefined;
  const death = new Promise<void>((resolve) => { died = resolve; });
  const map = await open('dying', steppingDisk(() => {
    if ((calls += 1) < lastCall) return undefined;
    // What was called before goes on; nothing more is called.
    died();
    return new Promise(() => undefined);
  }, { ...promises, open: openNoted }));
  let revision: string | undefined;
  for (let number = 1; number <= putsBefore; number += 1) revision = await map.compareAndSet(key, revision, entry(`value ${number}`));
  // What the puts left to be done later is no part of the one that is watched.
  await new Promise((resolve) => { setTimeout(resolve, 20); });
  calls = 0;
  const put = map.compareAndSet(key, revision, entry('last value'));
  await Promise.race([death, put]);
  // The kernel closes what a dead process had open; the work that it had begun never ends.
  void map.stop();
  return calls;
}

/** What a writer left that died there; and others can go on with it. */
async function leftAt(call: number, putsBefore: number): Promise<string | undefined> {
  await dieAt(call, putsBefore);
  const map = await open('witness');
  const found = await map.get(key);
  expect([putsBefore === 0 ? undefined : `value ${putsBefore}`, 'last value']).toContain(found?.value);
  let revision = found?.revision;
  for (const value of ['x', 'y', 'z']) {
    revision = await map.compareAndSet(key, revision, entry(value));
    expect(await map.get(key)).toEqual({ value, revision });
  }
  expect(await map.sweep(10)).toBe(0);
  await map.stop();
  expect(await promises.readdir(join(directory, keyPath))).toHaveLength(5);
  return found?.value;
}

async function leftAtEachCall(putsBefore: number): Promise<(string | undefined)[]> {
  const calls = await dieAt(Infinity, putsBefore);
  expect(calls).toBeGreaterThan(9);
  const found = [];
  for (let call = 1; call <= calls; call += 1) {
    await removeFolder(directory);
    found.push(await leftAt(call, putsBefore));
  }
  return found;
}

describe('a writer that dies between any two calls of a put', () => {
  it('leaves the last acknowledged value or the new one, and no torn one', async () => {
    const found = await leftAtEachCall(4);
    expect(found[0]).toBe('value 4');
    expect(found.at(-1)).toBe('last value');
  });

  it('leaves a new key whole or absent', async () => {
    const found = await leftAtEachCall(0);
    expect(found[0]).toBeUndefined();
    expect(found.at(-1)).toBe('last value');
  });
});

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { FilesystemMap } from '../src/filesystem-map.js';
import { folderName, shardOf } from '../src/revision.js';
import { Child, removeFolder, temporaryFolder } from './processes.js';

const key = `shop.s.${'5a'.repeat(32)}`;
const keyPath = join('shop/keys', shardOf(key), folderName(key));
let directory: string;

beforeEach(async () => { directory = await temporaryFolder(); });
afterEach(async () => {
  await Child.killAll();
  await removeFolder(directory);
});

async function open(): Promise<FilesystemMap> {
  const map = new FilesystemMap({ directory, allowNetworkMounts: false });
  await map.start({ context: 'shop', instanceId: 'witness', receive: () => undefined, listening: () => undefined });
  return map;
}

/** Kills a process before the given call of a put, and looks at what it left behind. Resolves to the value found. */
async function killAt(call: number, putsBefore: number): Promise<string | undefined> {
  const child = new Child('put-and-die.ts', directory, key, String(putsBefore), String(call));
  expect(await child.ended).toEqual({ code: null, signal: 'SIGKILL' });
  const acknowledged = child.lines.filter((line) => line.includes('value')).at(-1);
  const map = await open();
  const found = await map.get(key);
  expect([acknowledged, 'last value']).toContain(found?.value);

  let revision = found?.revision;
  for (const value of ['x', 'y', 'z']) {
    revision = await map.compareAndSet(key, revision, { value, lifetimeMs: 600_000 });
    expect(await map.get(key)).toEqual({ value, revision });
  }
  expect(await map.sweep(10)).toBe(0);
  await map.stop();
  expect(await readdir(join(directory, keyPath))).toHaveLength(5);
  return found?.value;
}

async function callsOfOnePut(putsBefore: number): Promise<number> {
  const lines = await new Child('put-and-die.ts', directory, key, String(putsBefore), 'Infinity').success();
  await removeFolder(directory);
  return Number(lines.find((line) => line.startsWith('calls '))?.slice('calls '.length));
}

async function killAtEveryCall(putsBefore: number): Promise<(string | undefined)[]> {
  const calls = await callsOfOnePut(putsBefore);
  expect(calls).toBeGreaterThan(9);
  const found = [];
  for (let call = 1; call <= calls; call++) {
    found.push(await killAt(call, putsBefore));
    await removeFolder(directory);
  }
  return found;
}

describe('kill -9 between any two calls of a put', () => {
  it('leaves the last acknowledged value or the new one, and no torn one', async () => {
    const found = await killAtEveryCall(4);
    expect(found[0]).toBe('value 4');
    expect(found.at(-1)).toBe('last value');
  }, 120_000);

  it('leaves a new key whole or absent', async () => {
    const found = await killAtEveryCall(0);
    expect(found[0]).toBeUndefined();
    expect(found.at(-1)).toBe('last value');
  }, 120_000);
});

describe('four processes with 300 increments each', () => {
  it('lose none', async () => {
    const children = ['a', 'b', 'c', 'd'].map((instanceId) => new Child('increment.ts', directory, instanceId, key, '300'));
    const counts = (await Promise.all(children.map((child) => child.success())))
      .map((lines) => JSON.parse(lines[0] ?? '') as { done: number; unknown: number }); // printed by increment.ts
    const done = counts.reduce((sum, count) => sum + count.done, 0);
    const unknown = counts.reduce((sum, count) => sum + count.unknown, 0);
    expect(done + unknown).toBe(1_200);
    const map = await open();
    const total = Number((await map.get(key))?.value);
    await map.stop();
    expect(total).toBeGreaterThanOrEqual(done);
    expect(total).toBeLessThanOrEqual(done + unknown);
  }, 120_000);
});

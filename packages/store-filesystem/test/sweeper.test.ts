import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdir, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Clock, type ManualClock } from '@cluster/core/driver';
import { FilesystemMap } from '../src/filesystem-map.js';
import { shardOf } from '../src/revision.js';
import { Child, removeFolder, temporaryFolder } from './processes.js';

let directory: string;
let clock: ManualClock;
let maps: FilesystemMap[];

beforeEach(async () => {
  directory = await temporaryFolder();
  clock = Clock.manual();
  maps = [];
});
afterEach(async () => {
  await Child.killAll();
  await Promise.all(maps.map((map) => map.stop()));
  await removeFolder(directory);
});

async function open(instanceId: string): Promise<FilesystemMap> {
  const map = new FilesystemMap({ directory, allowNetworkMounts: false, clock });
  maps.push(map);
  await map.start({ context: 'shop', instanceId, receive: () => undefined, listening: () => undefined });
  return map;
}

async function filesBelow(folder: string): Promise<number> {
  // A folder may go while it is read.
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => undefined);
  return entries?.filter((entry) => entry.isFile()).length ?? Infinity;
}

/** Sweeps with every map until nothing is left to do; the disk answers in real time. */
async function sweepAll(): Promise<number> {
  let swept = 0;
  for (const map of maps) swept += await map.sweep(1_000);
  return swept;
}

const put = (map: FilesystemMap, key: string, lifetimeMs: number) => map.compareAndSet(key, undefined, { value: key, lifetimeMs });
const keyFiles = () => filesBelow(join(directory, 'shop/keys'));
const names = async (map: FilesystemMap) => {
  const keys = [];
  for await (const key of map.keys()) keys.push(key);
  return keys.sort();
};

describe('expiry', () => {
  it('is to the millisecond of the wall clock, for who expects something and who expects nothing', async () => {
    const map = await open('a');
    const first = await put(map, 'k', 1_000);
    await clock.advance(999);
    expect(await map.get('k')).toEqual({ value: 'k', revision: first });
    expect(await put(map, 'k', 1_000)).toBeUndefined();
    await clock.advance(1);
    expect(await map.get('k')).toBeUndefined();
    expect(await map.compareAndSet('k', first, { value: 'late', lifetimeMs: 1_000 })).toBeUndefined();
    expect(await names(map)).toEqual([]);
    const again = await put(map, 'k', 1_000);
    expect(again).toBeDefined();
    expect(await map.compareAndSet('k', first, { value: 'late', lifetimeMs: 1_000 })).toBeUndefined();
    expect(await map.get('k')).toEqual({ value: 'k', revision: again });
  });
});

describe('sweeping', () => {
  it('removes what expired, folders too, and nothing that lives', async () => {
    const map = await open('a');
    for (let index = 0; index < 20; index++) await put(map, `dies.${index}`, 1_000);
    await put(map, 'lives', 10_000_000);
    const folders = async () => {
      const shards = await readdir(join(directory, 'shop/keys'));
      return (await Promise.all(shards.map((shard) => readdir(join(directory, 'shop/keys', shard))))).flat();
    };
    expect(await folders()).toHaveLength(21);
    expect(await sweepAll()).toBe(0);
    await clock.advance(1_000);
    expect(await sweepAll()).toBe(20);
    expect(await folders()).toEqual(['lives']);
    expect(await names(map)).toEqual(['lives']);
  });

  it('goes on where its limit stopped it', async () => {
    const map = await open('a');
    for (let index = 0; index < 7; index++) await put(map, `dies.${index}`, 1_000);
    await clock.advance(1_000);
    expect([await map.sweep(3), await map.sweep(3), await map.sweep(3)]).toEqual([3, 3, 1]);
  });

  it('goes on behind what it looked at last, though that is still there', async () => {
    const map = await open('a');
    const sorted = Array.from({ length: 6 }, (_, index) => `dies.${index}`)
      .sort((a, b) => `${shardOf(a)}/${a}`.localeCompare(`${shardOf(b)}/${b}`));
    for (const key of sorted) await put(map, key, 1_000);
    await clock.advance(1_000);
    expect(await map.sweep(2)).toBe(2);
    // A key before the place where it stopped comes last.
    const first = sorted[0] ?? '';
    await put(map, first, 1_000);
    await clock.advance(1_000);
    expect(await map.sweep(4)).toBe(4);
    expect((await readdir(join(directory, 'shop/keys', shardOf(first)))).filter((name) => name.startsWith('dies.'))).toEqual([first]);
    expect(await map.sweep(4)).toBe(1);
  });

  it('passes over what the store did not put among its keys', async () => {
    const map = await open('a');
    for (let index = 0; index < 40; index++) await put(map, `dies.${index}`, 1_000);
    await put(map, 'lives', 10_000_000);
    const keys = join(directory, 'shop/keys');
    const shard = join(keys, shardOf('lives'));
    await writeFile(join(keys, '.DS_Store'), 'x');
    await writeFile(join(shard, '.DS_Store'), 'x');
    for (const foreign of [join(keys, 'lost+found'), join(shard, 'lives~zz'), join(shard, 'another.shard')]) {
      await mkdir(foreign);
      await writeFile(join(foreign, 'x'), 'x');
    }
    await clock.advance(1_000);
    expect([await map.sweep(1_000), await map.sweep(1_000)]).toEqual([40, 0]);
    expect(await names(map)).toEqual(['lives']);
    expect((await readdir(shard)).sort()).toEqual(['.DS_Store', 'another.shard', 'lives', 'lives~zz']);
  });

  it('goes on with the other keys when one fails, and says so in the end', async () => {
    const map = await open('a');
    for (let index = 0; index < 40; index++) await put(map, `dies.${index}`, 1_000);
    await put(map, 'lives', 10_000_000);
    // No folder, and so an error in any attempt to list it.
    const blocked = join(directory, 'shop/keys', shardOf('blocked'), 'blocked');
    await mkdir(join(blocked, '..'), { recursive: true });
    await writeFile(blocked, 'x');
    await clock.advance(1_000);
    const told = expect.objectContaining({ code: 'CLUSTER_UNAVAILABLE', message: expect.stringContaining('ENOTDIR') });
    expect(await map.sweep(30)).toBe(30);
    await expect(map.sweep(30)).rejects.toEqual(told);
    expect(await readdir(join(directory, 'shop/keys'), { recursive: true })).not.toContainEqual(expect.stringContaining('dies.'));
    const seen: string[] = [];
    await expect((async () => { for await (const key of map.keys()) seen.push(key); })()).rejects.toEqual(told);
    expect(seen).toEqual(['lives']);
    await rm(blocked);
    expect(await map.sweep(30)).toBe(0);
  });

  it('is done by one instance, and by another one once that has stopped or is silent for three rounds', async () => {
    const [a, b] = [await open('a'), await open('b')];
    await put(a, 'first', 1_000);
    await clock.advance(1_000);
    expect(await a.sweep(1_000)).toBe(1);
    await put(a, 'second', 1_000);
    await clock.advance(1_000);
    expect([await b.sweep(1_000), await a.sweep(1_000)]).toEqual([0, 1]);
    await put(a, 'third', 1_000);
    await clock.advance(179_999);
    expect(await b.sweep(1_000)).toBe(0);
    await clock.advance(1);
    expect(await b.sweep(1_000)).toBe(1);
    await put(a, 'fourth', 1_000);
    await b.stop();
    await clock.advance(1_000);
    expect(await a.sweep(1_000)).toBe(1);
  });

  it('removes first revisions whose writer died, no younger ones, and sockets that never listened', async () => {
    await open('a');
    const making = join(directory, 'shop/making');
    const old = new Date(clock.wallMs() - 700_000);
    for (const name of ['old', 'young']) await mkdir(join(making, name));
    await writeFile(join(making, 'old/body'), 'x');
    await writeFile(join(directory, 'shop/sockets/.draft'), '');
    for (const path of [join(making, 'old'), join(directory, 'shop/sockets/.draft')]) await utimes(path, old, old);
    await sweepAll();
    expect(await readdir(making)).toEqual(['young']);
    expect(await readdir(join(directory, 'shop/sockets'))).toHaveLength(1);
  });
});

describe('when the sweeping process is killed', () => {
  it('another one takes over when it sweeps next', async () => {
    clock = Clock.manual(Date.now());
    const leader = new Child('instance.ts', directory, 'leader');
    await leader.line('ready');
    const map = await open('b');
    await put(map, 'first', 1);
    const real = async (is: () => Promise<boolean>) => {
      for (let wait = 0; wait < 400 && !(await is()); wait++) await new Promise((resolve) => { setTimeout(resolve, 10); });
      expect(await is()).toBe(true);
    };
    await real(async () => await keyFiles() === 0);
    leader.kill('SIGKILL');
    await leader.ended;
    // By this clock the leader's claim lasts for a minute more.
    clock.jumpWall(-60_000);
    await put(map, 'second', 1);
    await clock.advance(1);
    expect(await map.sweep(1_000)).toBe(1);
  }, 30_000);
});

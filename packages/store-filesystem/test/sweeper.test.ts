import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Clock, type ManualClock } from '@cluster/core/driver';
import { FilesystemMap } from '../src/filesystem-map.js';
import { Child, removeFolder, temporaryFolder } from './processes.js';

const INTERVAL_MS = 10_000;
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
  const map = new FilesystemMap({ directory, sweepIntervalMs: INTERVAL_MS, allowNetworkMounts: false, clock });
  maps.push(map);
  await map.start({ context: 'shop', instanceId, receive: () => undefined, listening: () => undefined });
  return map;
}

async function filesBelow(folder: string): Promise<number> {
  // A folder may go while it is read.
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => undefined);
  return entries?.filter((entry) => entry.isFile()).length ?? Infinity;
}

/** Lets rounds come due until `is` holds; the disk answers in real time. */
async function until(is: () => Promise<boolean>, stepMs = INTERVAL_MS / 4): Promise<void> {
  for (let step = 0; step < 400; step++) {
    if (await is()) return;
    await clock.advance(stepMs);
    await new Promise((resolve) => { setTimeout(resolve, 5); });
  }
  throw new Error('not within 400 steps');
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
  it('comes by itself, removes what expired, folders too, and nothing that lives', async () => {
    const map = await open('a');
    for (let index = 0; index < 20; index++) await put(map, `dies.${index}`, 1_000);
    await put(map, 'lives', 10_000_000);
    const folders = async () => {
      const shards = await readdir(join(directory, 'shop/keys'));
      return (await Promise.all(shards.map((shard) => readdir(join(directory, 'shop/keys', shard))))).flat();
    };
    expect(await folders()).toHaveLength(21);
    await until(async () => (await folders()).length === 1);
    expect(await folders()).toEqual(['lives']);
    expect(await names(map)).toEqual(['lives']);
  });

  it('goes on where its limit stopped it', async () => {
    const map = await open('a');
    for (let index = 0; index < 7; index++) await put(map, `dies.${index}`, 1_000);
    await clock.advance(1_000);
    expect([await map.sweep(3), await map.sweep(3), await map.sweep(3)]).toEqual([3, 3, 1]);
  });

  it('is done by one instance, and by another one once that is silent for three rounds', async () => {
    const a = await open('a');
    await put(a, 'first', 1_000);
    await until(async () => await keyFiles() === 0);
    const b = await open('b');
    await a.stop();
    await put(b, 'second', 1_000);
    await until(async () => await keyFiles() === 0);
  });

  it('removes first revisions whose writer died, no younger ones, and sockets that never listened', async () => {
    await open('a');
    const making = join(directory, 'shop/making');
    const old = new Date(clock.wallMs() - 700_000);
    for (const name of ['old', 'young']) await mkdir(join(making, name));
    await writeFile(join(making, 'old/body'), 'x');
    await writeFile(join(directory, 'shop/sockets/.draft'), '');
    for (const path of [join(making, 'old'), join(directory, 'shop/sockets/.draft')]) await utimes(path, old, old);
    await until(async () => (await readdir(making)).length === 1);
    expect(await readdir(making)).toEqual(['young']);
    await until(async () => (await readdir(join(directory, 'shop/sockets'))).length === 1);
  });
});

describe('when the sweeping process is killed', () => {
  it('another one takes over at its next round', async () => {
    clock = Clock.manual(Date.now());
    const leader = new Child('instance.ts', directory, 'leader', '50');
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
    await clock.advance(INTERVAL_MS * 1.25);
    await real(async () => await keyFiles() === 0);
  }, 30_000);
});

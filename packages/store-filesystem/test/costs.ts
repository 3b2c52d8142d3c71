// What the store costs on a disk, in ms: node --conditions=@cluster/source --import ./scripts/ts-register.mjs packages/store-filesystem/test/costs.ts [directory]
import * as promises from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FilesystemMap } from '../src/filesystem-map.js';
import type { Disk } from '../src/key-folder.js';

const ROUNDS = 500;
const VALUE = 'x'.repeat(2_048);
const entry = { value: VALUE, lifetimeMs: 3_600_000 };
const key = (number: number) => `costs.s.${number.toString(16).padStart(64, '0')}`;

async function measured(name: string, step: (round: number) => Promise<unknown>, rounds = ROUNDS): Promise<void> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const began = performance.now();
    await step(round);
    times.push(performance.now() - began);
  }
  times.sort((a, b) => a - b);
  const at = (share: number) => (times[Math.floor(rounds * share)] ?? 0).toFixed(3).padStart(8);
  console.log(`${name.padEnd(52)} p50 ${at(0.5)}   p99 ${at(0.99)}`);
}

/** The disk without syncing, to show what syncing costs; a store never runs on it. */
const unsynced: Disk = {
  ...promises,
  open: async (...args) => Object.assign(await promises.open(...args), { datasync: () => Promise.resolve(), sync: () => Promise.resolve() }),
};

async function costsOf(title: string, directory: string, disk: Disk): Promise<void> {
  console.log(title);
  const map = new FilesystemMap({ directory, allowNetworkMounts: false, disk });
  await map.start({ context: 'costs', instanceId: 'a', receive: () => undefined, listening: () => undefined });
  await measured('  first revision of a key', (round) => map.compareAndSet(key(round), undefined, entry));
  let revision = await map.compareAndSet(key(ROUNDS), undefined, entry);
  await measured('  next revision, the present one known', async () => { revision = await map.compareAndSet(key(ROUNDS), revision, entry); });
  await measured('  get', () => map.get(key(ROUNDS)));
  const began = performance.now();
  const revisions = await Promise.all(Array.from({ length: ROUNDS }, (_, round) => map.get(key(round))));
  await Promise.all(revisions.map((found, round) => map.compareAndSet(key(round), found?.revision, entry)));
  console.log(`  get and next revision of ${ROUNDS} keys at once, per key    ${((performance.now() - began) / ROUNDS).toFixed(3)}`);
  await measured('  signal to itself', () => map.signal('a', 'x'.repeat(200)));
  await measured(`  sweep of ${ROUNDS + 1} keys that live`, () => map.sweep(1_000), 5);
  await map.stop();
}

async function main(): Promise<void> {
  const directory = await promises.mkdtemp(join(process.argv[2] ?? tmpdir(), 'costs-'));
  try {
    console.log(`Values of ${VALUE.length} bytes, one call at a time, ${ROUNDS} of each, ms.`);
    await costsOf('As it is', join(directory, 'synced'), promises);
    await costsOf('Without fdatasync and fsync', join(directory, 'unsynced'), unsynced);
  } finally {
    await promises.rm(directory, { recursive: true });
  }
}

void main();

import { describe, expect, it } from '@jest/globals';
import { basename, dirname } from 'node:path';
import { ClusterError } from '@cluster/core';
import { KeyFolder, type Volume } from '../src/key-folder.js';
import { expiresMsOf, parseSlot, slotName, type Revision } from '../src/revision.js';
import { MemoryDisk, randomFrom, Scheduler } from './scheduled-disk.js';

/** Enough for each kind of outcome to come up often; `CLUSTER_SEEDS=20000` for a long run. */
const SEEDS = Number(process.env['CLUSTER_SEEDS'] ?? 300);
const KEY_PATH = '/store/keys/00/shop';
const LIFETIMES_MS = [30, 400, 1_000_000];

/** Which content the key has, as decided by the links and renames that took effect; `undefined`: none. */
class Truth {
  readonly history: { step: number; id: string | undefined }[] = [{ step: 0, id: undefined }];
  readonly slotOf = new Map<string, string>();

  get id(): string | undefined { return this.history.at(-1)?.id; }

  record(step: number, what: 'link' | 'rename', from: string, to: string): void {
    if (what === 'rename' && to === KEY_PATH) {
      expect(this.id).toBeUndefined();
      this.#put(step, basename(from), 1, basename(from));
    }
    const slot = dirname(to) === KEY_PATH ? parseSlot(basename(to)) : undefined;
    if (what === 'link' && slot !== undefined && slot.base === this.id) {
      this.#put(step, basename(from) === slot.base ? undefined : basename(from), slot.number, slot.base);
    }
  }

  #put(step: number, id: string | undefined, number: number, base: string): void {
    this.history.push({ step, id });
    if (id !== undefined) this.slotOf.set(id, slotName(number, base));
  }

  /** All contents that the key had at some time between the two steps. */
  during(from: number, to: number): (string | undefined)[] {
    return this.history.filter(({ step }, index) => step <= to && (this.history[index + 1]?.step ?? Infinity) >= from).map(({ id }) => id);
  }
}

interface Tally { put: number; conflict: number; unknown: number; read: number; absent: number; created: number; deleted: number }
type Lie = 'none' | 'base is always there' | 'slot of the base instead of its body';

/** One run of writers, readers and sweepers on one key, each step chosen by the seed. Throws where a promise is broken. */
async function run(seed: number, tally: Tally, lie: Lie = 'none'): Promise<void> {
  const random = randomFrom(seed);
  const truth = new Truth();
  let now = 1_000_000;
  let drawn = 0;
  const scheduler = new Scheduler(random, () => { now += Math.floor(random() * 12); });
  const disk = new MemoryDisk((what, from, to) => { truth.record(scheduler.step, what, from, to); });
  disk.folders.set('/store/making', new Map()).set('/store/keys/00', new Map());
  const lies = (path: string) => lie === 'base is always there'
    || disk.folders.get(KEY_PATH)?.has(truth.slotOf.get(basename(path)) ?? '') === true;
  const lastDrawn = new Map<string, string>();
  const folderOf = (actor: string) => {
    const draw = () => {
      const digits = (++drawn).toString(16).padStart(16, '0');
      lastDrawn.set(actor, digits);
      return digits;
    };
    const volume: Volume = {
      disk: disk.for(actor, scheduler, lie === 'none' ? {} : { access: lies }), making: '/store/making', unreadable: '/store/unreadable', settled: new Set(['/store/keys/00']),
      wallMs: () => now, randomHex: draw, later: (work) => { void work.catch(() => undefined); },
    };
    return new KeyFolder(volume, KEY_PATH, 'shop');
  };

  async function put(actor: string, folder: KeyFolder, value: string, before: Revision | undefined): Promise<Revision | undefined> {
    const lifetimeMs = LIFETIMES_MS[Math.floor(random() * LIFETIMES_MS.length)] ?? 0;
    const revision = before === undefined ? await folder.create(value, now + lifetimeMs) : await folder.append(before, value, now + lifetimeMs);
    if (revision === undefined) {
      tally.conflict++;
      expect([...truth.slotOf.keys()].filter((id) => id.includes(`-${lastDrawn.get(actor)}.`))).toEqual([]);
    } else {
      tally.put++;
      if (before === undefined) tally.created++;
      expect([...truth.slotOf.keys()]).toContain(revision.id);
    }
    return revision;
  }

  async function write(actor: string, rounds: number): Promise<void> {
    const folder = folderOf(actor);
    let held: Revision | undefined;
    for (let round = 0; round < rounds; round++) {
      try {
        held ??= (await folder.newest()).record?.revision;
        held = await put(actor, folder, `${actor}${round}`, held);
      } catch (error) {
        if (!ClusterError.is(error, 'CLUSTER_UNKNOWN_OUTCOME')) throw error;
        tally.unknown++;
        held = undefined;
      }
    }
  }

  async function read(actor: string, rounds: number): Promise<void> {
    const folder = folderOf(actor);
    for (let round = 0; round < rounds; round++) {
      const began = scheduler.step;
      const { record } = await folder.newest();
      expect(truth.during(began, scheduler.step)).toContain(record?.revision.id);
      tally[record === undefined ? 'absent' : 'read']++;
    }
  }

  async function sweep(actor: string, rounds: number): Promise<void> {
    const folder = folderOf(actor);
    for (let round = 0; round < rounds; round++) if (await folder.sweep()) tally.deleted++;
  }

  await scheduler.run([write('a', 9), write('b', 9), write('c', 9), read('r', 15), sweep('s', 25), sweep('t', 25)]);
  for (const [index, { id }] of truth.history.entries()) {
    const next = truth.history[index + 1];
    // Only what had expired was deleted.
    if (id !== undefined && next !== undefined && next.id === undefined) expect(expiresMsOf(id)).toBeLessThanOrEqual(now);
  }
  await scheduler.run([folderOf('end').newest().then(({ record }) => { expect(record?.revision.id).toBe(truth.id); })]);
}

const emptyTally = (): Tally => ({ put: 0, conflict: 0, unknown: 0, read: 0, absent: 0, created: 0, deleted: 0 });

/** The first seed whose run breaks a promise. */
async function firstBroken(lie: Lie, seeds: number): Promise<number | undefined> {
  for (let seed = 1; seed <= seeds; seed++) {
    try {
      await run(seed, emptyTally(), lie);
    } catch {
      return seed;
    }
  }
  return undefined;
}

describe('writers, readers and sweepers of one key, interleaved call by call', () => {
  it('acknowledge nothing that did not happen, read nothing that was not there, delete nothing that lives', async () => {
    const tally = emptyTally();
    for (let seed = 1; seed <= SEEDS; seed++) await run(seed, tally).catch((error: unknown) => { throw new Error(`seed ${seed}`, { cause: error }); });
    if (process.env['CLUSTER_SEEDS']) console.log(JSON.stringify(tally));
    for (const count of Object.values(tally)) expect(count).toBeGreaterThan(20);
  }, 120_000);

  it('would be caught if a slow linker did not look whether its base is there', async () => {
    expect(await firstBroken('base is always there', 400)).toBeDefined();
  }, 120_000);

  it('would be caught if it looked for the slot of its base, which another slow linker may have made again', async () => {
    expect(await firstBroken('slot of the base instead of its body', 3_000)).toBeDefined();
  }, 120_000);
});

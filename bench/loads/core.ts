import { Child } from '../child.js';
import type { Question as HeapQuestion } from '../core/heap-process.js';
import type { Question as ScaleQuestion } from '../core/scale-process.js';
import { uses, type Use } from '../core/turns.js';
import { median, Report, spread } from '../report.js';

const ROUNDS = 9;
const WARM = 3;
const TURNS = 10_000;
const SCALE_TURNS = 4_000;
const SIZES = [1_000, 10_000, 100_000, 1_000_000];
const WORKING_SET = 1_000;
const SESSIONS = 100_000;
const ALLOCATING = 5_000;
const affinities = [['held', 'keep'], ['released', 'release']] as const;

const file = (name: string) => new URL(`../core/${name}-process.ts`, import.meta.url);

interface Row { readonly name: string; readonly place: string; readonly use: Use; readonly among?: number }

const ROWS: readonly Row[] = uses.flatMap((use) => affinities.map(([place]) => ({ name: `${place}, ${use}`, place, use })));
const IN_SET: readonly Row[] = affinities.map(([place]) => ({ name: `${place}, ${uses[0]}, working set`, place, use: uses[0], among: WORKING_SET }));

/** µs of CPU per turn, by row. */
type Taken = Map<string, number[]>;

async function start(...args: readonly number[]): Promise<ReadonlyMap<string, Child>> {
  const started = affinities.map(async ([place, affinity]) => [place, await Child.start(file('scale'), [affinity, ...args.map(String)], ['--max-old-space-size=6144'])] as const);
  return new Map(await Promise.all(started));
}

const ask = <T>(child: Child | undefined, question: ScaleQuestion) => child?.ask<T>(question) ?? Promise.reject(new Error('expected a process'));

/** At one size: rounds of every row. */
async function measure(children: ReadonlyMap<string, Child>, sessions: number, rows: readonly Row[], turns: number, rounds: number): Promise<Taken> {
  const held = await Promise.all([...children.values()].map((child) => ask<number>(child, { grow: sessions })));
  if (held[0] !== sessions || held[1] !== 0) throw new Error(`expected ${sessions} held sessions in one place and none in the other, found ${held.join(' and ')}`);
  const taken: Taken = new Map(rows.map(({ name }) => [name, []]));
  for (let round = -WARM; round < rounds; round += 1) {
    for (const { name, place, use, among } of rows) {
      const us = await ask<number>(children.get(place), { use, turns, ...(among === undefined ? {} : { among }) });
      if (round >= 0) taken.get(name)?.push(us);
    }
  }
  return taken;
}

async function stop(children: ReadonlyMap<string, Child>): Promise<void> {
  await Promise.all([...children.values()].map(async (child) => {
    const [written, found] = await ask<[number, number]>(child, 'check');
    if (written !== found) throw new Error(`${written} writes were acknowledged, found ${found}`);
    await child.stop();
  }));
}

async function turns(report: Report, rounds: number): Promise<void> {
  const children = await start(900);
  const taken = await measure(children, WORKING_SET, ROWS, TURNS, rounds);
  await stop(children);
  const [first] = ROWS;
  report.table(['1,000 sessions of 1 KB, memory store', 'µs per turn', 'spread', 'bound'], [...taken].map(([name, us]) => [
    name, median(us).toFixed(1), spread(us), name === first?.name ? report.bound(median(us), 3) : '',
  ]));
}

async function scale(report: Report, rounds: number): Promise<void> {
  const children = await start(0, Math.max(...SIZES));
  const bySize: Taken[] = [];
  const rows = [...ROWS, ...IN_SET];
  for (const size of SIZES) bySize.push(await measure(children, size, rows, SCALE_TURNS, rounds));
  await stop(children);
  report.table(["small sessions, the store's records outside of the heap", ...SIZES.map((size) => size.toLocaleString('en'))], rows.map(({ name }) => [
    `${name}, µs`, ...bySize.map((taken) => median(taken.get(name) ?? []).toFixed(1)),
  ]));
}

async function heap(report: Report): Promise<void> {
  const ask = async <T>(question: HeapQuestion, ...options: string[]) => {
    const child = await Child.start(file('heap'), [String(question === 'per session' ? SESSIONS : 1_000)], ['--expose-gc', ...options]);
    try {
      return await child.ask<T>(question);
    } finally {
      await child.stop();
    }
  };
  const { heap: bytes, content } = await ask<{ heap: number; content: number }>('per session');
  const rows = [[`heap per idle-held session, of which ${content.toFixed(0)} are content`, bytes.toFixed(0), report.bound(bytes, 2_500, 0)]];
  for (const [place, affinity] of affinities) {
    for (const use of uses) {
      const allocated = await ask<number>({ affinity, use, turns: ALLOCATING }, '--max-semi-space-size=512', '--min-semi-space-size=512');
      rows.push([`allocated per turn: ${place}, ${use}`, allocated.toFixed(0), '']);
    }
  }
  report.table([`${SESSIONS.toLocaleString('en')} sessions of 1 KB, the store's records outside of the heap`, 'bytes', 'bound'], rows);
}

/** In one process: CPU time of find + send on the memory store, its growth with the number of sessions, and what stays on the heap. */
export async function core([count = String(ROUNDS)]: readonly string[], writes: boolean): Promise<boolean> {
  const report = new Report('core', `${count} interleaved rounds of ${TURNS.toLocaleString('en')} turns per row (second table: ${SCALE_TURNS.toLocaleString('en')}) after ${WARM} to warm up, CPU time of the process; held: affinity 'keep', released: 'release'`);
  await turns(report, Number(count));
  await scale(report, Number(count));
  await heap(report);
  report.line('At the end of each table of turns the sum of all counters was the number of acknowledged changes.');
  if (writes) report.write();
  return report.met;
}

import { Child } from '../child.js';
import type { Question as HeapQuestion } from '../core/heap-process.js';
import type { Question as ScaleQuestion } from '../core/scale-process.js';
import { uses } from '../core/turns.js';
import { median, Report, spread } from '../report.js';

const ROUNDS = 9;
const WARM = 3;
const TURNS = 10_000;
const SIZES = [1_000, 10_000, 100_000, 1_000_000];
const SESSIONS = 100_000;
const ALLOCATING = 5_000;
const affinities = [['held', 'keep'], ['released', 'release']] as const;

const file = (name: string) => new URL(`../core/${name}-process.ts`, import.meta.url);

/** µs of CPU per turn, by place and use. */
type Taken = Map<string, number[]>;

async function scales(text: number): Promise<ReadonlyMap<string, Child>> {
  const started = affinities.map(async ([place, affinity]) => [place, await Child.start(file('scale'), [affinity, String(text)], ['--max-old-space-size=6144'])] as const);
  return new Map(await Promise.all(started));
}

const ask = <T>(child: Child, question: ScaleQuestion) => child.ask<T>(question);

/** At one size: rounds of each use, in both places by turns. */
async function measure(children: ReadonlyMap<string, Child>, sessions: number, rounds: number): Promise<Taken> {
  const held = await Promise.all([...children.values()].map((child) => ask<number>(child, { grow: sessions })));
  if (held[0] !== sessions || held[1] !== 0) throw new Error(`expected ${sessions} held sessions in one place and none in the other, found ${held.join(' and ')}`);
  const taken: Taken = new Map();
  for (let round = -WARM; round < rounds; round += 1) {
    for (const use of uses) {
      for (const [place, child] of children) {
        const us = await ask<number>(child, { use, turns: TURNS });
        const name = `${place}, ${use}`;
        if (round >= 0) taken.set(name, [...taken.get(name) ?? [], us]);
      }
    }
  }
  return taken;
}

async function stop(children: ReadonlyMap<string, Child>): Promise<void> {
  for (const child of children.values()) {
    const [written, found] = await ask<[number, number]>(child, 'check');
    if (written !== found) throw new Error(`${written} writes were acknowledged, found ${found}`);
    await child.stop();
  }
}

async function turns(report: Report, rounds: number): Promise<void> {
  const children = await scales(900);
  const taken = await measure(children, 1_000, rounds);
  await stop(children);
  const most = 'held, find + send, unchanged';
  report.table(['1,000 sessions of 1 KB, memory store', 'µs per turn', 'spread', 'bound'], [...taken].map(([name, us]) => [
    name, median(us).toFixed(1), spread(us), name === most ? report.bound(median(us), 3) : '',
  ]));
}

async function scale(report: Report, rounds: number): Promise<void> {
  const children = await scales(0);
  const bySize: [number, Taken][] = [];
  for (const size of SIZES) bySize.push([size, await measure(children, size, rounds)]);
  await stop(children);
  const names = [...bySize[0]?.[1].keys() ?? []];
  report.table(['µs per turn by number of sessions', ...SIZES.map((size) => size.toLocaleString('en'))], names.map((name) => [
    name, ...bySize.map(([, taken]) => median(taken.get(name) ?? []).toFixed(1)),
  ]));
  const spreads = bySize.flatMap(([, taken]) => [...taken.values()]).map((us) => Math.max(...us) / median(us));
  report.line(`Small sessions, drawn at random. No round took more than ${Math.max(...spreads).toFixed(1)} times the median of its place in the table.`);
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
  const report = new Report('core', `${count} interleaved rounds of ${TURNS} turns per row after ${WARM} to warm up, CPU time of the process; held: affinity 'keep', released: 'release'`);
  await turns(report, Number(count));
  await scale(report, Number(count));
  await heap(report);
  report.line('At the end of each table of turns the sum of all counters was the number of acknowledged changes.');
  if (writes) report.write();
  return report.met;
}

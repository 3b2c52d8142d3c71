import { Child } from '../child.js';
import type { Question } from '../core/passivation-process.js';
import { Report } from '../report.js';

const SESSIONS = 1_000_000;
const BOUND = 10_000;
const PARTS = 5;
// Requests under way, and what is being given back.
const IN_FLIGHT = 100;
// Code that was compiled, tables that grew to the size they need.
const SLACK_BYTES = 4 * 1_048_576;

/** A million sessions over one instance that keeps ten thousand in memory: all are found again, and nothing grows. */
export async function passivation([count = String(SESSIONS)]: readonly string[], writes: boolean): Promise<boolean> {
  const total = Number(count);
  const report = new Report('passivation', `${total.toLocaleString('en')} sessions over one instance with maxInMemory { sessions: ${BOUND.toLocaleString('en')} }, affinity 'keep'; `
    + "the store's records and the ids are outside of the heap");
  const child = await Child.start(new URL('../core/passivation-process.ts', import.meta.url), [count, String(BOUND)], ['--expose-gc']);
  const ask = <T>(question: Question) => child.ask<T>(question);
  const rows: string[][] = [];
  try {
    const heaps: number[] = [];
    for (const phase of ['create', 'find'] as const) {
      for (let part = 0; part < PARTS; part += 1) {
        const [from, to] = [Math.floor(part * total / PARTS), Math.floor((part + 1) * total / PARTS)];
        const us = await ask<number>(phase === 'create' ? { create: [from, to] } : { find: [from, to] });
        const heap = await ask<number>('heap');
        heaps.push(heap);
        const what = phase === 'create' ? 'made, one given back for each' : 'found and sent, one given back for each, every tenth changed';
        rows.push([`${from.toLocaleString('en')} to ${to.toLocaleString('en')} ${what}`, us.toFixed(1), (heap / 1_048_576).toFixed(1)]);
      }
    }
    report.table(['sessions', 'µs of CPU for each', 'heap after, MiB'], rows);
    const most = await ask<number>('most in memory');
    const { changed, unchanged, locked } = await ask<{ changed: number; unchanged: number; locked: number }>('stored');
    const [first = 0] = heaps;
    const grown = Math.max(...heaps) - first;
    report.line(`Most slots in memory: ${most.toLocaleString('en')} (${report.bound(most, BOUND + IN_FLIGHT, 0)}).`);
    report.line(`Growth of the heap after the first part, MiB: ${(grown / 1_048_576).toFixed(1)} (${report.bound(grown / 1_048_576, SLACK_BYTES / 1_048_576)}).`);
    report.line(`In the store: ${changed.toLocaleString('en')} changed, ${unchanged.toLocaleString('en')} as they were, ${locked.toLocaleString('en')} locked (${report.bound(locked, BOUND + IN_FLIGHT, 0)}).`);
    if (changed + unchanged !== total || changed !== Math.ceil(total / 10) - 1) throw new Error(`expected ${total} sessions, every tenth changed`);
    if (writes) report.write();
    return report.met;
  } finally {
    await child.stop();
  }
}

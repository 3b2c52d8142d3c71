// An instance whose number of sessions grows: scale-process.ts AFFINITY TEXT_BYTES MOST; with MOST the store's records are outside of the heap.
import { setImmediate as breathe } from 'node:timers/promises';
import { DistributedManager, MemoryStore } from '@cluster/core';
import { ClusterStoreBase } from '@cluster/core/driver';
import { answering, cpuUs } from '../child.js';
import { BufferMap } from './buffer-map.js';
import { create, takeTurns, type Use } from './turns.js';

const [affinity, text, most] = process.argv.slice(2);
const store = most === undefined ? new MemoryStore() : new ClusterStoreBase(new BufferMap(Number(most), 600));
const manager = new DistributedManager(store, {
  affinity: affinity as 'keep' | 'release', maxInMemory: affinity === 'keep' ? { sessions: 2_000_000, bytes: 2 ** 32 } : {},
});
await manager.start();
const ids: string[] = [];
let written = 0;

export type Question = { readonly grow: number } | { readonly use: Use; readonly turns: number; readonly among?: number } | 'check';

answering(async (question: Question) => {
  if (question === 'check') return check();
  if ('grow' in question) {
    while (ids.length < question.grow) {
      ids.push(await create(manager, 0, Number(text)));
      if (ids.length % 500 === 0) await breathe();
    }
    return manager.health().held;
  }
  const before = cpuUs();
  await takeTurns(manager, (index) => ids[index] ?? '', question.among ?? ids.length, question.use, question.turns);
  if (question.use === 'one attribute changed') written += question.turns;
  return (cpuUs() - before) / question.turns;
});

/** What the counters must sum up to, and what they do. */
async function check(): Promise<readonly [written: number, found: number]> {
  let found = 0;
  for (const [index, id] of ids.entries()) {
    found += (await manager.findSession(id, { access: 'snapshot' }))?.count ?? NaN;
    if (index % 500 === 0) await breathe();
  }
  return [written, found];
}

// What the engine needs on the heap, per idle-held session and per turn: heap-process.ts SESSIONS; with --expose-gc.
import { setImmediate as breathe } from 'node:timers/promises';
import { DistributedManager } from '@cluster/core';
import { ClusterStoreBase } from '@cluster/core/driver';
import { answering } from '../child.js';
import { BufferMap } from './buffer-map.js';
import { create, takeTurns, type Use } from './turns.js';

const TEXT = 900;
const WARM = 200;
const WARM_TURNS = 20_000;
const count = Number(process.argv[2]);

const manager = (affinity: 'keep' | 'release') => new DistributedManager(new ClusterStoreBase(new BufferMap(count + WARM, 1_700)), {
  affinity, maxInMemory: { sessions: 2 * count, bytes: 2 ** 32 },
});

async function heapBytes(): Promise<number> {
  for (let times = 0; times < 4; times += 1) {
    global.gc?.();
    await breathe();
  }
  return process.memoryUsage().heapUsed;
}

/** Heap bytes per session, made and changed once, when nobody uses it. */
async function perSession(): Promise<{ readonly heap: number; readonly content: number }> {
  const held = manager('keep');
  await held.start();
  const add = async (from: number, to: number) => {
    for (let number = from; number < to; number += 1) {
      const id = await create(held, number, TEXT);
      await takeTurns(held, () => id, 1, 'one attribute changed', 1);
    }
  };
  await add(0, WARM);
  const before = await heapBytes();
  await add(WARM, WARM + count);
  const heap = (await heapBytes() - before) / count;
  const { held: heldNow, inMemory } = held.health();
  if (heldNow !== count + WARM) throw new Error(`expected ${count + WARM} held sessions, found ${heldNow}`);
  const content = inMemory.bytes / heldNow;
  await held.stop();
  return { heap, content };
}

/** Heap bytes that one turn allocates; the young generation is so large that nothing is collected meanwhile. */
async function perTurn({ affinity, use, turns }: { affinity: 'keep' | 'release'; use: Use; turns: number }): Promise<number> {
  const used = manager(affinity);
  const ids: string[] = [];
  for (let number = 0; number < WARM; number += 1) ids.push(await create(used, number, TEXT));
  const take = (many: number) => takeTurns(used, (index) => ids[index] ?? '', ids.length, use, many);
  await take(WARM_TURNS);
  global.gc?.();
  const before = process.memoryUsage().heapUsed;
  await take(turns);
  const bytes = (process.memoryUsage().heapUsed - before) / turns;
  await used.stop();
  return bytes;
}

export type Question = 'per session' | Parameters<typeof perTurn>[0];

answering((question: Question) => (question === 'per session' ? perSession() : perTurn(question)));

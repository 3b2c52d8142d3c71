// Many sessions over one instance that keeps few of them in memory: passivation-process.ts SESSIONS BOUND; with --expose-gc.
import { setImmediate as breathe } from 'node:timers/promises';
import { DistributedManager } from '@cluster/core';
import { ClusterStoreBase } from '@cluster/core/driver';
import { answering, cpuUs } from '../child.js';
import { BufferMap } from './buffer-map.js';

declare module '@cluster/core' {
  interface SessionData { n: number }
}

const AT_ONCE = 16;
const ID_BYTES = 24;
const [count = 0, bound = 0] = process.argv.slice(2).map(Number);
const map = new BufferMap(count, 700);
const manager = new DistributedManager(new ClusterStoreBase(map), { affinity: 'keep', maxInMemory: { sessions: bound } });
// Outside of the heap, as the records are.
const ids = Buffer.alloc(count * ID_BYTES);
let mostInMemory = 0;

await manager.start();

const idOf = (number: number) => ids.toString('base64url', number * ID_BYTES, (number + 1) * ID_BYTES);

/** Work on a range of numbers, some at once; resolves to µs of CPU for each. */
async function each(from: number, to: number, work: (number: number) => Promise<void>): Promise<number> {
  const before = cpuUs();
  let next = from;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (next < to) {
      const number = next++;
      await work(number);
      if (number % 100 !== 0) continue;
      if (number % 5_000 === 0) mostInMemory = Math.max(mostInMemory, manager.health().inMemory.sessions);
      await breathe();
    }
  }));
  return (cpuUs() - before) / (to - from);
}

async function create(number: number): Promise<void> {
  const session = manager.createSession();
  session.n = number;
  await manager.sendSession(session);
  ids.write(session.id, number * ID_BYTES, 'base64url');
}

/** Each number once, in an order that has nothing to do with that of their making. */
const STEP = 7_919;
const shuffled = (number: number) => (number * STEP) % count;

/** Finds the session, compares its content, and changes every tenth. */
async function find(place: number): Promise<void> {
  const number = shuffled(place);
  const session = await manager.findSession(idOf(number));
  if (session?.n !== number) throw new Error(`session ${number}: expected its number, found ${String(session?.n)}`);
  if (number % 10 === 0) session.n = -number;
  await manager.sendSession(session);
}

/** What the store has at last: how many are changed, how many not, and how many are locked. */
function stored(): { readonly changed: number; readonly unchanged: number; readonly locked: number } {
  let [changed, unchanged, locked] = [0, 0, 0];
  for (const value of map.values()) {
    const { holder, attributes } = JSON.parse(value) as { holder?: unknown; attributes: { n: string } };
    if (Number(attributes.n) < 0) changed += 1;
    else unchanged += 1;
    if (holder !== undefined) locked += 1;
  }
  return { changed, unchanged, locked };
}

async function heapBytes(): Promise<number> {
  for (let times = 0; times < 4; times += 1) {
    global.gc?.();
    await breathe();
  }
  return process.memoryUsage().heapUsed;
}

export type Question = { readonly create: readonly [from: number, to: number] } | { readonly find: readonly [from: number, to: number] } | 'heap' | 'most in memory' | 'stored';

answering((question: Question) => {
  if (question === 'heap') return heapBytes();
  if (question === 'most in memory') return mostInMemory;
  if (question === 'stored') return stored();
  return 'create' in question ? each(...question.create, create) : each(...question.find, find);
});

// One instance: instance.ts STORE ADDRESS. It does what it is asked to, once.
import { setTimeout as wait } from 'node:timers/promises';
import { DistributedManager, type Session } from '@cluster/core';
import { answering, cpuUs } from './child.js';
import { openStore, settingsFor, storeNamed } from './stores.js';

/** `hold`: has a session, and uses it until it is killed. `serve`: starts until that session is read. */
export type Question = 'hold' | { readonly writes: number } | { readonly idleMs: number } | { readonly serve: string };
export interface Served { readonly tookMs: number; readonly residentBytes: number; readonly keptBytes: number }

const BYTES = 2_048;
const USED_EACH_MS = 100;

const [name = '', address = ''] = process.argv.slice(2);
const store = storeNamed(name);
const manager = new DistributedManager(await openStore(store, address), { context: 'shop', affinity: 'keep', ...settingsFor(store) });

async function newSession(): Promise<Session> {
  const session = manager.createSession();
  session.set('count', 1);
  session.set('page', 'x'.repeat(BYTES));
  await manager.sendSession(session);
  return session;
}

async function hold(): Promise<string> {
  const { id } = await newSession();
  setInterval(() => { void manager.findSession(id, { access: 'snapshot' }); }, USED_EACH_MS);
  return id;
}

/** Milliseconds for each of some changes of one held session, one after another. */
async function write(writes: number): Promise<number[]> {
  const { id } = await newSession();
  const tookMs: number[] = [];
  for (let n = 0; n < writes; n += 1) {
    const sentMs = performance.now();
    await manager.update(id, (session) => {
      session.set('count', n);
      session.set('page', String(n % 10).repeat(BYTES));
    });
    tookMs.push(performance.now() - sentMs);
  }
  return tookMs;
}

/** The share of a processor that it takes while nothing is asked. */
async function idle(idleMs: number): Promise<number> {
  await manager.start();
  const [beforeUs, sinceMs] = [cpuUs(), performance.now()];
  await wait(idleMs);
  return (cpuUs() - beforeUs) / 1_000 / (performance.now() - sinceMs);
}

function keptBytes(): number {
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function serve(id: string): Promise<Served> {
  const before = keptBytes();
  const beganMs = performance.now();
  await manager.start();
  const session = await manager.findSession(id, { access: 'snapshot' });
  const tookMs = performance.now() - beganMs;
  if (session?.get('count') !== 1) throw new Error(`expected the session with its count, found ${session === undefined ? 'none' : String(session.get('count'))}`);
  const residentBytes = process.memoryUsage.rss();
  return { tookMs, residentBytes, keptBytes: keptBytes() - before };
}

answering((question: Question) => {
  if (question === 'hold') return hold();
  if ('writes' in question) return write(question.writes);
  return 'idleMs' in question ? idle(question.idleMs) : serve(question.serve);
});

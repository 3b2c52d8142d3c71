import { DistributedManager } from '@cluster/core';
import { Child } from '../child.js';
import { median, Report } from '../report.js';
import { openStore, startPlace, storeNamed } from '../stores.js';

const SESSIONS = 100_000;
const BYTES = 2_048;
const AT_ONCE = 256;
const ROUNDS = 3;
const BOUND_MS = 30_000;

/** How long it takes until an instance serves that starts where many sessions are already. */
export async function newcomer([name = 'kafka', count = String(SESSIONS)]: readonly string[], writes: boolean): Promise<boolean> {
  const store = storeNamed(name);
  const total = Number(count);
  const report = new Report(`newcomer ${store}`, `an instance that starts, with ${total.toLocaleString('en')} sessions of ${BYTES} bytes in the ${store} store, ${ROUNDS} times; until one of them is read`);
  const place = await startPlace(store);
  const tookMs: number[] = [];
  let mebibytes = 0;
  try {
    const id = await filled(new DistributedManager(await openStore(store, place.address), { context: 'shop' }), total);
    while (tookMs.length < ROUNDS) {
      const child = await Child.start(new URL('../newcomer.ts', import.meta.url), [store, place.address]);
      const found = await child.ask<{ readonly tookMs: number; readonly mebibytes: number }>(id);
      tookMs.push(found.tookMs);
      mebibytes = Math.max(mebibytes, found.mebibytes);
      await child.stop();
    }
  } finally {
    await place.stop();
  }
  const most = Math.max(...tookMs);
  report.table(['sessions', 'serves after, s, p50', 'at most', 'memory of its process, MiB', 'bound, s'],
    [[count, (median(tookMs) / 1_000).toFixed(1), (most / 1_000).toFixed(1), mebibytes.toFixed(0), report.bound(most, BOUND_MS, 0)]]);
  if (writes) report.write();
  return report.met;
}

/** Resolves to the id of one of them. */
async function filled(manager: DistributedManager, total: number): Promise<string> {
  await manager.start();
  let id = '';
  let made = 0;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (made < total) {
      made += 1;
      const session = manager.createSession();
      session.set('count', 1);
      session.set('page', 'x'.repeat(BYTES));
      await manager.sendSession(session);
      id = session.id;
    }
  }));
  await manager.stop();
  return id;
}

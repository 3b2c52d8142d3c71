import { DistributedManager } from '@cluster/core';
import { Child } from '../child.js';
import type { Served } from '../instance.js';
import { median, Report } from '../report.js';
import { openStore, startPlace, storeNamed } from '../stores.js';

const SESSIONS = 100_000;
const BYTES = 2_048;
const AT_ONCE = 256;
const ROUNDS = 3;
const BOUND_S = 30;

/** How long it takes until an instance serves that starts where many sessions are already. */
export async function newcomer([name = 'kafka', count = String(SESSIONS)]: readonly string[], writes: boolean): Promise<boolean> {
  const store = storeNamed(name);
  const total = Number(count);
  const report = new Report(`newcomer ${store}`, `an instance that starts, with ${total.toLocaleString('en')} sessions of ${BYTES} bytes in the ${store} store, ${ROUNDS} times; until one of them is read`);
  const place = await startPlace(store);
  const tookMs: number[] = [];
  let [residentBytes, keptBytes] = [0, 0];
  try {
    const id = await filled(new DistributedManager(await openStore(store, place.address), { context: 'shop' }), total);
    while (tookMs.length < ROUNDS) {
      const child = await Child.instance(store, place.address);
      const served = await child.ask<Served>({ serve: id });
      tookMs.push(served.tookMs);
      residentBytes = Math.max(residentBytes, served.residentBytes);
      keptBytes = Math.max(keptBytes, served.keptBytes);
      await child.stop();
    }
  } finally {
    await place.stop();
  }
  const most = Math.max(...tookMs);
  report.table(['sessions', 'serves after, s, p50', 'at most', 'bound', 'memory of its process, MiB', 'kept after a collection, MiB per 10,000 sessions'], [[
    total.toLocaleString('en'), report.figure('seconds', (median(tookMs) / 1_000).toFixed(1)), (most / 1_000).toFixed(1), report.bound(most / 1_000, BOUND_S, 0),
    (residentBytes / 2 ** 20).toFixed(0), report.figure('memory', (keptBytes / 2 ** 20 / total * 10_000).toFixed(0)),
  ]]);
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

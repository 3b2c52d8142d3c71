import { DistributedManager } from '@cluster/core';
import { setTimeout as sleep } from 'node:timers/promises';
import { Child } from '../child.js';
import { median, Report } from '../report.js';
import { openStore, startPlace, storeNamed, type Place, type StoreName } from '../stores.js';

const KILLS = 30;
const BOUND_MS = 300;
/** Kafka and RabbitMQ do not tell that somebody is gone: each kill takes a lease. */
const KILLS_BY_LEASE = 3;
const goesByLease = (store: StoreName): boolean => store.startsWith('kafka') || store.startsWith('rabbitmq');

/** How long it takes until a session can be changed again after the process that held it was killed. */
export async function takeOver([name = 'filesystem', wanted]: readonly string[], writes: boolean): Promise<boolean> {
  const store = storeNamed(name);
  const kills = Number(wanted ?? (goesByLease(store) ? KILLS_BY_LEASE : KILLS));
  const report = new Report(`take-over ${store}`, `${kills} times a process is killed (kill -9) that holds a session and uses it; another one changes it then; ${store} store`);
  const place = await startPlace(store);
  const manager = new DistributedManager(await openStore(store, place.address), { context: 'shop' });
  const tookMs: number[] = [];
  try {
    await manager.start();
    while (tookMs.length < kills) tookMs.push(await afterKill(manager, store, place));
  } finally {
    await manager.stop();
    await place.stop();
  }
  const most = Math.max(...tookMs);
  report.table(['kills', 'changed again after, ms, p50', 'at most', 'bound'], [[
    String(kills), report.figure('ms', median(tookMs).toFixed(0)), most.toFixed(0), goesByLease(store) ? '' : report.bound(most, BOUND_MS, 0),
  ]]);
  if (writes) report.write();
  return report.met;
}

async function afterKill(manager: DistributedManager, store: StoreName, place: Place): Promise<number> {
  const holder = await Child.instance(store, place.address);
  const id = await holder.ask<string>('hold');
  await sleep(500 + Math.random() * 500);
  const killed = holder.stop();
  const sinceMs = performance.now();
  await manager.update(id, (session) => { session.set('count', 2); });
  const tookMs = performance.now() - sinceMs;
  await killed;
  return tookMs;
}

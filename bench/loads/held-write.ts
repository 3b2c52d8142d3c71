import { Child } from '../child.js';
import { median, percentile99, Report } from '../report.js';
import { startPlace, type StoreName } from '../stores.js';

const WRITES = 1_000;
const WARM = 500;
const IDLE_MS = 10_000;
/** Instances of a log read everything that is written, so it is promised what that costs. */
const ROWS: readonly (readonly [store: StoreName, isLog: boolean])[] = [
  ['memory', false], ['filesystem', false], ['redis', false], ['nats', false], ['nats-r3', false],
  ['kafka', true], ['kafka-r3', false], ['rabbitmq', true], ['rabbitmq-r3', false],
];
const BOUND_MS = 2;
const BOUND_PERCENT = 2;

/** How long one change of a held session takes on each store, and what an instance costs that does nothing. */
export async function heldWrite([count = String(WRITES)]: readonly string[], writes: boolean): Promise<boolean> {
  const report = new Report('held-write', `${count} changes of 2 KB in one held session, one after another, after ${WARM} to warm up; CPU time of an idle instance over ${IDLE_MS / 1_000} s; `
    + 'one store after another, servers and instance on this machine');
  const rows: string[][] = [];
  for (const [store, isLog] of ROWS) {
    const place = await startPlace(store);
    const child = await Child.instance(store, place.address);
    try {
      const tookMs = (await child.ask<number[]>({ writes: WARM + Number(count) })).slice(WARM);
      const percent = await child.ask<number>({ idleMs: IDLE_MS }) * 100;
      const p50 = median(tookMs);
      rows.push([store, report.figure(store, p50.toFixed(2)), percentile99(tookMs).toFixed(2), isLog ? report.bound(p50, BOUND_MS) : '', percent.toFixed(1), isLog ? report.bound(percent, BOUND_PERCENT) : '']);
    } finally {
      await child.stop();
      await place.stop();
    }
  }
  report.table(['', 'ms for a change, p50', 'p99', 'bound', 'idle instance, % of a core', 'bound'], rows);
  if (writes) report.write();
  return report.met;
}

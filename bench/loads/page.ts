import { median, Report, spread } from '../report.js';
import { Servers } from '../servers.js';
import { storeNamed } from '../stores.js';

const GETS = 6;
const ROUNDS = 40;
const BOUND_MS = 30;

/** A page of six parallel GETs that take 20 ms each, of one session: to one process, and alternating between two. */
export async function page([name = 'filesystem', count = String(ROUNDS)]: readonly string[], writes: boolean): Promise<boolean> {
  const store = storeNamed(name);
  const report = new Report(`page ${store}`, `${count} interleaved rounds of ${GETS} parallel GETs of 20 ms on one session; two processes, ${store} store`);
  const servers = await Servers.start(2, store);
  try {
    const { cookie } = await servers.ask(0, 'POST', '/');
    const took = { 'to one process': [] as number[], 'alternating between two': [] as number[] };
    for (let round = 0; round < Number(count); round += 1) {
      for (const [routing, step] of [['to one process', 0], ['alternating between two', 1]] as const) {
        const startedMs = performance.now();
        await Promise.all(Array.from({ length: GETS }, (_, index) => servers.ask(index * step, 'GET', '/slow', cookie)));
        took[routing].push(performance.now() - startedMs);
      }
    }
    report.table(['requests', 'ms for all six', 'spread', 'bound'], Object.entries(took).map(([routing, ms]) => [
      routing, median(ms).toFixed(1), spread(ms), report.bound(median(ms), BOUND_MS, 0),
    ]));
    if (writes) report.write();
    return report.met;
  } finally {
    await servers.stop();
  }
}

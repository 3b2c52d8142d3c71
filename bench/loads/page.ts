import { median, spread } from '../report.js';
import { Servers } from '../servers.js';

const GETS = 6;
const ROUNDS = 40;
const BOUND_MS = 30;

/** A page of six parallel GETs that take 20 ms each, of one session: to one process, and alternating between two. */
export async function page(): Promise<boolean> {
  const servers = await Servers.start(2);
  try {
    const { cookie } = await servers.ask(0, 'POST', '/');
    const took = { sticky: [] as number[], random: [] as number[] };
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const [routing, step] of [['sticky', 0], ['random', 1]] as const) {
        const startedMs = performance.now();
        await Promise.all(Array.from({ length: GETS }, (_, index) => servers.ask(index * step, 'GET', '/slow', cookie)));
        took[routing].push(performance.now() - startedMs);
      }
    }
    console.log(`six parallel GETs of 20 ms on one session, ${ROUNDS} rounds, ms for all six`);
    for (const [routing, times] of Object.entries(took)) console.log(`${routing.padEnd(8)} median ${median(times).toFixed(1)}  ${spread(times)}`);
    return median(took.sticky) <= BOUND_MS && median(took.random) <= BOUND_MS;
  } finally {
    await servers.stop();
  }
}

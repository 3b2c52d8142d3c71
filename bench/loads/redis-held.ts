import type { Kind } from '../redis/applications.js';
import { RedisCounters } from '../redis/counters.js';
import { Fleet } from '../redis/fleet.js';
import { median, Report, spread } from '../report.js';
import { startPlace } from '../stores.js';

const ROUNDS = 9;
const REQUESTS = 4_000;
const CLIENTS = 64;
const USES = ['read', 'write'] as const;

/** Each application with the same one without sessions. */
const BARE = {
  'node': 'node', 'node: cluster': 'node', 'node: cluster, not reentrant': 'node',
  'express': 'express', 'express: cluster': 'express', 'express: cluster, not reentrant': 'express', 'express: express-session': 'express',
} as const satisfies Partial<Record<Kind, Kind>>;
type Row = keyof typeof BARE;
const ROWS = Object.keys(BARE) as Row[];

/** The part of `redis` on which its promises about CPU time rest, in more rounds and less time: small held sessions in one process. */
export async function redisHeld([count = String(ROUNDS)]: readonly string[], writes: boolean): Promise<boolean> {
  const report = new Report('redis-held', `${count} interleaved rounds of ${REQUESTS} requests per cell, each process first warmed by 24,000; ${CLIENTS} clients with 4 sessions each`);
  const server = await startPlace('redis');
  const counters = new RedisCounters(server.address);
  const fleets = new Map<Row, Fleet>();
  const cpuUs = new Map<string, number[]>();
  const of = (row: Row, use: string) => cpuUs.get(`${row}, ${use}`) ?? [];
  const over = (row: Row, use: string) => of(row, use).map((us, round) => us - (of(BARE[row], use)[round] ?? NaN));
  try {
    for (const row of ROWS) {
      const fleet = await Fleet.start(row, { url: server.address, prefix: `${row}:`, bytes: 0 }, 1, 'sticky');
      fleets.set(row, fleet);
      if (BARE[row] !== row) await fleet.fill();
      for (const use of USES) await fleet.run(use, CLIENTS, 3 * REQUESTS);
    }
    for (let round = 0; round < Number(count); round += 1) {
      for (const [row, fleet] of fleets) {
        for (const use of USES) cpuUs.set(`${row}, ${use}`, [...of(row, use), (await fleet.measure(use, CLIENTS, REQUESTS, counters)).cpuUs]);
      }
    }
    for (const fleet of fleets.values()) await fleet.check();
  } finally {
    counters.stop();
    await Promise.all([...fleets.values()].map((fleet) => fleet.stop()));
    await server.stop();
  }
  report.table(['', 'CPU µs per request', 'over bare', 'spread', 'of express-session\'s'], USES.flatMap((use) => ROWS.map((row) => {
    if (BARE[row] === row) return [`${row}, ${use}`, median(of(row, use)).toFixed(1), '', '', ''];
    const [own, theirs] = [median(over(row, use)), median(over('express: express-session', use))];
    const isOurs = row.startsWith('express: cluster');
    return [`${row}, ${use}`, median(of(row, use)).toFixed(1), own.toFixed(1), spread(over(row, use)), isOurs ? (own / theirs).toFixed(2) : ''];
  })));
  report.line('Every answer was compared with what its session must contain.');
  if (writes) report.write();
  return report.met;
}

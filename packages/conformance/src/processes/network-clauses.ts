import { setTimeout as sleep } from 'node:timers/promises';
import type { ProcessClause } from './clauses.js';
import type { Life } from './life.js';
import type { TcpProxy, Weather } from './tcp-proxy.js';

const ROUNDS = 3;

/** Each round is about one instance, or about all of them. */
const networkClause = (what: string, spoil: (proxy: TcpProxy, delayMs: number) => void, mostLeases: number): ProcessClause => ({
  title: `a network ${what} costs no acknowledged change, and each request ends in time`,
  exempt: ({ hasServer }) => (hasServer ? undefined : 'the store has no server'),
  async run(bench) {
    const { random, settings: { leaseMs, storeTimeoutMs } } = bench;
    await bench.underLoad(async () => {
      for (let round = 0; round < ROUNDS; round += 1) {
        await sleep(random.between(0, leaseMs / 3));
        const lives = await bench.instances.all();
        const struck: readonly Life[] = random.chance(0.3) ? lives : [random.pick(lives)];
        for (const { proxy } of struck) if (proxy !== undefined) spoil(proxy, random.between(0, 1.2 * storeTimeoutMs));
        await sleep(random.between(0.1, mostLeases) * leaseMs);
        for (const { proxy } of struck) {
          if (proxy === undefined) continue;
          proxy.delayMs = 0;
          proxy.weather = 'passes';
        }
      }
    });
  },
});

const spoiledBy = (weather: Weather) => (proxy: TcpProxy) => { proxy.weather = weather; };

export const networkClauses: readonly ProcessClause[] = [
  networkClause('that is slow', (proxy, delayMs) => { proxy.delayMs = delayMs; }, 1),
  networkClause('that holds everything and delivers it late', spoiledBy('held'), 1.5),
  networkClause('of half-open connections', spoiledBy('half-open'), 1.5),
  networkClause('that drops its connections', spoiledBy('dropped'), 1.5),
  networkClause('that loses answers', spoiledBy('answers lost'), 0.5),
];

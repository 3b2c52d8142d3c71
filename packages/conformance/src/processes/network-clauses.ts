import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProcessClause } from './clauses.js';
import { atWork, sendAll } from './disturbance.js';
import type { Life } from './life.js';
import type { Network } from './network.js';
import type { ProcessBench } from './process-bench.js';
import type { Weather } from './tcp-proxy.js';

const ROUNDS = 3;
const CHANGES_EACH = 4;
const ON_WAY_MS = 100;

interface Trouble {
  /** Completes "a network …". */
  readonly what: string;
  readonly spoil: (network: Network, delayMs: number) => void;
  /** In leases: how long a round lasts at most. */
  readonly mostLeases: number;
}

const spoiledBy = (weather: Weather) => (network: Network) => {
  network.weather = weather;
  network.delayMs = 0;
};

const ANSWERS_LOST: Trouble = { what: 'that loses answers', spoil: spoiledBy('answers lost'), mostLeases: 1 };
const troubles: readonly Trouble[] = [
  { what: 'that is slow', spoil: (network, delayMs) => { network.delayMs = delayMs; }, mostLeases: 1 },
  { what: 'that holds everything and delivers it late', spoil: spoiledBy('held'), mostLeases: 1.5 },
  { what: 'of half-open connections', spoil: spoiledBy('half-open'), mostLeases: 1.5 },
  { what: 'that drops its connections', spoil: spoiledBy('dropped'), mostLeases: 1.5 },
  ANSWERS_LOST,
];

/** Rounds of it, each about one instance or about all of them; resolves to how many answers were lost. */
async function rounds(bench: ProcessBench, { spoil, mostLeases }: Trouble): Promise<number> {
  const { random, settings: { leaseMs, storeTimeoutMs } } = bench;
  let lost = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    await sleep(random.between(0, leaseMs / 3));
    const lives = await bench.instances.all();
    const struck: readonly Life[] = random.chance(0.3) ? lives : [random.pick(lives)];
    const turns = await atWork(bench, struck, CHANGES_EACH);
    for (const { network } of struck) if (network !== undefined) network.delayMs = ON_WAY_MS;
    const sent = sendAll(turns);
    // The requests have arrived then, and the answers have not.
    await sleep(1.5 * ON_WAY_MS);
    for (const { network } of struck) {
      if (network === undefined) continue;
      lost -= network.lostAnswers;
      spoil(network, random.between(0, 1.2 * storeTimeoutMs));
    }
    await sleep(random.between(0.1, mostLeases) * leaseMs);
    for (const { network } of struck) {
      network?.calm();
      lost += network?.lostAnswers ?? 0;
    }
    await bench.answerAgain(struck, performance.now());
    await sent;
  }
  return lost;
}

const networkClause = (trouble: Trouble): ProcessClause => ({
  title: `a network ${trouble.what} costs no acknowledged change, and each request ends in time`,
  exempt: ({ hasServer }) => (hasServer ? undefined : 'the store has no server'),
  async run(bench) {
    let lost = 0;
    await bench.underLoad(async () => { lost = await rounds(bench, trouble); });
    if (trouble === ANSWERS_LOST) bench.proof.ok(lost > 0, 'at least one answer was lost on its way');
  },
});

export const networkClauses: readonly ProcessClause[] = troubles.map(networkClause);

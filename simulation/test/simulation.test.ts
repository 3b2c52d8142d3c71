import { describe, expect, it } from '@jest/globals';
import { huntMutation } from '../hunt.js';
import { mutations } from '../mutations.js';
import type { PlanChange } from '../plan.js';
import { simulate, type Outcome } from '../simulate.js';
import { Tally } from '../tally.js';

const REQUESTS = 400;
const FIXED_SEEDS = 60;
const FRESH_SEEDS = 60;
const LOG_SEEDS = 18;
const MUTATION_SEEDS = 200;
/** Time here is virtual. One seed in a thousand computes a hundred times as long as most, and beside other tests seven times as long again. */
const HANGS_MS = 600_000;
/** Each broke a promise once; with as many requests. */
const FOUND: readonly (readonly [seed: number, requests: number])[] = [[5_114, 500], [710_003_095, 300], [710_007_205, 300], [309_965_084, 400]];
/** Other ones each time; the title of the test says which. */
const fresh = 1_000_000 + (Date.now() % 1_000_000_000);

const shown = ({ seed, violations }: Outcome): string[] => violations.map(({ check, message }) => `seed ${seed}, ${check}: ${message}`);

async function runSeeds(from: number, seeds: number, change: PlanChange = {}, tally = new Tally()): Promise<{ readonly tally: Tally; readonly violations: string[] }> {
  const violations: string[] = [];
  for (let seed = from; seed < from + seeds; seed += 1) {
    const outcome = await simulate(seed, { requests: REQUESTS, change });
    tally.add(outcome);
    violations.push(...shown(outcome));
  }
  return { tally, violations };
}

describe('the engine under faults', () => {
  it(`keeps its promises: seeds 1 to ${FIXED_SEEDS}`, async () => {
    const { tally, violations } = await runSeeds(1, FIXED_SEEDS);
    for (const store of ['table', 'map'] as const) violations.push(...(await runSeeds(1, 5, { store, workload: 'rollback', episodeEveryMs: 300 }, tally)).violations);
    expect(violations).toEqual([]);
    expect(tally.summary.requests).toBeGreaterThan(FIXED_SEEDS * REQUESTS * 0.8);
    const injected = Object.keys(tally.summary.faults);
    for (const kind of ['late', 'twice']) {
      for (const call of ['acquire', 'create', 'commit', 'remove', 'touch', 'beat', 'lapse', 'put']) expect(injected).toContain(`${kind} ${call}`);
    }
    for (const kind of ['lost', 'replyLost', 'slow', 'refused']) for (const call of ['acquire', 'commit', 'read', 'get', 'put']) expect(injected).toContain(`${kind} ${call}`);
    for (const kind of ['lost', 'twice', 'slow', 'denied']) expect(injected).toContain(`${kind} signal`);
    for (const call of ['acquire', 'commit', 'put']) expect(injected).toContain(`repeated ${call}`);
    expect(injected).toEqual(expect.arrayContaining([
      'crash process', 'pause process', 'suspend process', 'overlap process', 'drain with nobody waiting', 'restart with nobody waiting', 'outage refusing', 'outage hanging', 'partition signals', 'storm weather',
      'rate clock', 'skew clock', 'rollback table', 'rollback map',
    ]));
  }, HANGS_MS);

  it(`keeps its promises over a log whose records come late, come twice, and are removed: seeds 1 to ${LOG_SEEDS}`, async () => {
    const { tally, violations } = await runSeeds(1, LOG_SEEDS, { store: 'log' });
    for (const partitions of [1, 3]) violations.push(...(await runSeeds(1, 5, { store: 'log', compaction: 0.4, episodeEveryMs: 300, partitions, retainedBytes: undefined }, tally)).violations);
    violations.push(...(await runSeeds(1, 6, { store: 'log', compaction: 0.4, retainedBytes: 400_000 }, tally)).violations);
    expect(violations).toEqual([]);
    expect(tally.summary.operations).toBeGreaterThan(12_000);
    expect(Object.keys(tally.summary.faults)).toEqual(expect.arrayContaining([
      'late append', 'twice append', 'repeated append', 'lost append', 'replyLost append', 'slow reader', 'gap reader', 'redelivered records', 'removed records', 'removed removals', 'lost oldest part', 'written snapshots',
      'crash process', 'pause process', 'overlap process',
    ]));
    expect(tally.summary.faults).not.toHaveProperty(['lost log']);
  }, HANGS_MS);

  it('says so where the faults let nobody write a snapshot until the log had lost what it would have said', async () => {
    const { tally, violations } = await runSeeds(159, 1, { store: 'log', compaction: 0.4, retainedBytes: 400_000 });
    expect(violations).toEqual([]);
    expect(tally.summary.faults).toMatchObject({ 'lost log': 1 });
  }, HANGS_MS);

  it(`keeps its promises: fresh seeds ${fresh} to ${fresh + FRESH_SEEDS - 1}`, async () => {
    expect((await runSeeds(fresh, FRESH_SEEDS)).violations).toEqual([]);
  }, HANGS_MS);

  it.each(FOUND)('keeps its promises where they were broken: seed %d with %d requests', async (seed, requests) => {
    expect(shown(await simulate(seed, { requests }))).toEqual([]);
  }, HANGS_MS);

  it.each<[string, PlanChange]>([
    ['as it is drawn', {}], ['over a log of three partitions', { store: 'log', compaction: 0.4, partitions: 3, retainedBytes: undefined }],
    ['over a log that loses its oldest part', { store: 'log', compaction: 0.4, retainedBytes: 400_000 }],
  ])('does the same again for the same seed: %s', async (_, change) => {
    for (const seed of [5, 7]) {
      const [once, again] = [await simulate(seed, { requests: 200, change }), await simulate(seed, { requests: 200, change })];
      expect(again).toEqual({ ...once, violations: [] });
      expect(await simulate(seed + 1, { requests: 200, change })).not.toEqual(once);
    }
  }, HANGS_MS);
});

describe('a mutation is found', () => {
  it.each(mutations.map((mutation) => [mutation.name, mutation] as const))('%s', async (_, mutation) => {
    const found = await huntMutation(mutation, 1, MUTATION_SEEDS);
    expect(found).toBeDefined();
    // With the rule in its place the same run is as it should be.
    expect(shown(await simulate(found?.seeds ?? 0, { requests: mutation.requests, change: mutation.change }))).toEqual([]);
  }, HANGS_MS);
});

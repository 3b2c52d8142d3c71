import { expect, it } from '@jest/globals';
import { simulate } from '../simulate.js';

const SEEDS = 40;
const TIMEOUT_MS = 120_000;

it(`the engine breaks no promise under the schedules and faults of the seeds 1 to ${SEEDS}`, async () => {
  const found: string[] = [];
  let operations = 0;
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const outcome = await simulate(seed);
    operations += outcome.operations.length;
    found.push(...outcome.violations.map(({ check, message }) => `seed ${seed}, ${check}: ${message}`));
  }
  expect(found).toEqual([]);
  // A run without operations would find nothing wrong.
  expect(operations).toBeGreaterThan(SEEDS * 100);
}, TIMEOUT_MS);

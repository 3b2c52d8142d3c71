import { isTable, type Driver, type DriverBench, type DriverClause } from '../driver-bench.js';
import { created, FIRST, LONG_MS, replaces } from './contents.js';

const LIMIT = 2;

async function put(bench: DriverBench<Driver>, driver: Driver, key: string, lifetimeMs = LONG_MS): Promise<string> {
  if (isTable(driver)) await created(driver, key, bench.claim(), 'release', replaces(FIRST, lifetimeMs));
  else await driver.compareAndSet(key, undefined, { value: 'listed', lifetimeMs });
  return key;
}

async function listed(driver: Driver): Promise<string[]> {
  const keys: string[] = [];
  for await (const key of driver.keys?.() ?? []) keys.push(key);
  return keys;
}

export const listingClauses: readonly DriverClause[] = [
  {
    title: 'keys lists every key of its context once, and none of another context',
    exempt: ({ lists }) => (lists ? undefined : 'it has no keys()'),
    async run(bench) {
      const [driver, other] = [await bench.driver(), (await bench.open(undefined, `${bench.context}x`)).driver];
      const mine = [await put(bench, driver, bench.key()), await put(bench, driver, bench.key())];
      const theirs = await put(bench, other, bench.key().replace(bench.context, `${bench.context}x`));
      const keys = await listed(driver);
      for (const key of mine) bench.proof.equal(keys.filter((found) => found === key).length, 1, `how often ${key} is listed`);
      bench.proof.ok(!keys.includes(theirs), 'a key of another context is not listed');
    },
  },
  {
    title: 'sweep clears away what has expired, at most as many as it is asked for, and nothing that lives',
    exempt: ({ sweeps }) => (sweeps ? undefined : 'it has no sweep()'),
    async run(bench) {
      const driver = await bench.driver();
      const live = await put(bench, driver, bench.key());
      const dead = [];
      for (let n = 0; n < 2 * LIMIT + 1; n += 1) dead.push(await put(bench, driver, bench.key(), bench.paceMs));
      await bench.time.wait(bench.paceMs * 1.1 + bench.limits.lateMs);
      const cleared = [await driver.sweep?.(LIMIT) ?? 0];
      while (cleared.at(-1) !== 0 && cleared.length < 10_000) cleared.push(await driver.sweep?.(LIMIT) ?? 0);
      bench.proof.ok(cleared.every((count) => Number.isInteger(count) && count >= 0 && count <= LIMIT),
        `at most ${LIMIT} each time: ${cleared.join(', ')}`);
      bench.proof.ok(isTable(driver) ? (await driver.read(live)).kind === 'record' : await driver.get(live) !== undefined,
        'what lives is still there');
      if (driver.keys === undefined) return;
      const keys = new Set(await listed(driver));
      bench.proof.equal([keys.has(live), dead.filter((key) => keys.has(key))], [true, []],
        'whether the live key is listed, and the expired ones that are');
    },
  },
];

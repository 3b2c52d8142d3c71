import assert from 'node:assert/strict';
import type { SessionTable } from '@cluster/core/driver';
import type { TableBench, TableClause } from '../driver-bench.js';

const LEASE_MS = 60_000;
const RACES = 8;

const alive = (answer: Awaited<ReturnType<SessionTable['beat']>>): boolean => answer !== 'lapsed';

/** Makes a lease and its first beats. */
async function beats(bench: TableBench, table: SessionTable, last: number): Promise<string> {
  const incarnation = bench.incarnation();
  for (let n = 0; n <= last; n += 1) assert.ok(alive(await table.beat(incarnation, n, LEASE_MS)), `beat ${n} of a new lease`);
  return incarnation;
}

async function lapses(bench: TableBench, table: SessionTable, incarnation: string, quietMs: number): Promise<void> {
  // A first sight may cost one more quiet time where the store has no clock.
  await bench.time.becomes('a quiet lease lapses', async () => await table.lapse(incarnation, quietMs) === 0, 2.2 * quietMs + bench.limits.lateMs);
}

export const leaseClauses: readonly TableClause[] = [
  {
    title: 'beat 0 makes a lease, each further beat follows, and all name one generation',
    async run(bench) {
      const [table, incarnation] = [await bench.driver(), bench.incarnation()];
      const generations = new Set<unknown>();
      for (let n = 0; n < 4; n += 1) {
        const answer = await table.beat(incarnation, n, LEASE_MS);
        bench.proof.ok(answer !== 'lapsed', `beat ${n} is accepted`);
        generations.add(answer === 'lapsed' ? answer : typeof answer.generation === 'string' && answer.generation);
      }
      bench.proof.equal([generations.size, generations.has(false)], [1, false], 'one generation, a text');
    },
  },
  {
    title: 'beat made twice is accepted twice, and the next one follows',
    async run(bench) {
      const [table, incarnation] = [await bench.driver(), bench.incarnation()];
      for (const n of [0, 0, 1, 1, 2]) bench.proof.ok(alive(await table.beat(incarnation, n, LEASE_MS)), `beat ${n} is accepted`);
    },
  },
  {
    title: 'beat made late, after later ones, does not hinder the next one',
    async run(bench) {
      const table = await bench.driver();
      const incarnation = await beats(bench, table, 3);
      await table.beat(incarnation, 1, LEASE_MS);
      bench.proof.ok(alive(await table.beat(incarnation, 4, LEASE_MS)), 'beat 4 is accepted');
    },
  },
  {
    title: 'beat of a lease that was never made is lapsed',
    async run(bench) {
      const table = await bench.driver();
      bench.proof.equal(await table.beat(bench.incarnation(), 3, LEASE_MS), 'lapsed', 'the answer');
    },
  },
  {
    title: 'a silent lease that nobody ended goes on for more than twice its time',
    async run(bench) {
      const [table, incarnation] = [await bench.driver(), bench.incarnation()];
      const answer = await bench.time.inTime(async (leaseMs) => {
        const validUntilMs = bench.time.nowMs() + 3 * leaseMs;
        const fresh = `${incarnation}${String(leaseMs)}`;
        await table.beat(fresh, 0, leaseMs);
        await bench.time.wait(2.2 * leaseMs);
        return { seen: await table.beat(fresh, 1, leaseMs), validUntilMs };
      });
      bench.proof.ok(alive(answer), 'beat 1 is accepted');
    },
  },
  {
    title: 'lapse of a lease that beats says how long to wait, and ends nothing',
    async run(bench) {
      const [table, observer] = [await bench.driver(), await bench.driver()];
      const seen = await bench.time.inTime(async (spanMs) => {
        const [incarnation, quietMs, answers] = [bench.incarnation(), 2 * spanMs, [] as { waitMs: number; quietMs: number }[]];
        let validUntilMs = Infinity;
        for (let n = 0; n < 6; n += 1) {
          const beatMs = bench.time.nowMs();
          const beat = await table.beat(incarnation, n, LEASE_MS);
          await bench.time.wait(quietMs / 4);
          answers.push({ waitMs: await observer.lapse(incarnation, quietMs), quietMs: beat === 'lapsed' ? -1 : quietMs });
          if (bench.time.nowMs() - beatMs >= quietMs) validUntilMs = 0; // it was quiet for too long: no verdict
        }
        return { seen: answers, validUntilMs };
      });
      for (const { waitMs, quietMs } of seen) bench.proof.ok(waitMs > 0 && waitMs <= quietMs,
        `told to wait ${waitMs} of ${quietMs} ms`);
    },
  },
  {
    title: 'lapse ends a lease that was quiet, not earlier, and its beats are lapsed from then on',
    async run(bench) {
      const [table, observer, quietMs] = [await bench.driver(), await bench.driver(), bench.paceMs];
      const incarnation = await beats(bench, table, 1);
      const beatMs = bench.time.nowMs();
      await table.beat(incarnation, 2, LEASE_MS);
      await lapses(bench, observer, incarnation, quietMs);
      bench.proof.ok(bench.time.nowMs() - beatMs >= quietMs - 1,
        `ended ${bench.time.nowMs() - beatMs} ms after the last beat was sent`);
      bench.proof.equal([await table.beat(incarnation, 3, LEASE_MS), await table.beat(incarnation, 2, LEASE_MS)], ['lapsed', 'lapsed'],
        'the next beat, and the last one again');
    },
  },
  {
    title: 'lapse made twice stays 0, also for another observer and any quiet time',
    async run(bench) {
      const tables = await bench.two();
      const incarnation = await beats(bench, tables[0], 1);
      await lapses(bench, tables[1], incarnation, bench.paceMs);
      await tables[0].beat(incarnation, 2, LEASE_MS);
      for (const table of tables) {
        for (const quietMs of [0, bench.paceMs, LEASE_MS]) bench.proof.equal(await table.lapse(incarnation, quietMs), 0,
          `the answer, quiet for ${quietMs}`);
      }
    },
  },
  {
    title: 'lapse of a lease that was never made is 0',
    async run(bench) {
      bench.proof.equal(await (await bench.driver()).lapse(bench.incarnation(), LEASE_MS), 0, 'the answer');
    },
  },
  {
    title: 'lapse without a quiet time ends a lease at once',
    async run(bench) {
      const [table, observer] = [await bench.driver(), await bench.driver()];
      const incarnation = await beats(bench, table, 2);
      bench.proof.equal(await observer.lapse(incarnation, 0), 0, 'the answer');
      bench.proof.equal(await table.beat(incarnation, 3, LEASE_MS), 'lapsed', 'the next beat');
    },
  },
  {
    title: 'lapse ends one lease and no other',
    async run(bench) {
      const table = await bench.driver();
      const [ended, other] = [await beats(bench, table, 1), await beats(bench, table, 1)];
      await table.lapse(ended, 0);
      bench.proof.ok(alive(await table.beat(other, 2, LEASE_MS)), 'the next beat of another incarnation');
    },
  },
  {
    title: 'of a beat and a lapse at once exactly one wins',
    async run(bench) {
      const [table, observer] = [await bench.driver(), await bench.driver()];
      for (let round = 0; round < RACES; round += 1) {
        const { incarnation, lives, ended } = await bench.time.inTime(async (quietMs) => {
          const incarnation = await beats(bench, table, 0);
          await observer.lapse(incarnation, quietMs);
          await bench.time.wait(quietMs);
          // A lapse that is done so long after the beat ends the lease rightly: both win.
          const validUntilMs = bench.time.nowMs() + quietMs;
          const beat = async () => alive(await table.beat(incarnation, 1, LEASE_MS));
          const lapse = async () => await observer.lapse(incarnation, quietMs) === 0;
          const outcomes = await Promise.all(round % 2 === 0 ? [beat(), lapse()] : [lapse(), beat()]);
          const [lives, ended] = round % 2 === 0 ? outcomes : outcomes.reverse();
          return { seen: { incarnation, lives, ended }, validUntilMs };
        });
        bench.proof.equal([lives, ended].filter(Boolean).length, 1, `winners; the beat was ${lives ? 'accepted' : 'lapsed'}`);
        bench.proof.equal(alive(await table.beat(incarnation, 2, LEASE_MS)), lives, 'whether the next beat is accepted');
      }
    },
  },
];

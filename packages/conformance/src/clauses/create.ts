import { inTurn, type TableClause } from '../driver-bench.js';
import { at, contentOf, created, FIRST, LONG_MS, recordOf, replaces, sets, stateOf } from './contents.js';

const AT_ONCE = 6;

export const createClauses: readonly TableClause[] = [
  {
    title: 'create stores version 1 under its grant, held or free as it says',
    async run(bench) {
      const [table, other] = [await bench.driver(), await bench.driver()];
      for (const then of ['keep', 'release'] as const) {
        const [key, claim] = [bench.key(), bench.claim()];
        bench.proof.equal(await table.create(key, claim, replaces(FIRST), then), 'created', 'the answer');
        const { stamp, holder, lifetimeMs, attributes } = await recordOf(other, key);
        bench.proof.equal({ stamp, holder, lifetimeMs, attributes }, {
          stamp: { grant: claim.grant, version: 1 }, holder: then === 'keep' ? claim : undefined, lifetimeMs: LONG_MS, attributes: contentOf(FIRST),
        }, `the record, then: ${then}`);
      }
    },
  },
  {
    title: 'create on a record of somebody else is refused and changes nothing',
    async run(bench) {
      const [table, other, key] = [await bench.driver(), await bench.driver(), bench.key()];
      await created(table, key, bench.claim());
      const before = await stateOf(table, key);
      bench.proof.equal(await other.create(key, bench.claim(), sets({ a: '0' }), 'keep'), 'exists', 'the answer');
      bench.proof.equal(await stateOf(table, key), before, 'the record afterwards');
    },
  },
  {
    title: 'create made twice is created twice and stored once, also after a commit under its grant',
    async run(bench) {
      const [table, key, claim] = [await bench.driver(), bench.key(), bench.claim()];
      await created(table, key, claim);
      bench.proof.equal(await table.create(key, claim, replaces(FIRST), 'keep'), 'created', 'the second answer');
      await table.commit(key, claim.grant, at(claim, 1), sets({ a: '"later"' }), 'release');
      const before = await stateOf(table, key);
      bench.proof.equal(await table.create(key, claim, replaces(FIRST), 'keep'), 'created', 'the third answer');
      bench.proof.equal(await stateOf(table, key), before, 'the record afterwards');
    },
  },
  {
    title: 'create made late, after a commit of somebody else, is refused and changes nothing',
    async run(bench) {
      const [table, key, maker, next] = [await bench.driver(), bench.key(), bench.claim(), bench.claim()];
      await created(table, key, maker, 'release');
      await table.acquire(key, next);
      await table.commit(key, next.grant, at(maker, 1), sets({ a: '"later"' }), 'release');
      const before = await stateOf(table, key);
      bench.proof.equal(await table.create(key, maker, replaces(FIRST), 'keep'), 'exists', 'the answer');
      bench.proof.equal(await stateOf(table, key), before, 'the record afterwards');
    },
  },
  {
    title: 'create made late, after the session was removed, is refused by its tombstone',
    async run(bench) {
      const [table, other] = [await bench.driver(), await bench.driver()];
      for (const forced of [false, true]) {
        const [key, claim] = [bench.key(), bench.claim()];
        await created(table, key, claim);
        await other.remove(key, forced ? undefined : claim.grant, undefined, 'removed', LONG_MS);
        bench.proof.equal(await table.create(key, claim, replaces(FIRST), 'keep'), 'exists',
          'the answer to the same create again');
        bench.proof.equal(await table.create(key, bench.claim(), replaces(FIRST), 'keep'), 'exists',
          'the answer to another create');
        bench.proof.equal(await table.read(key), { kind: 'absent', gone: 'removed' }, 'what is there afterwards');
      }
    },
  },
  {
    title: 'of several creates at once exactly one is stored',
    async run(bench) {
      const tables = await bench.two();
      for (let round = 0; round < 10; round += 1) {
        const [key, claims] = [bench.key(), Array.from({ length: AT_ONCE }, () => bench.claim())];
        const answers = await Promise.all(claims.map((claim, n) =>
          inTurn(tables, n + round).create(key, claim, replaces({ n: String(n) }), 'keep')));
        const winners = claims.filter((_claim, n) => answers[n] === 'created');
        bench.proof.equal(winners.length, 1, 'how many were told that they created it');
        const { holder, attributes } = await recordOf(tables[0], key);
        bench.proof.equal({ holder, attributes }, { holder: winners[0], attributes: contentOf({ n: String(answers.indexOf('created')) }) },
          'whose it is');
      }
    },
  },
];

import type { Then, Write } from '@cluster/core/driver';
import type { TableClause } from '../driver-bench.js';
import { at, created, granted, recordOf, replaces, sets, stateOf, unchanged } from './contents.js';

const writes: readonly (readonly [Write, string])[] = [[sets({ a: '"second"' }, ['b']), 'a delta'], [replaces({ a: '"second"' }), 'a whole']];

/** Commits that a connection delivered twice, or after something else had happened. */
export const commitAgainClauses: readonly TableClause[] = [
  {
    title: 'commit made twice is done twice and stored once',
    async run(bench) {
      const [table, other] = [await bench.driver(), await bench.driver()];
      for (const [write, which] of writes) {
        const [key, claim] = [bench.key(), bench.claim()];
        await created(table, key, claim);
        const commit = () => table.commit(key, claim.grant, at(claim, 1), write, 'keep');
        bench.proof.equal([await commit(), await commit()], [{ kind: 'done', version: 2 }, { kind: 'done', version: 2 }],
          `the answers to ${which}`);
        bench.proof.equal((await recordOf(other, key)).stamp, { grant: claim.grant, version: 2 }, 'the stamp');
      }
    },
  },
  {
    title: 'commit made twice is done after it released or gave the lock on',
    async run(bench) {
      const table = await bench.driver();
      for (const [write, which] of writes) {
        for (const then of ['release', bench.claim()] satisfies Then[]) {
          const [key, claim] = [bench.key(), bench.claim()];
          await created(table, key, claim);
          await table.commit(key, claim.grant, at(claim, 1), write, then);
          const before = await stateOf(table, key);
          bench.proof.equal(await table.commit(key, claim.grant, at(claim, 1), write, then), { kind: 'done', version: 2 },
            `the second answer to ${which}`);
          bench.proof.equal(await stateOf(table, key), before, 'the record afterwards');
        }
      }
    },
  },
  {
    title: 'commit made twice does not take the lock from who acquired it meanwhile',
    async run(bench) {
      const [table, other] = [await bench.driver(), await bench.driver()];
      for (const then of ['keep', 'release', bench.claim()] satisfies Then[]) {
        const [key, claim, next] = [bench.key(), bench.claim(), bench.claim()];
        await created(table, key, claim);
        await table.commit(key, claim.grant, at(claim, 1), sets({ a: '"second"' }), 'release');
        await other.acquire(key, next);
        bench.proof.equal(await table.commit(key, claim.grant, at(claim, 1), sets({ a: '"second"' }), then), { kind: 'done', version: 2 },
          'the second answer');
        bench.proof.equal((await recordOf(other, key)).holder, next, 'the holder');
      }
    },
  },
  {
    title: 'commit made late, after the next holder\'s commit, is fenced and changes nothing',
    async run(bench) {
      const [table, key, claim, next] = [await bench.driver(), bench.key(), bench.claim(), bench.claim()];
      await created(table, key, claim);
      await table.commit(key, claim.grant, at(claim, 1), sets({ a: '"second"' }), next);
      await table.commit(key, next.grant, at(claim, 2), sets({ a: '"third"' }), 'release');
      const before = await stateOf(table, key);
      bench.proof.equal(await table.commit(key, claim.grant, at(claim, 1), sets({ a: '"second"' }), next), { kind: 'fenced' }, 'the answer');
      bench.proof.equal(await stateOf(table, key), before, 'the record afterwards');
    },
  },
  {
    title: 'commit made late, after the lock was taken from its grant, is fenced and changes nothing',
    async run(bench) {
      const [table, other] = [await bench.driver(), await bench.driver()];
      for (const write of [sets({ a: '0' }), replaces({ a: '0' }), unchanged]) {
        const [key, older, newer] = [bench.key(), bench.claim(), bench.claim()];
        await created(table, key, older);
        await other.acquire(key, newer, older.grant);
        const before = await stateOf(table, key);
        bench.proof.equal(await table.commit(key, older.grant, at(older, 1), write, 'release'), { kind: 'fenced' }, 'the answer');
        bench.proof.equal(await stateOf(table, key), before, 'the record afterwards');
      }
    },
  },
  {
    title: 'commit made late, when its grant has the lock again, is behind and leaves the content that somebody else stored meanwhile',
    async run(bench) {
      const [table, other] = [await bench.driver(), await bench.driver()];
      for (const [write, which] of writes) {
        const [key, older, newer] = [bench.key(), bench.claim(), bench.claim()];
        await created(table, key, older, 'release');
        await other.acquire(key, newer);
        await other.commit(key, newer.grant, at(older, 1), sets({ a: '"theirs"' }), 'release');
        bench.proof.equal(granted(await table.acquire(key, older)).holder, older, 'the holder after an acquire made late');
        const before = await stateOf(table, key);
        bench.proof.equal(await table.commit(key, older.grant, at(older, 1), write, 'keep'), { kind: 'behind' }, `the answer to ${which}`);
        bench.proof.equal(await stateOf(table, key), before, 'the record afterwards');
      }
    },
  },
  {
    title: 'commit without a change made late, after the lock was given on, is fenced and frees nothing',
    async run(bench) {
      const [table, key, older, newer] = [await bench.driver(), bench.key(), bench.claim(), bench.claim()];
      await created(table, key, older);
      await table.commit(key, older.grant, undefined, unchanged, newer);
      bench.proof.equal(await table.commit(key, older.grant, undefined, unchanged, 'release'), { kind: 'fenced' }, 'the answer');
      bench.proof.equal((await recordOf(table, key)).holder, newer, 'the holder');
    },
  },
  {
    title: 'commit made twice after the session was removed is fenced with the reason',
    async run(bench) {
      const [table, key, claim] = [await bench.driver(), bench.key(), bench.claim()];
      await created(table, key, claim);
      await table.commit(key, claim.grant, at(claim, 1), sets({ a: '"second"' }), 'keep');
      await table.remove(key, undefined, undefined, 'removed', 60_000);
      bench.proof.equal(await table.commit(key, claim.grant, at(claim, 1), sets({ a: '"second"' }), 'keep'), { kind: 'fenced', gone: 'removed' },
        'the answer');
    },
  },
];

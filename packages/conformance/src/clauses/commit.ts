import type { Claim, SessionTable, Stamp, Write } from '@cluster/core/driver';
import type { TableBench, TableClause } from '../driver-bench.js';
import { at, contentOf, created, FIRST, granted, LONG_MS, recordOf, replaces, sets, stateOf, unchanged } from './contents.js';

/** A held session at version 3, and its claim. */
async function atVersion3(bench: TableBench, table: SessionTable) {
  const [key, claim] = [bench.key(), bench.claim()];
  await created(table, key, claim);
  for (const version of [1, 2]) await table.commit(key, claim.grant, at(claim, version), sets({ n: String(version + 1) }), 'keep');
  return { key, claim };
}

/** Each of the bases is refused for a session at version 3. */
async function isBehind(bench: TableBench, write: Write, bases: (claim: Claim) => readonly Stamp[]): Promise<void> {
  const table = await bench.driver();
  const { key, claim } = await atVersion3(bench, table);
  const before = await stateOf(table, key);
  for (const base of bases(claim)) {
    bench.proof.equal(await table.commit(key, claim.grant, base, write, 'release'), { kind: 'behind' },
      `the answer at base ${base.version} of ${base.grant === claim.grant ? 'its own' : 'another'} grant`);
    bench.proof.equal(await stateOf(table, key), before, 'the record afterwards');
  }
}

const INCREMENTS = 40;

async function increment(bench: TableBench, table: SessionTable, key: string): Promise<void> {
  const claim = bench.claim();
  const record = await bench.time.until('a lock that everybody frees at once', async () => {
    const acquired = await table.acquire(key, claim);
    return acquired.kind === 'granted' ? acquired.record : undefined;
  }, LONG_MS);
  const n = Number(record.attributes?.get('n'));
  await table.commit(key, claim.grant, record.stamp, sets({ n: String(n + 1) }), 'release');
}

/** The first clause of the kit: an update that creates undoes a logout. */
export const updateOfAbsent: TableClause = {
  title: 'commit to an absent or expired key is refused and creates nothing',
  async run(bench) {
    const [table, claim, expired] = [await bench.driver(), bench.claim(), bench.key()];
    await created(table, expired, claim, 'keep', replaces(FIRST, bench.paceMs));
    await bench.time.becomes('an expired record is absent', async () => (await table.read(expired)).kind === 'absent',
      bench.paceMs * 1.1 + bench.limits.lateMs);
    for (const [key, which] of [[bench.key(), 'absent'], [expired, 'expired']] as const) {
      for (const write of [sets({ a: '1' }), replaces({ a: '1' }), unchanged]) {
        bench.proof.equal(await table.commit(key, claim.grant, at(claim, 1), write, 'keep'), { kind: 'fenced' },
          `the answer for an ${which} key`);
        bench.proof.equal(await table.read(key), { kind: 'absent' }, `what is there afterwards under an ${which} key`);
      }
    }
  },
};

export const commitClauses: readonly TableClause[] = [
  {
    title: 'commit of a delta sets and removes the attributes that it names, leaves the others and raises the version by one',
    async run(bench) {
      const [table, other, key, claim] = [await bench.driver(), await bench.driver(), bench.key(), bench.claim()];
      await created(table, key, claim, 'keep', replaces({ a: '1', b: '2', c: '3' }));
      bench.proof.equal(await table.commit(key, claim.grant, at(claim, 1), sets({ a: '10', d: '4' }, ['b', 'never there']), 'keep'),
        { kind: 'done', version: 2 }, 'the answer');
      const { stamp, holder, attributes } = await recordOf(other, key);
      bench.proof.equal({ stamp, holder, attributes },
        { stamp: { grant: claim.grant, version: 2 }, holder: claim, attributes: contentOf({ a: '10', c: '3', d: '4' }) }, 'the record');
    },
  },
  {
    title: 'commit of a whole replaces the content',
    async run(bench) {
      const [table, key, claim] = [await bench.driver(), bench.key(), bench.claim()];
      await created(table, key, claim);
      bench.proof.equal(await table.commit(key, claim.grant, at(claim, 1), replaces({ z: '26' }), 'keep'), { kind: 'done', version: 2 },
        'the answer');
      bench.proof.equal((await recordOf(table, key)).attributes, contentOf({ z: '26' }), 'the content');
    },
  },
  {
    title: 'commit without a change is done at any base, keeps stamp and content, and releases or keeps',
    async run(bench) {
      const table = await bench.driver();
      for (const then of ['keep', 'release'] as const) {
        const { key, claim } = await atVersion3(bench, table);
        const before = await recordOf(table, key);
        for (const base of then === 'keep' ? [undefined, at(claim, 3), at(claim, 1), at(bench.claim(), 9)] : [undefined]) {
          bench.proof.equal((await table.commit(key, claim.grant, base, unchanged, then)).kind, 'done',
            `the answer at ${base === undefined ? 'no base' : `base ${base.version}`}`);
        }
        const { stamp, holder, attributes } = await recordOf(table, key);
        bench.proof.equal({ stamp, holder, attributes },
          { stamp: before.stamp, holder: then === 'keep' ? claim : undefined, attributes: before.attributes }, `the record, then: ${then}`);
      }
    },
  },
  {
    title: 'commit with a hand-over stores the change and gives the lock to the claim in one step',
    async run(bench) {
      const [table, other] = [await bench.driver(), await bench.driver()];
      for (const write of [sets({ a: '"mine"' }), unchanged]) {
        const [key, older, newer] = [bench.key(), bench.claim(), bench.claim()];
        await created(table, key, older);
        bench.proof.equal((await table.commit(key, older.grant, at(older, 1), write, newer)).kind, 'done', 'the answer');
        const { holder, last, stamp } = await recordOf(other, key);
        bench.proof.equal({ holder, last, version: stamp.version },
          { holder: newer, last: older.incarnation, version: write === unchanged ? 1 : 2 }, 'the record');
        bench.proof.equal(granted(await other.acquire(key, newer)).holder, newer, 'the new holder\'s own acquire');
        bench.proof.equal((await table.commit(key, older.grant, stamp, sets({ a: '0' }), 'keep')).kind, 'fenced',
          'the older holder\'s next commit');
      }
    },
  },
  {
    title: 'commit under a grant that does not hold is fenced and changes nothing',
    async run(bench) {
      const [table, other, key, holder] = [await bench.driver(), await bench.driver(), bench.key(), bench.claim()];
      await created(table, key, holder);
      const before = await stateOf(table, key);
      for (const write of [sets({ a: '0' }), replaces({ a: '0' }), unchanged]) {
        bench.proof.equal(await other.commit(key, bench.claim().grant, at(holder, 1), write, 'release'), { kind: 'fenced' }, 'the answer');
      }
      bench.proof.equal(await stateOf(table, key), before, 'the record afterwards');
    },
  },
  {
    title: 'commit to a free record is fenced and changes nothing',
    async run(bench) {
      const [table, key, claim] = [await bench.driver(), bench.key(), bench.claim()];
      await created(table, key, claim, 'release');
      const before = await stateOf(table, key);
      for (const write of [sets({ a: '0' }), replaces({ a: '0' }), unchanged]) {
        bench.proof.equal(await table.commit(key, claim.grant, at(claim, 1), write, 'keep'), { kind: 'fenced' }, 'the answer');
      }
      bench.proof.equal(await stateOf(table, key), before, 'the record afterwards');
    },
  },
  {
    title: 'commit to a tombstone is fenced with its reason',
    async run(bench) {
      const [table, other] = [await bench.driver(), await bench.driver()];
      for (const why of ['removed', 'moved'] as const) {
        const [key, claim] = [bench.key(), bench.claim()];
        await created(table, key, claim);
        await other.remove(key, claim.grant, undefined, why, LONG_MS);
        for (const write of [sets({ a: '0' }), replaces({ a: '0' }), unchanged]) {
          bench.proof.equal(await table.commit(key, claim.grant, at(claim, 1), write, 'keep'), { kind: 'fenced', gone: why }, 'the answer');
        }
        bench.proof.equal(await other.read(key), { kind: 'absent', gone: why }, 'what is there afterwards');
      }
    },
  },
  {
    title: 'commit of a delta to another version than its base is behind and changes nothing',
    run: (bench) => isBehind(bench, sets({ a: '0' }), (claim) => [1, 4, 9].map((version) => at(claim, version))),
  },
  {
    title: 'commit of a delta to the version of its base, but of another grant, is behind and changes nothing',
    run: (bench) => isBehind(bench, sets({ a: '0' }), () => [at(bench.claim(), 3)]),
  },
  {
    title: 'commit of a whole to another content than its base is behind and changes nothing',
    run: (bench) => isBehind(bench, replaces({ a: '0' }), (claim) => [...[1, 4, 9].map((version) => at(claim, version)), at(bench.claim(), 3)]),
  },
  {
    title: 'increments of two instances, each under the lock, lose none',
    async run(bench) {
      const [tables, key] = [await bench.two(), bench.key()];
      await created(tables[0], key, bench.claim(), 'release', replaces({ n: '0' }));
      await Promise.all(tables.map(async (table) => {
        for (let n = 0; n < INCREMENTS / 2; n += 1) await increment(bench, table, key);
      }));
      bench.proof.equal((await recordOf(tables[0], key)).attributes, contentOf({ n: String(INCREMENTS) }), 'the counter');
    },
  },
];

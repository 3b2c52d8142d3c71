import { inTurn, type TableClause } from '../driver-bench.js';
import { at, created, FIRST, granted, lasting, recordOf, replaces, sets, stateOf, unchanged } from './contents.js';

const AT_ONCE = 8;
const ROUNDS = 20;

export const acquireClauses: readonly TableClause[] = [
  {
    title: 'acquire of an absent key is absent and creates nothing',
    async run(bench) {
      const [table, key] = [await bench.driver(), bench.key()];
      bench.proof.equal(await table.acquire(key, bench.claim()), { kind: 'absent' }, 'the answer');
      bench.proof.equal(await table.read(key), { kind: 'absent' }, 'what is there afterwards');
    },
  },
  {
    title: 'acquire of a free record is granted with its content and stamp, and makes the claim its holder',
    async run(bench) {
      const [table, key, maker, claim] = [await bench.driver(), bench.key(), bench.claim(), bench.claim()];
      await created(table, key, maker, 'release');
      const record = granted(await table.acquire(key, claim));
      const { stamp, holder, last, attributes } = record;
      bench.proof.equal({ stamp, holder, last, attributes }, {
        stamp: { grant: maker.grant, version: 1 }, holder: claim, last: maker.incarnation, attributes: new Map(Object.entries(FIRST)),
      }, 'the record granted');
      bench.proof.equal(await stateOf(table, key), lasting(record), 'the record that others read');
    },
  },
  {
    title: 'acquire of a held record is busy, names the holder and changes nothing',
    async run(bench) {
      const [table, other, key, holder] = [await bench.driver(), await bench.driver(), bench.key(), bench.claim()];
      await created(table, key, holder);
      const before = await stateOf(table, key);
      bench.proof.equal(await other.acquire(key, bench.claim()), { kind: 'busy', holder }, 'the answer');
      bench.proof.equal(await stateOf(table, key), before, 'the record afterwards');
    },
  },
  {
    title: 'acquire by the same incarnation under another grant is busy and names the grant that holds',
    async run(bench) {
      const [table, key, holder] = [await bench.driver(), bench.key(), bench.claim()];
      await created(table, key, holder);
      bench.proof.equal(await table.acquire(key, bench.claim(holder.incarnation)), { kind: 'busy', holder }, 'the answer');
    },
  },
  {
    title: 'acquire made twice is granted twice, with the same record',
    async run(bench) {
      const [table, key, claim] = [await bench.driver(), bench.key(), bench.claim()];
      await created(table, key, bench.claim(), 'release');
      const first = granted(await table.acquire(key, claim));
      bench.proof.equal(lasting(granted(await table.acquire(key, claim))), lasting(first), 'the record granted again');
    },
  },
  {
    title: 'acquire from the grant that holds is granted, and the older grant is fenced',
    async run(bench) {
      const [table, other, key, older, newer] = [await bench.driver(), await bench.driver(), bench.key(), bench.claim(), bench.claim()];
      await created(table, key, older);
      const { holder, last } = granted(await other.acquire(key, newer, older.grant));
      bench.proof.equal({ holder, last }, { holder: newer, last: older.incarnation }, 'who holds it');
      bench.proof.equal(await table.commit(key, older.grant, at(older, 1), sets({ a: '0' }), 'keep'), { kind: 'fenced' },
        'a commit under the older grant');
      bench.proof.equal((await recordOf(table, key)).attributes, new Map(Object.entries(FIRST)), 'the content');
    },
  },
  {
    title: 'acquire from a grant that does not hold is busy',
    async run(bench) {
      const [table, key, holder] = [await bench.driver(), bench.key(), bench.claim()];
      await created(table, key, holder);
      bench.proof.equal(await table.acquire(key, bench.claim(), bench.claim().grant), { kind: 'busy', holder }, 'the answer');
    },
  },
  {
    title: 'acquire made late, after the session was removed, says why it is gone and brings nothing back',
    async run(bench) {
      const [table, key, claim] = [await bench.driver(), bench.key(), bench.claim()];
      await created(table, key, claim);
      await table.remove(key, claim.grant, undefined, 'moved', 60_000);
      bench.proof.equal(await table.acquire(key, claim), { kind: 'absent', gone: 'moved' }, 'the answer');
      bench.proof.equal(await table.read(key), { kind: 'absent', gone: 'moved' }, 'what is there afterwards');
    },
  },
  {
    title: 'acquire made late, after the session was given on, is busy',
    async run(bench) {
      const [table, key, older, newer] = [await bench.driver(), bench.key(), bench.claim(), bench.claim()];
      await created(table, key, older);
      await table.commit(key, older.grant, undefined, unchanged, newer);
      bench.proof.equal(await table.acquire(key, older), { kind: 'busy', holder: newer }, 'the answer');
    },
  },
  {
    title: 'acquire made late, after its own release, locks again, and a commit without a change frees it',
    async run(bench) {
      const [table, key, claim] = [await bench.driver(), bench.key(), bench.claim()];
      await created(table, key, claim, 'release');
      bench.proof.equal(granted(await table.acquire(key, claim)).holder, claim, 'the holder');
      await table.commit(key, claim.grant, undefined, unchanged, 'release');
      bench.proof.equal((await recordOf(table, key)).holder, undefined, 'the holder after the release');
    },
  },
  {
    title: 'acquire leaves the content out exactly if the stamp is the one the caller has: version and grant',
    async run(bench) {
      const [table, key, maker, claim] = [await bench.driver(), bench.key(), bench.claim(), bench.claim()];
      await created(table, key, maker, 'release');
      const attributes = async (grant: string, version: number) => granted(await table.acquire(key, claim, undefined, { grant, version })).attributes;
      bench.proof.equal(await attributes(maker.grant, 1), undefined, 'with the same stamp');
      bench.proof.equal(await attributes(maker.grant, 2), new Map(Object.entries(FIRST)), 'with another version');
      bench.proof.equal(await attributes(bench.claim().grant, 1), new Map(Object.entries(FIRST)),
        'with the same version of another grant');
    },
  },
  {
    title: 'of several acquires at once exactly one is granted, and the others name its holder',
    async run(bench) {
      const tables = await bench.two();
      for (let round = 0; round < ROUNDS; round += 1) {
        const key = bench.key();
        await created(tables[0], key, bench.claim(), 'release');
        const claims = Array.from({ length: AT_ONCE }, () => bench.claim());
        const answers = await Promise.all(claims.map((claim, n) => inTurn(tables, n + round).acquire(key, claim)));
        const winners = claims.filter((_claim, n) => answers[n]?.kind === 'granted');
        bench.proof.equal(winners.length, 1, 'grants');
        const named = answers.flatMap((answer) => (answer.kind === 'busy' ? [answer.holder] : []));
        bench.proof.equal(named, Array.from({ length: AT_ONCE - 1 }, () => winners[0]), 'the holders that the others are told');
      }
    },
  },
  {
    title: 'a commit and an acquire from its grant at once agree on whether the commit happened',
    async run(bench) {
      const [table, other] = [await bench.driver(), await bench.driver()];
      for (let round = 0; round < ROUNDS; round += 1) {
        const [key, older, newer] = [bench.key(), bench.claim(), bench.claim()];
        await created(table, key, older);
        const commit = () => table.commit(key, older.grant, at(older, 1), replaces({ a: '"second"' }), 'keep');
        const acquire = () => other.acquire(key, newer, older.grant);
        const [committed, acquired] = round % 2 === 0
          ? await Promise.all([commit(), acquire()]) : (await Promise.all([acquire(), commit()])).reverse() as [
            Awaited<ReturnType<typeof commit>>, Awaited<ReturnType<typeof acquire>>]; // reverse() forgets which is which
        const { stamp } = granted(acquired);
        bench.proof.equal(stamp.version, committed.kind === 'done' ? 2 : 1,
          `the version granted, the commit having answered ${committed.kind}`);
        bench.proof.equal((await recordOf(table, key)).stamp, stamp, 'the stamp that stays');
      }
    },
  },
];

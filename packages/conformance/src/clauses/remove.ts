import type { TableClause } from '../driver-bench.js';
import { at, created, FIRST, LONG_MS, replaces, sets, stateOf } from './contents.js';

export const removeClauses: readonly TableClause[] = [
  {
    title: 'remove by the holder leaves a tombstone that says why',
    async run(bench) {
      const [table, other] = [await bench.driver(), await bench.driver()];
      for (const why of ['removed', 'moved'] as const) {
        const [key, claim] = [bench.key(), bench.claim()];
        await created(table, key, claim);
        bench.proof.equal((await table.remove(key, claim.grant, undefined, why, LONG_MS)).kind, 'removed', 'the answer');
        bench.proof.equal(await other.read(key), { kind: 'absent', gone: why }, 'what a read says');
        bench.proof.equal(await other.acquire(key, bench.claim()), { kind: 'absent', gone: why }, 'what an acquire says');
      }
    },
  },
  {
    title: 'remove under a grant that does not hold is fenced and changes nothing',
    async run(bench) {
      const table = await bench.driver();
      for (const then of ['keep', 'release'] as const) {
        const [key, claim] = [bench.key(), bench.claim()];
        await created(table, key, claim, then);
        const before = await stateOf(table, key);
        const grant = then === 'keep' ? bench.claim().grant : claim.grant;
        bench.proof.equal(await table.remove(key, grant, undefined, 'removed', LONG_MS), { kind: 'fenced' },
          `the answer, the session being ${then === 'keep' ? 'held' : 'free'}`);
        bench.proof.equal(await stateOf(table, key), before, 'the record afterwards');
      }
    },
  },
  {
    title: 'remove under a grant of another content than its base is behind and changes nothing',
    async run(bench) {
      const [table, key, claim] = [await bench.driver(), bench.key(), bench.claim()];
      await created(table, key, claim);
      await table.commit(key, claim.grant, at(claim, 1), sets({ a: '"second"' }), 'keep');
      const before = await stateOf(table, key);
      for (const base of [at(claim, 1), at(claim, 3), at(bench.claim(), 2)]) {
        bench.proof.equal(await table.remove(key, claim.grant, base, 'moved', LONG_MS), { kind: 'behind' },
          `the answer at base ${base.version} of ${base.grant === claim.grant ? 'its own' : 'another'} grant`);
        bench.proof.equal(await stateOf(table, key), before, 'the record afterwards');
      }
      bench.proof.equal(await table.remove(key, claim.grant, at(claim, 2), 'moved', LONG_MS), { kind: 'removed' }, 'the answer at its base');
      bench.proof.equal(await table.read(key), { kind: 'absent', gone: 'moved' }, 'what is there afterwards');
    },
  },
  {
    title: 'remove made late, when its grant has the lock again, is behind and leaves the content that somebody else stored meanwhile',
    async run(bench) {
      const [table, other, key, older, newer] = [await bench.driver(), await bench.driver(), bench.key(), bench.claim(), bench.claim()];
      await created(table, key, older, 'release');
      await other.acquire(key, newer);
      await other.commit(key, newer.grant, at(older, 1), sets({ a: '"theirs"' }), 'release');
      await table.acquire(key, older);
      const before = await stateOf(table, key);
      bench.proof.equal(await table.remove(key, older.grant, at(older, 1), 'moved', LONG_MS), { kind: 'behind' }, 'the answer');
      bench.proof.equal(await stateOf(table, key), before, 'the record afterwards');
    },
  },
  {
    title: 'a forced remove ends a session whoever holds it, and names the holder',
    async run(bench) {
      const [table, other, held, free, holder] = [await bench.driver(), await bench.driver(), bench.key(), bench.key(), bench.claim()];
      await created(table, held, holder);
      await created(table, free, bench.claim(), 'release');
      bench.proof.equal(await other.remove(held, undefined, undefined, 'removed', LONG_MS), { kind: 'removed', holder },
        'the answer for a held session');
      bench.proof.equal(await other.remove(free, undefined, undefined, 'removed', LONG_MS), { kind: 'removed' },
        'the answer for a free session');
      bench.proof.equal(await table.read(held), { kind: 'absent', gone: 'removed' }, 'what is there afterwards');
    },
  },
  {
    title: 'remove of an absent key leaves no tombstone: forced it is removed, under a grant it is fenced',
    async run(bench) {
      const [table, key] = [await bench.driver(), bench.key()];
      bench.proof.equal(await table.remove(key, bench.claim().grant, undefined, 'removed', LONG_MS), { kind: 'fenced' },
        'the answer under a grant');
      bench.proof.equal(await table.remove(key, undefined, undefined, 'removed', LONG_MS), { kind: 'removed' }, 'the answer when forced');
      bench.proof.equal(await table.create(key, bench.claim(), replaces(FIRST), 'keep'), 'created',
        'the answer to a create afterwards');
    },
  },
  {
    title: 'remove made twice is removed twice, under its grant and forced, and names the same holder',
    async run(bench) {
      const [table, other] = [await bench.driver(), await bench.driver()];
      for (const why of ['removed', 'moved'] as const) {
        const [key, claim] = [bench.key(), bench.claim()];
        await created(table, key, claim);
        await table.remove(key, claim.grant, at(claim, 1), why, LONG_MS);
        for (const base of [at(claim, 1), undefined]) {
          bench.proof.equal((await other.remove(key, claim.grant, base, why, LONG_MS)).kind, 'removed',
            `the second answer under the grant, why: ${why}, with${base === undefined ? 'out' : ''} a base`);
        }
      }
      const [key, holder] = [bench.key(), bench.claim()];
      await created(table, key, holder);
      await table.remove(key, undefined, undefined, 'removed', LONG_MS);
      bench.proof.equal(await other.remove(key, undefined, undefined, 'removed', LONG_MS), { kind: 'removed', holder },
        'the second answer when forced');
    },
  },
  {
    title: 'remove under a grant finds a forced removal: fenced with the reason, also for who held it',
    async run(bench) {
      const [table, key, holder] = [await bench.driver(), bench.key(), bench.claim()];
      await created(table, key, holder);
      await table.remove(key, undefined, undefined, 'removed', LONG_MS);
      bench.proof.equal(await table.remove(key, holder.grant, undefined, 'moved', LONG_MS), { kind: 'fenced', gone: 'removed' },
        'the answer to who held it');
      bench.proof.equal(await table.read(key), { kind: 'absent', gone: 'removed' }, 'what the tombstone says');
    },
  },
  {
    title: 'remove under a grant finds the tombstone of another grant: fenced with the reason',
    async run(bench) {
      const [table, key, holder] = [await bench.driver(), bench.key(), bench.claim()];
      await created(table, key, holder);
      await table.remove(key, holder.grant, undefined, 'moved', LONG_MS);
      bench.proof.equal(await table.remove(key, bench.claim().grant, undefined, 'moved', LONG_MS), { kind: 'fenced', gone: 'moved' },
        'the answer');
    },
  },
  {
    title: 'a forced remove of a moved session is fenced and leaves its tombstone',
    async run(bench) {
      const [table, key, holder] = [await bench.driver(), bench.key(), bench.claim()];
      await created(table, key, holder);
      await table.remove(key, holder.grant, undefined, 'moved', LONG_MS);
      bench.proof.equal(await table.remove(key, undefined, undefined, 'removed', LONG_MS), { kind: 'fenced', gone: 'moved' }, 'the answer');
      bench.proof.equal(await table.read(key), { kind: 'absent', gone: 'moved' }, 'what the tombstone says');
    },
  },
  {
    title: 'a forced remove of a session that was removed under a grant is removed',
    async run(bench) {
      const [table, key, holder] = [await bench.driver(), bench.key(), bench.claim()];
      await created(table, key, holder);
      await table.remove(key, holder.grant, undefined, 'removed', LONG_MS);
      bench.proof.equal((await table.remove(key, undefined, undefined, 'removed', LONG_MS)).kind, 'removed', 'the answer');
    },
  },
  {
    title: 'remove made late, after the lock was taken from its grant, is fenced and changes nothing',
    async run(bench) {
      const [table, key, older, newer] = [await bench.driver(), bench.key(), bench.claim(), bench.claim()];
      await created(table, key, older);
      await table.acquire(key, newer, older.grant);
      const before = await stateOf(table, key);
      bench.proof.equal(await table.remove(key, older.grant, undefined, 'removed', LONG_MS), { kind: 'fenced' }, 'the answer');
      bench.proof.equal(await stateOf(table, key), before, 'the record afterwards');
    },
  },
  {
    title: 'a tombstone is kept for its time, not shorter, and is gone after it',
    async run(bench) {
      const table = await bench.driver();
      const [key, midway, keptMs] = await bench.time.inTime(async (keepMs) => {
        const [fresh, claim] = [bench.key(), bench.claim()];
        await created(table, fresh, claim);
        const validUntilMs = bench.time.nowMs() + keepMs;
        await table.remove(fresh, claim.grant, undefined, 'removed', keepMs);
        await bench.time.wait(keepMs / 2);
        return { seen: [fresh, await table.read(fresh), keepMs] as const, validUntilMs };
      });
      bench.proof.equal(midway, { kind: 'absent', gone: 'removed' }, 'before its time is over');
      await bench.time.becomes('a tombstone ends', async () => {
        const found = await table.read(key);
        return found.kind === 'absent' && found.gone === undefined;
      }, keptMs * 1.1 + bench.limits.lateMs);
    },
  },
];

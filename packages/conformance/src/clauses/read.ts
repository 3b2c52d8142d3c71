import assert from 'node:assert/strict';
import { inTurn, type TableClause } from '../driver-bench.js';
import { asRecord, at, contentOf, created, FIRST, recordOf, replaces, sets, stateOf, unchanged } from './contents.js';

const ROUNDS = 20;
/** Clocks round, and ours is not the one that dates. */
const ROUNDING_MS = 20;

export const readClauses: readonly TableClause[] = [
  {
    title: 'read takes no lock and changes nothing',
    async run(bench) {
      const [table, other, key, claim] = [await bench.driver(), await bench.driver(), bench.key(), bench.claim()];
      await created(table, key, claim, 'release');
      const before = await stateOf(table, key);
      for (let n = 0; n < 3; n += 1) bench.proof.equal(await stateOf(other, key), before, 'the record');
      bench.proof.equal((await table.acquire(key, bench.claim())).kind, 'granted', 'an acquire afterwards');
      bench.proof.equal(await table.read(bench.key()), { kind: 'absent' }, 'a read of an absent key');
    },
  },
  {
    title: 'read sees every commit that was acknowledged before, whichever instance made it',
    async run(bench) {
      const [tables, key] = [await bench.two(), bench.key()];
      let [holder, version] = [bench.claim(), 1];
      let base = at(holder, version);
      await created(tables[0], key, holder);
      for (let round = 0; round < ROUNDS; round += 1) {
        const next = bench.claim();
        await inTurn(tables, round).commit(key, holder.grant, base, sets({ round: String(round) }), next);
        version += 1;
        base = at(holder, version);
        for (const table of tables) {
          const found = await recordOf(table, key);
          bench.proof.equal([found.stamp, found.holder, found.attributes?.get('round')],
            [{ grant: holder.grant, version }, next, String(round)], `what a read saw after commit ${version}`);
        }
        holder = next;
      }
    },
  },
  {
    title: 'read leaves the content out exactly if the stamp is the one the caller has: version and grant',
    async run(bench) {
      const [table, key, claim] = [await bench.driver(), bench.key(), bench.claim()];
      await created(table, key, claim);
      const attributes = async (grant: string, version: number) => asRecord(await table.read(key, { grant, version })).attributes;
      bench.proof.equal(await attributes(claim.grant, 1), undefined, 'with the same stamp');
      bench.proof.equal(await attributes(claim.grant, 0), contentOf(FIRST), 'with another version');
      bench.proof.equal(await attributes(bench.claim().grant, 1), contentOf(FIRST), 'with the same version of another grant');
    },
  },
  {
    title: 'age counts from the creation, idle time from the last commit that set a lifetime',
    async run(bench) {
      const [table, key, claim] = [await bench.driver(), bench.key(), bench.claim()];
      const madeMs = bench.time.nowMs();
      await created(table, key, claim);
      await bench.time.wait(bench.paceMs);
      const times = async (sinceMs: number) => {
        const { ageMs, idleMs } = await recordOf(table, key);
        const nowMs = bench.time.nowMs();
        bench.proof.ok(ageMs >= bench.paceMs - ROUNDING_MS && ageMs <= nowMs - madeMs + ROUNDING_MS,
          `an age of ${ageMs} ms, ${nowMs - madeMs} ms after the creation began`);
        bench.proof.ok(idleMs <= nowMs - sinceMs + ROUNDING_MS,
          `idle for ${idleMs} ms, ${nowMs - sinceMs} ms after the last use`);
        return idleMs;
      };
      bench.proof.ok(await times(madeMs) >= bench.paceMs - ROUNDING_MS, 'idle since the creation');
      await table.commit(key, claim.grant, undefined, { ...unchanged, lifetimeMs: 0 }, 'keep');
      bench.proof.ok(await times(madeMs) >= bench.paceMs - ROUNDING_MS, 'a commit with lifetimeMs 0 is no use');
      const usedMs = bench.time.nowMs();
      await table.commit(key, claim.grant, at(claim, 1), sets({ a: '1' }), 'keep');
      await times(usedMs);
    },
  },
  {
    title: 'commit with lifetimeMs 0 leaves the lifetime as it is, another one sets it',
    async run(bench) {
      const [table, key, claim] = [await bench.driver(), bench.key(), bench.claim()];
      await created(table, key, claim, 'keep', replaces(FIRST, 50_000));
      const lifetimeMs = async () => (await recordOf(table, key)).lifetimeMs;
      await table.commit(key, claim.grant, at(claim, 1), sets({ a: '1' }, [], 0), 'keep');
      bench.proof.equal(await lifetimeMs(), 50_000, 'after a change with lifetimeMs 0');
      await table.commit(key, claim.grant, at(claim, 2), sets({ a: '2' }, [], 70_000), 'keep');
      bench.proof.equal(await lifetimeMs(), 70_000, 'after a change with 70,000');
      await table.commit(key, claim.grant, undefined, { ...unchanged, lifetimeMs: 40_000 }, 'release');
      bench.proof.equal(await lifetimeMs(), 40_000, 'after a release with 40,000');
      assert.equal((await recordOf(table, key)).stamp.version, 3);
    },
  },
];

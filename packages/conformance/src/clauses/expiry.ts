import type { SessionTable } from '@cluster/core/driver';
import type { TableBench, TableClause } from '../driver-bench.js';
import { at, created, FIRST, granted, LONG_MS, recordOf, replaces, sets, stateOf, unchanged } from './contents.js';

const ROUNDS = 20;
const ROUNDING_MS = 20;

/** A key whose record has expired. */
async function expired(bench: TableBench, table: SessionTable): Promise<string> {
  const key = bench.key();
  await created(table, key, bench.claim(), 'release', replaces(FIRST, bench.paceMs));
  await bench.time.becomes('a record expires', async () => (await table.read(key)).kind === 'absent', bench.paceMs * 1.1 + bench.limits.lateMs);
  return key;
}

/** Whether a record is there after its first lifetime, `renew` having been called within it. */
async function outlives(bench: TableBench, table: SessionTable, renew: (key: string, grant: string) => Promise<unknown>): Promise<boolean> {
  const [key, firstMs] = await bench.time.inTime(async (spanMs) => {
    const [fresh, claim] = [bench.key(), bench.claim()];
    const validUntilMs = bench.time.nowMs() + spanMs;
    await created(table, fresh, claim, 'keep', replaces(FIRST, spanMs));
    await renew(fresh, claim.grant);
    return { seen: [fresh, spanMs] as const, validUntilMs };
  });
  await bench.time.wait(firstMs * 1.1 + bench.limits.lateMs);
  return (await table.read(key)).kind === 'record';
}

export const expiryClauses: readonly TableClause[] = [
  {
    title: 'a record is not gone before its lifetime is over',
    async run(bench) {
      const table = await bench.driver();
      const kinds = await bench.time.inTime(async (spanMs) => {
        const [key, claim, beginMs] = [bench.key(), bench.claim(), bench.time.nowMs()];
        await created(table, key, claim, 'keep', replaces(FIRST, spanMs));
        const seen = [];
        do {
          seen.push((await table.read(key)).kind);
          await bench.time.wait(spanMs / 6);
        } while (bench.time.nowMs() < beginMs + spanMs * 0.8);
        return { seen, validUntilMs: beginMs + spanMs };
      });
      bench.proof.equal(kinds, kinds.map(() => 'record'), 'what reads saw within the lifetime');
    },
  },
  {
    title: 'an expired record is absent to every call',
    async run(bench) {
      const table = await bench.driver();
      const key = await expired(bench, table);
      bench.proof.equal(await table.acquire(key, bench.claim()), { kind: 'absent' }, 'acquire');
      bench.proof.equal(await table.remove(key, bench.claim().grant, undefined, 'removed', LONG_MS), { kind: 'fenced' },
        'remove under a grant');
      bench.proof.equal(await table.touch(new Map([[key, LONG_MS]])), new Set([key]), 'touch');
      bench.proof.equal(await table.remove(key, undefined, undefined, 'removed', LONG_MS), { kind: 'removed' }, 'a forced remove');
      bench.proof.equal(await table.read(key), { kind: 'absent' }, 'read');
      const claim = bench.claim();
      bench.proof.equal(await table.create(key, claim, replaces({ z: '26' }), 'keep'), 'created', 'create');
      bench.proof.equal((await recordOf(table, key)).stamp, { grant: claim.grant, version: 1 }, 'the stamp of the new record');
    },
  },
  {
    title: 'commit with a lifetime makes the record live on, also without a change',
    async run(bench) {
      const table = await bench.driver();
      bench.proof.ok(await outlives(bench, table, (key, grant) => table.commit(key, grant, { grant, version: 1 }, sets({ a: '1' }), 'keep')),
        'after a change');
      bench.proof.ok(await outlives(bench, table, (key, grant) => table.commit(key, grant, undefined, { ...unchanged, lifetimeMs: LONG_MS }, 'keep')),
        'after a commit without a change');
    },
  },
  {
    title: 'commit with a shorter lifetime ends the record sooner, also without a change, held or released',
    async run(bench) {
      const table = await bench.driver();
      const keys: string[] = [];
      for (const [write, then] of [[sets({ a: '1' }, [], bench.paceMs), 'keep'], [{ ...unchanged, lifetimeMs: bench.paceMs }, 'release']] as const) {
        const [key, claim] = [bench.key(), bench.claim()];
        await created(table, key, claim);
        await table.commit(key, claim.grant, at(claim, 1), write, then);
        keys.push(key);
      }
      const kinds = async () => Promise.all(keys.map(async (key) => (await table.read(key)).kind));
      const withinMs = bench.paceMs * 1.1 + bench.limits.lateMs;
      await bench.time.becomes('both records expire', async () => (await kinds()).every((kind) => kind === 'absent'), withinMs).catch(() => undefined);
      bench.proof.equal(await kinds(), ['absent', 'absent'], `what is there after a lifetime of ${bench.paceMs} ms`);
    },
  },
  {
    title: 'read does not make the record live on',
    async run(bench) {
      const [table, key] = [await bench.driver(), bench.key()];
      await created(table, key, bench.claim(), 'release', replaces(FIRST, bench.paceMs));
      await bench.time.becomes('a record expires although it is read all the time', async () => (await table.read(key)).kind === 'absent',
        bench.paceMs * 1.1 + bench.limits.lateMs);
      bench.proof.equal(await table.read(key), { kind: 'absent' }, 'what is there');
    },
  },
  {
    title: 'touch makes a held or free record live on, whoever holds it, and keeps stamp, holder and content',
    async run(bench) {
      const [table, other] = [await bench.driver(), await bench.driver()];
      bench.proof.ok(await outlives(bench, table, (key) => other.touch(new Map([[key, LONG_MS]]))),
        'it is there after its first lifetime');
      const [held, free] = [bench.key(), bench.key()];
      await created(table, held, bench.claim());
      await created(table, free, bench.claim(), 'release');
      const before = [await stateOf(table, held), await stateOf(table, free)];
      bench.proof.equal(await other.touch(new Map([[held, LONG_MS], [free, LONG_MS]])), new Set(), 'the keys that exist no more');
      bench.proof.equal([await stateOf(table, held), await stateOf(table, free)], before, 'the records afterwards');
    },
  },
  {
    title: 'touch made twice is touched twice; it only lengthens',
    async run(bench) {
      const [table, key, claim] = [await bench.driver(), bench.key(), bench.claim()];
      const beginMs = bench.time.nowMs();
      await created(table, key, claim);
      for (let n = 0; n < 2; n += 1) bench.proof.equal(await table.touch(new Map([[key, bench.paceMs]])), new Set(),
        'the keys that exist no more');
      const { lifetimeMs, idleMs } = await recordOf(table, key);
      bench.proof.ok(lifetimeMs - idleMs >= LONG_MS - (bench.time.nowMs() - beginMs) - ROUNDING_MS,
        `${lifetimeMs - idleMs} ms left of ${LONG_MS}`);
      await bench.time.wait(bench.paceMs * 1.5);
      bench.proof.equal((await table.read(key)).kind, 'record', 'after the shorter lifetime');
    },
  },
  {
    title: 'touch made late, after the session ended, names the key and brings nothing back',
    async run(bench) {
      const [table, removed, never] = [await bench.driver(), bench.key(), bench.key()];
      const [live, claim] = [bench.key(), bench.claim()];
      await created(table, live, claim);
      await created(table, removed, claim);
      await table.remove(removed, undefined, undefined, 'removed', LONG_MS);
      const over = await expired(bench, table);
      bench.proof.equal(await table.touch(new Map([removed, never, over, live].map((key) => [key, LONG_MS]))), new Set([removed, never, over]),
        'the keys that exist no more');
      bench.proof.equal([await table.read(removed), await table.read(never), await table.read(over)],
        [{ kind: 'absent', gone: 'removed' }, { kind: 'absent' }, { kind: 'absent' }], 'what is there afterwards');
    },
  },
  {
    title: 'touches and commits at once lose no commit',
    async run(bench) {
      const [table, other, key, claim] = [await bench.driver(), await bench.driver(), bench.key(), bench.claim()];
      await created(table, key, claim, 'keep', replaces({ n: '1' }));
      for (let version = 1; version <= ROUNDS; version += 1) {
        const commit = () => table.commit(key, claim.grant, at(claim, version), sets({ n: String(version + 1) }), 'keep');
        const touch = () => other.touch(new Map([[key, LONG_MS]]));
        if (version % 2 === 0) await Promise.all([commit(), touch()]);
        else await Promise.all([touch(), commit()]);
        const { stamp, attributes } = granted(await table.acquire(key, claim));
        bench.proof.equal([stamp.version, attributes?.get('n')], [version + 1, String(version + 1)], 'version and content');
      }
    },
  },
];

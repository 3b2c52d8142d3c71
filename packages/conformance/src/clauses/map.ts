import assert from 'node:assert/strict';
import type { Entry, SessionMap } from '@cluster/core/driver';
import { inTurn, type MapBench, type MapClause } from '../driver-bench.js';
import { LONG_MS } from './contents.js';
import { KEY_ALPHABET, longText, MAX_KEY_LENGTH, ODD_TEXTS } from './odd-texts.js';

const AT_ONCE = 8;
const ROUNDS = 10;
const INCREMENTS = 40;
const ROUNDING_MS = 20;
const SECOND_MS = 1_000;

const entry = (value: string, lifetimeMs = LONG_MS): Entry => ({ value, lifetimeMs });

/** Puts a first value, which a clause takes for granted. */
async function first(map: SessionMap, key: string, put: Entry): Promise<string> {
  const revision = await map.compareAndSet(key, undefined, put);
  assert.ok(revision !== undefined, 'the ground of this clause: a put on a fresh key');
  return revision;
}

const valueOf = async (map: SessionMap, key: string) => (await map.get(key))?.value;

/** A key whose entry has expired, and the revision that it had. */
async function expired(bench: MapBench, map: SessionMap): Promise<[string, string]> {
  const key = bench.key();
  const revision = await first(map, key, entry('over', bench.paceMs));
  await bench.time.becomes('get finds nothing where a lifetime is over (lateMs of the harness says how late that may be)', async () => await map.get(key) === undefined, bench.paceMs * 1.1 + bench.limits.lateMs);
  return [key, revision];
}

async function increment(map: SessionMap, key: string): Promise<void> {
  for (let attempt = 0; attempt < 10_000; attempt += 1) {
    const found = await map.get(key);
    assert.ok(found !== undefined);
    if (await map.compareAndSet(key, found.revision, entry(String(Number(found.value) + 1))) !== undefined) return;
  }
  assert.fail('ten thousand conflicts in a row');
}

const timeClauses: readonly MapClause[] = [
  {
    title: 'an entry is not gone before its lifetime is over, which each put begins anew',
    async run(bench) {
      const map = await bench.driver();
      const values = await bench.time.inTime(async (spanMs) => {
        const [key, firstMs] = [bench.key(), bench.time.nowMs()];
        const revision = await first(map, key, entry('a', spanMs));
        await bench.time.wait(spanMs * 0.6);
        const [secondMs, seen] = [bench.time.nowMs(), [await valueOf(map, key)]];
        await map.compareAndSet(key, revision, entry('b', spanMs));
        const renewedInTime = bench.time.nowMs() < firstMs + spanMs;
        await bench.time.wait(spanMs * 0.6);
        return { seen: [...seen, await valueOf(map, key)], validUntilMs: renewedInTime ? secondMs + spanMs : 0 };
      });
      bench.proof.equal(values, ['a', 'b'], 'what is there within the lifetimes');
    },
  },
  {
    title: 'a lifetime of parts of a second is not cut to whole seconds',
    async run(bench) {
      const map = await bench.driver();
      const value = await bench.time.inTime(async (spanMs) => {
        const [key, lifetimeMs, beginMs] = [bench.key(), Math.ceil(spanMs / SECOND_MS) * SECOND_MS + 900, bench.time.nowMs()];
        await first(map, key, entry('a', lifetimeMs));
        await bench.time.wait(lifetimeMs - 200);
        return { seen: await valueOf(map, key), validUntilMs: beginMs + lifetimeMs };
      });
      bench.proof.equal(value, 'a', 'what is there 200 ms before the end of a lifetime of so many seconds and 900 ms');
    },
  },
  {
    title: 'a put with a shorter lifetime ends sooner',
    async run(bench) {
      const [map, key] = [await bench.driver(), bench.key()];
      const revision = await first(map, key, entry('long'));
      await map.compareAndSet(key, revision, entry('short', bench.paceMs));
      const withinMs = bench.paceMs * 1.1 + bench.limits.lateMs;
      const over = await bench.time.becomes('the entry expires', async () => await map.get(key) === undefined, withinMs)
        .then(() => true, () => false);
      bench.proof.ok(over, `it is gone within ${withinMs} ms`);
    },
  },
  {
    title: 'an expired entry counts as absent: a put without a revision is accepted',
    async run(bench) {
      const map = await bench.driver();
      const [key] = await expired(bench, map);
      bench.proof.ok(await map.compareAndSet(key, undefined, entry('new')) !== undefined, 'the put is accepted');
      bench.proof.equal(await valueOf(map, key), 'new', 'what is there');
    },
  },
  {
    title: 'where ageMs is given it counts from the last put',
    async run(bench) {
      const [map, key, beginMs] = [await bench.driver(), bench.key(), bench.time.nowMs()];
      const revision = await first(map, key, entry('a'));
      await bench.time.wait(bench.paceMs);
      const age = async (sinceMs: number, atLeastMs: number) => {
        const ageMs = (await map.get(key))?.ageMs;
        const mostMs = bench.time.nowMs() - sinceMs + ROUNDING_MS;
        bench.proof.ok(ageMs === undefined || (ageMs >= atLeastMs - ROUNDING_MS && ageMs <= mostMs),
          `an age of ${ageMs} ms, at most ${mostMs} ms after the put`);
      };
      await age(beginMs, bench.paceMs);
      const againMs = bench.time.nowMs();
      await map.compareAndSet(key, revision, entry('b'));
      await age(againMs, 0);
    },
  },
];

const valueClauses: readonly MapClause[] = [
  {
    title: 'values of any text come back as they were, also as updates',
    async run(bench) {
      const [map, other] = [await bench.driver(), await bench.driver()];
      for (const value of [...ODD_TEXTS, ODD_TEXTS.join('\n')].filter((text) => text !== '')) {
        const key = bench.key();
        const revision = await first(map, key, entry(value));
        bench.proof.equal(await valueOf(other, key), value, 'the first value');
        await map.compareAndSet(key, revision, entry(`${value}${value}`));
        bench.proof.equal(await valueOf(other, key), `${value}${value}`, 'the second value');
      }
    },
  },
  {
    title: 'values of the greatest size come back',
    async run(bench) {
      const [map, key, { maxValueBytes }] = [await bench.driver(), bench.key(), bench.limits];
      const revision = await first(map, key, entry(longText(maxValueBytes)));
      bench.proof.equal(await valueOf(map, key), longText(maxValueBytes), `${maxValueBytes} characters of one byte`);
      const wide = '漢'.repeat(Math.floor(maxValueBytes / 3));
      await map.compareAndSet(key, revision, entry(wide));
      bench.proof.equal(await valueOf(map, key), wide, `${wide.length} characters of three bytes`);
    },
  },
  {
    title: 'keys of the whole alphabet and of 200 characters are keys of their own',
    async run(bench) {
      const [map, prefix] = [await bench.driver(), bench.key()];
      const long = (end: string) => `${prefix}.`.padEnd(MAX_KEY_LENGTH - 1, 'k') + end;
      const keys = [prefix, `${prefix}.`, `${prefix}-`, `${prefix}_`, `${prefix}.A`, `${prefix}.a`, `${prefix}..`, `${prefix}.${KEY_ALPHABET}`,
        long('0'), long('1'), long('O'), long('o')];
      for (const key of keys) await first(map, key, entry(key));
      for (const key of keys) bench.proof.equal(await valueOf(map, key), key, `the value of ${key}`);
    },
  },
];

/** The first clause of the kit: an update that creates undoes a logout. */
const updateOfAbsent: MapClause = {
  title: 'an update of an absent or expired key is refused',
  async run(bench) {
    const [map, live] = [await bench.driver(), bench.key()];
    const revision = await first(map, live, entry('live'));
    const [over, overRevision] = await expired(bench, map);
    for (const [key, expected, which] of [[bench.key(), revision, 'absent'], [over, overRevision, 'expired']] as const) {
      bench.proof.equal(await map.compareAndSet(key, expected, entry('back')), undefined, `the answer for an ${which} key`);
      bench.proof.equal(await map.get(key), undefined, `what is there afterwards under an ${which} key`);
    }
  },
};

export const mapClauses: readonly MapClause[] = [
  updateOfAbsent,
  {
    title: 'a put without a revision creates, and get finds its value and revision',
    async run(bench) {
      const [map, other, key] = [await bench.driver(), await bench.driver(), bench.key()];
      bench.proof.equal(await map.get(key), undefined, 'before');
      const revision = await first(map, key, entry('one'));
      const found = await other.get(key);
      bench.proof.equal([found?.value, found?.revision], ['one', revision], 'after');
    },
  },
  {
    title: 'a put without a revision is refused where something lives, also made twice',
    async run(bench) {
      const [map, key] = [await bench.driver(), bench.key()];
      const revision = await first(map, key, entry('one'));
      for (const value of ['two', 'one']) bench.proof.equal(await map.compareAndSet(key, undefined, entry(value)), undefined,
        'the answer');
      const found = await map.get(key);
      bench.proof.equal([found?.value, found?.revision], ['one', revision], 'what is there');
    },
  },
  {
    title: 'a put at the present revision replaces the value and the revision, also by the same value',
    async run(bench) {
      const [map, other, key] = [await bench.driver(), await bench.driver(), bench.key()];
      let revision = await first(map, key, entry('one'));
      for (const value of ['two', 'two', 'three']) {
        const next = await other.compareAndSet(key, revision, entry(value));
        bench.proof.ok(next !== undefined && next !== revision, 'the answer is another revision');
        const found = await map.get(key);
        bench.proof.equal([found?.value, found?.revision], [value, next], 'what is there');
        revision = String(next);
      }
    },
  },
  {
    title: 'a put at an older revision is refused, also made twice or late',
    async run(bench) {
      const [map, other, key] = [await bench.driver(), await bench.driver(), bench.key()];
      const one = await first(map, key, entry('one'));
      const two = await map.compareAndSet(key, one, entry('two'));
      bench.proof.equal(await map.compareAndSet(key, one, entry('two')), undefined, 'the same put again');
      await map.compareAndSet(key, two, entry('three'));
      bench.proof.equal(await other.compareAndSet(key, one, entry('late')), undefined, 'a late put');
      bench.proof.equal(await valueOf(map, key), 'three', 'what is there');
    },
  },
  {
    title: 'a revision is never used again, also after expiry and creation anew',
    async run(bench) {
      const [maps, key] = [await bench.two(), bench.key()];
      const revisions: (string | undefined)[] = [];
      for (let life = 0; life < 3; life += 1) {
        const last = inTurn(maps, life);
        revisions.push(await first(last, key, entry('same')));
        for (let n = 0; n < 5; n += 1) {
          revisions.push(await last.compareAndSet(key, revisions.at(-1), entry('same', n === 4 ? bench.paceMs : LONG_MS)));
        }
        await bench.time.becomes('get finds nothing where a lifetime is over (lateMs of the harness says how late that may be)', async () => await maps[0].get(key) === undefined,
          bench.paceMs * 1.1 + bench.limits.lateMs);
        await maps[0].sweep?.(100);
      }
      bench.proof.equal([new Set(revisions).size, revisions.includes(undefined)], [revisions.length, false],
        `different ones of ${revisions.length} revisions`);
    },
  },
  {
    title: 'of several puts at once with the same revision exactly one is accepted',
    async run(bench) {
      const maps = await bench.two();
      for (let round = 0; round < ROUNDS; round += 1) {
        const key = bench.key();
        let expected: string | undefined;
        for (const stage of ['creation', 'update', 'second update']) {
          const answers = await Promise.all(Array.from({ length: AT_ONCE }, (_unused, n) =>
            inTurn(maps, n + round).compareAndSet(key, expected, entry(`${stage} ${n}`))));
          const winner = answers.findIndex((answer) => answer !== undefined);
          bench.proof.equal(answers.filter((answer) => answer !== undefined).length, 1, `puts accepted as the ${stage}`);
          const found = await inTurn(maps, round).get(key);
          bench.proof.equal([found?.value, found?.revision], [`${stage} ${winner}`, answers[winner]], 'what is there');
          expected = answers[winner];
        }
      }
    },
  },
  {
    title: 'increments of two driver objects lose none',
    async run(bench) {
      const [maps, key] = [await bench.two(), bench.key()];
      await first(maps[0], key, entry('0'));
      await Promise.all(maps.map(async (map) => {
        for (let n = 0; n < INCREMENTS / 2; n += 1) await increment(map, key);
      }));
      bench.proof.equal(await valueOf(maps[1], key), String(INCREMENTS), 'the counter');
    },
  },
  ...timeClauses, ...valueClauses,
];

import type { Encoded, SessionTable } from '@cluster/core/driver';
import type { TableBench, TableClause } from '../driver-bench.js';
import { at, contentOf, created, recordOf, replaces, sets } from './contents.js';
import { KEY_ALPHABET, longText, MAX_KEY_LENGTH, ODD_NAMES, ODD_TEXTS } from './odd-texts.js';

const everyByte = (): Uint8Array => Uint8Array.from({ length: 256 }, (_unused, n) => n);

/** Stores the content by a create and by commits, and compares what another instance reads each time. */
async function comesBack(bench: TableBench, content: ReadonlyMap<string, Encoded>, what: string): Promise<void> {
  const [table, other, key, claim] = [await bench.driver(), await bench.driver(), bench.key(), bench.claim()];
  await created(table, key, claim, 'keep', replaces(content));
  bench.proof.equal((await recordOf(other, key)).attributes, content, `${what}, created`);
  await table.commit(key, claim.grant, at(claim, 1), replaces({ z: '26' }), 'keep');
  await table.commit(key, claim.grant, at(claim, 2), { ...sets({}, ['z']), change: { set: content, remove: ['z'], whole: false } }, 'keep');
  bench.proof.equal((await recordOf(other, key)).attributes, content, `${what}, committed as a delta`);
  await table.commit(key, claim.grant, at(claim, 3), replaces(content), 'keep');
  bench.proof.equal((await recordOf(other, key)).attributes, content, `${what}, committed as a whole`);
}

async function distinct(bench: TableBench, table: SessionTable, keys: readonly string[]): Promise<void> {
  for (const key of keys) await created(table, key, bench.claim(), 'release', replaces({ key }));
  for (const key of keys) bench.proof.equal((await recordOf(table, key)).attributes, contentOf({ key }), `the record of ${key}`);
}

export const contentClauses: readonly TableClause[] = [
  {
    title: 'attributes of text come back as they were',
    run: (bench) => comesBack(bench, new Map([...ODD_TEXTS, 'zero \u0000 inside'].map((text, n) => [`t${n}`, text])), 'texts'),
  },
  {
    title: 'attributes of bytes come back as bytes, and texts beside them as texts',
    async run(bench) {
      const bytes = everyByte();
      const texts = { empty: '', decimal: '[1,2,3]', base64: Buffer.from(bytes).toString('base64') };
      await comesBack(bench, new Map<string, Encoded>([['bytes', bytes], ['none', new Uint8Array()], ...contentOf(texts)]), 'bytes');
    },
  },
  {
    title: 'attributes of any name come back under that name',
    run: (bench) => comesBack(bench, new Map(ODD_NAMES.map((name, n) => [name, String(n)])), 'names'),
  },
  {
    title: 'attributes of any name can be removed',
    async run(bench) {
      const [table, key, claim] = [await bench.driver(), bench.key(), bench.claim()];
      await created(table, key, claim, 'keep', replaces(new Map(ODD_NAMES.map((name) => [name, '1']))));
      const [kept, ...removed] = ODD_NAMES;
      await table.commit(key, claim.grant, at(claim, 1), sets({}, removed), 'keep');
      bench.proof.equal((await recordOf(table, key)).attributes, new Map([[kept, '1']]), 'the content');
    },
  },
  {
    title: 'a session without attributes stays one',
    run: (bench) => comesBack(bench, new Map(), 'no attributes'),
  },
  {
    title: 'a thousand attributes and one large one come back',
    async run(bench) {
      // Half of the limit: bytes and records have a frame around them.
      const large = longText(bench.limits.maxValueBytes / 2);
      await comesBack(bench, new Map([['large', large], ...Array.from({ length: 1000 }, (_unused, n) => [`n${n}`, String(n)] as const)]), 'much');
    },
  },
  {
    title: 'keys of the whole alphabet and of 200 characters are keys of their own',
    async run(bench) {
      const table = await bench.driver();
      const prefix = bench.key();
      const long = (end: string) => `${prefix}.`.padEnd(MAX_KEY_LENGTH - 1, 'k') + end;
      await distinct(bench, table, [prefix, `${prefix}.`, `${prefix}-`, `${prefix}_`, `${prefix}.A`, `${prefix}.a`, `${prefix}..`,
        `${prefix}.${KEY_ALPHABET}`, long('0'), long('1'), long('O'), long('o')]);
    },
  },
];

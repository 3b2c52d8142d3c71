import type { Encoded } from '@cluster/core/driver';
import { NEW, RELEASE, type StoreBench, type StoreClause } from '../store-bench.js';
import { longText, ODD_NAMES, ODD_TEXTS } from './odd-texts.js';

const ODD_IDS: readonly string[] = [
  'a b', 'a/b', '../a', '..', '.', 'a:b', 'a"b', 'a\'b', 'a\\b', 'a\nb', 'a*', 'a?', '%00', '$a', '__proto__', 'constructor', 'ключ', '鍵', '🔑', 'é', 'A', 'a',
];

/** Adds the content, replaces it and puts it back, and compares what the other instance finds. */
async function comesBack(bench: StoreBench, content: ReadonlyMap<string, Encoded>, what: string): Promise<void> {
  const [one, other] = await bench.two();
  const id = bench.id();
  await one.send(bench.session(id, content), NEW);
  bench.proof.equal(await bench.content(other, id), content, `${what}, added`);
  await other.send({ ...await bench.found(other, id), attributes: new Map([['z', '26']]) }, RELEASE);
  await one.send({ ...await bench.found(one, id), attributes: content }, RELEASE);
  bench.proof.equal(await bench.content(other, id), content, `${what}, updated`);
}

export const storeContentClauses: readonly StoreClause[] = [
  {
    title: 'attributes of text and of bytes come back as they were',
    async run(bench) {
      const bytes = Uint8Array.from({ length: 256 }, (_unused, n) => n);
      const texts = [...ODD_TEXTS, Buffer.from(bytes).toString('base64')];
      await comesBack(bench, new Map<string, Encoded>([
        ['bytes', bytes], ['none', new Uint8Array()], ...texts.map((text, n) => [`t${n}`, text] as const),
      ]), 'texts and bytes');
    },
  },
  {
    title: 'attributes of any name come back under that name',
    run: (bench) => comesBack(bench, new Map(ODD_NAMES.map((name, n) => [name, String(n)])), 'names'),
  },
  {
    title: 'a session without attributes stays one, and a large one comes back',
    async run(bench) {
      await comesBack(bench, new Map(), 'no attributes');
      // Half of the limit: a record has a frame around its content.
      await comesBack(bench, new Map([['large', longText(bench.limits.maxValueBytes / 2)]]), 'much');
    },
  },
  {
    title: 'sessions of any id are sessions of their own',
    async run(bench) {
      const [one, other] = await bench.two();
      const prefix = bench.id();
      const ids = ODD_IDS.map((id) => `${prefix}${id}`);
      for (const id of ids) await one.send(bench.session(id, { id }), NEW);
      for (const id of ids) bench.proof.equal(await bench.content(other, id), new Map([['id', id]]),
        `the content of ${JSON.stringify(id)}`);
    },
  },
];

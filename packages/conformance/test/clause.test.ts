import { describe, expect, it, jest } from '@jest/globals';
import { registerClauses, type Clause, type WithBench } from '../src/clause.js';
import { canonical, type Proof } from '../src/proof.js';
import { CollectingRunner } from './collecting-runner.js';

const clauses: readonly Clause<string, Proof>[] = [
  { title: 'asserts', run: async (proof) => { proof.ok(true, 'fine'); } },
  { title: 'asserts nothing', run: () => Promise.resolve() },
  { title: 'is not held', exempt: (subject) => `${subject} cannot`, run: () => Promise.reject(new Error('never run')) },
];
const withBench: WithBench<Proof> = (proof, work) => work(proof);

function registered(): CollectingRunner {
  const runner = new CollectingRunner();
  registerClauses(runner.functions, clauses, 'a stone', withBench);
  return runner;
}

const failures = (outcomes: Awaited<ReturnType<CollectingRunner['run']>>) => outcomes.filter(({ error }) => error !== undefined).map(({ title }) => title);

describe('clauses', () => {
  it('fail if they assert nothing', async () => {
    expect(failures(await registered().run())).toEqual(['asserts nothing', 'every clause was executed']);
  });

  it('are missed at the end if they were not executed', async () => {
    expect(failures(await registered().run((title) => title.startsWith('every')))).toEqual(['every clause was executed']);
  });

  it('fail by themselves if the subject never answers', async () => {
    const runner = new CollectingRunner();
    const hanging: Clause<string, Proof> = { title: 'hangs', run: () => new Promise(() => undefined) };
    registerClauses(runner.functions, [hanging], 'a stone', withBench, 1_010);
    const [first] = await runner.run();
    expect(String(first?.error)).toContain('did not settle within 10 ms');
  });

  it('that a subject is exempt from are skipped, with the reason', () => {
    const { skipped, tests } = registered();
    expect(skipped).toEqual(['is not held (skipped: a stone cannot)']);
    expect(tests.map(({ title }) => title)).toEqual(['asserts', 'asserts nothing', 'every clause was executed']);
  });

  it('that a subject is exempt from are printed by a runner that cannot skip', async () => {
    const runner = new CollectingRunner();
    const printed = jest.spyOn(console, 'info').mockImplementation(() => undefined);
    try {
      const it = (title: string, body: () => Promise<void>) => { runner.it(title, body); };
      registerClauses({ ...runner.functions, it }, clauses, 'a stone', withBench);
      const skipped = 'is not held (skipped: a stone cannot)';
      expect(await runner.run((title) => title === skipped)).toEqual([{ title: skipped, error: undefined }]);
      expect(printed.mock.calls).toEqual([[skipped]]);
    } finally {
      printed.mockRestore();
    }
  });

  it('tell the runner how long they may take, before the call or after it', () => {
    const before: (number | undefined)[] = [];
    const after: number[] = [];
    const it = (_title: string, _body: () => Promise<void>, timeoutMs?: number) => {
      before.push(timeoutMs);
      return { timeout: (ms: number) => after.push(ms) };
    };
    registerClauses({ describe: () => undefined, it }, clauses.slice(0, 2), 'a stone', withBench, 7_000);
    expect({ before, after }).toEqual({ before: [7_000, 7_000, undefined], after: [7_000, 7_000] });
  });
});

describe('what assertions compare', () => {
  it.each<[unknown, unknown]>([
    [{ a: 1, b: undefined }, { a: 1 }],
    [new Map([['x', 1], ['y', 2]]), new Map([['y', 2], ['x', 1]])],
    [Buffer.from('ab'), Uint8Array.of(97, 98)],
    [new Set(['a', 'b']), new Set(['b', 'a'])],
  ])('as equal: pair %#', (one, other) => { expect(canonical(one)).toBe(canonical(other)); });

  it.each<[unknown, unknown]>([
    ['1', 1], [new Map([['x', 1]]), { x: 1 }], [Uint8Array.of(1), 'bytes 01'], ['x'.repeat(1000), `${'x'.repeat(999)}y`], [undefined, null],
    [Uint8Array.from({ length: 500 }), Uint8Array.from({ length: 501 })], [['a', 'b'], ['b', 'a']],
  ])('as different: pair %#', (one, other) => { expect(canonical(one)).not.toBe(canonical(other)); });
});

import assert from 'node:assert/strict';
import { describeError, isAssertion, Proof } from './proof.js';

/** `it` of a test runner. */
export interface TestFunction {
  /** Jest and vitest take `timeoutMs`; mocha takes it on what `it` returns; node:test has no time-out unless it is given one. */
  (title: string, body: () => Promise<void>, timeoutMs?: number): unknown;
  /** What registers a test that is not run. Without it a clause that is skipped is a test that passes and says so. */
  skip?(title: string, body: () => Promise<void>): unknown;
}

/** What the kit needs of a test runner: `describe` and `it` of jest, node:test, mocha or vitest. */
export interface Runner {
  describe(title: string, body: () => void): unknown;
  readonly it: TestFunction;
}

/** One sentence of the contract, and how it is put to the test. `S`: what the subject offers, `B`: what the test works on. */
export interface Clause<S, B> {
  readonly title: string;
  /** The reason why this subject is not held to the clause; undefined: it is. */
  readonly exempt?: (subject: S) => string | undefined;
  readonly run: (bench: B) => Promise<void>;
}

/** Gives one clause its bench, and clears it away afterwards. */
export type WithBench<B> = (proof: Proof, work: (bench: B) => Promise<void>) => Promise<void>;

const CLAUSE_TIMEOUT_MS = 60_000;
/** So that the clause says why before the runner only says that it took too long. */
const SPARE_MS = 1_000;

/** Which clauses were executed, and how many assertions each of them made. */
class Ledger {
  readonly #counts = new Map<string, number>();

  note(title: string, assertions: number): void {
    this.#counts.set(title, assertions);
  }

  notExecuted(titles: readonly string[]): string[] {
    return titles.filter((title) => !this.#counts.has(title));
  }
}

/** Fails a clause whose subject never answers; a runner without time-outs would wait for ever, or end without a word. */
async function within(ms: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => { reject(new assert.AssertionError({ message: `a call of the store did not settle within ${ms} ms` })); }, ms);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function execute<S, B>(clause: Clause<S, B>, withBench: WithBench<B>, ledger: Ledger, timeoutMs: number): Promise<void> {
  const proof = new Proof();
  try {
    await within(timeoutMs, withBench(proof, clause.run));
  } catch (error) {
    // It did run: its own test reports it, the count at the end need not.
    ledger.note(clause.title, proof.count);
    if (isAssertion(error)) throw error;
    throw new Error(`a call that this clause takes for granted failed: ${describeError(error)}`, { cause: error });
  }
  assert.ok(proof.count > 0, 'the clause made none of its assertions');
  ledger.note(clause.title, proof.count);
}

const takesTimeout = (test: unknown): test is { timeout(ms: number): unknown } =>
  typeof test === 'object' && test !== null && 'timeout' in test && typeof test.timeout === 'function';

/** Registers a clause as skipped, by the runner's own means if it has any: never without its reason. */
function registerSkipped(runner: Runner, title: string, reason: string): void {
  const skipped = `${title} (skipped: ${reason})`;
  if (typeof runner.it.skip === 'function') runner.it.skip(skipped, () => Promise.resolve());
  else runner.it(skipped, () => { console.info(skipped); return Promise.resolve(); });
}

/** Registers one test per clause, skipped ones with their reason in the title, and one that fails if a clause was left out. */
export function registerClauses<S, B>(
  runner: Runner, clauses: readonly Clause<S, B>[], subject: S, withBench: WithBench<B>, timeoutMs = CLAUSE_TIMEOUT_MS,
): void {
  const ledger = new Ledger();
  const held: string[] = [];
  for (const clause of clauses) {
    const reason = clause.exempt?.(subject);
    if (reason !== undefined) {
      registerSkipped(runner, clause.title, reason);
      continue;
    }
    held.push(clause.title);
    const test = runner.it(clause.title, () => execute(clause, withBench, ledger, timeoutMs - SPARE_MS), timeoutMs);
    if (takesTimeout(test)) test.timeout(timeoutMs);
  }
  runner.it('every clause was executed', () => Promise.resolve().then(() => { assert.deepEqual(ledger.notExecuted(held), []); }));
}

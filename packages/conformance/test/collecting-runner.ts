import type { Runner } from '../src/clause.js';

export interface Outcome { readonly title: string; readonly error: unknown }

/** A runner that keeps the tests and runs them when asked: those of the given titles, or all. */
export class CollectingRunner implements Runner {
  readonly tests: { readonly title: string; readonly body: () => Promise<void> }[] = [];
  /** The titles of tests that are not run. */
  readonly skipped: string[] = [];
  readonly it = Object.assign(
    (title: string, body: () => Promise<void>) => { this.tests.push({ title, body }); },
    { skip: (title: string) => { this.skipped.push(title); } },
  );

  describe(_title: string, body: () => void): void {
    body();
  }

  /** What can be taken off, as `const { describe, it }` does. */
  get functions(): Runner {
    return { describe: (title, body) => { this.describe(title, body); }, it: this.it };
  }

  async run(only: (title: string) => boolean = () => true): Promise<Outcome[]> {
    const outcomes: Outcome[] = [];
    for (const { title, body } of this.tests) {
      if (only(title)) outcomes.push({ title, error: await body().then(() => undefined, (error: unknown) => error ?? 'rejected') });
    }
    return outcomes;
  }
}

import type { Encoded, SessionTable, Write } from '@cluster/core/driver';
import { type Open, type Space } from '../reference-table.js';

/** One way to break a correct driver, and the clause that must notice. */
export interface Breakage<D, S> {
  readonly clause: string;
  readonly broken: string;
  /** The methods that differ from the correct ones. Called once per driver object. */
  readonly methods: (correct: D, space: S) => Partial<D>;
}

export type TableBreakage = Breakage<Open, Space>;

/** A turn of the event loop's microtasks: where a step is not atomic, others come in between. */
export const gap = (): Promise<void> => Promise.resolve();

/** Creates and commits write something else than they were given. */
export function writing(table: Open, attributes: (given: ReadonlyMap<string, Encoded>) => ReadonlyMap<string, Encoded>): Partial<SessionTable> {
  const spoilt = ({ change, lifetimeMs }: Write): Write =>
    ({ lifetimeMs, change: change && { ...change, set: attributes(change.set) } });
  return {
    create: (key, claim, write, then) => table.create(key, claim, spoilt(write), then),
    commit: (key, grant, base, write, then) => table.commit(key, grant, base, spoilt(write), then),
  };
}

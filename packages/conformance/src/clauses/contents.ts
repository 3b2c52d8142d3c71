import assert from 'node:assert/strict';
import type { Absent, Acquired, Claim, Encoded, SessionRecord, SessionTable, Stamp, Write } from '@cluster/core/driver';

/** A lifetime that ends within no clause. */
export const LONG_MS = 60_000;

type Texts = Readonly<Record<string, Encoded>>;

export const contentOf = (texts: Texts): Map<string, Encoded> => new Map(Object.entries(texts));

/** A write of some attributes. */
export const sets = (texts: Texts, remove: readonly string[] = [], lifetimeMs = LONG_MS): Write =>
  ({ change: { set: contentOf(texts), remove, whole: false }, lifetimeMs });

/** A write of the complete content. */
export const replaces = (texts: Texts | ReadonlyMap<string, Encoded>, lifetimeMs = LONG_MS): Write => {
  // The tag says that it is a map; the compiler cannot follow a tag.
  const isMap = Object.prototype.toString.call(texts) === '[object Map]';
  return { change: { set: isMap ? texts as ReadonlyMap<string, Encoded> : contentOf(texts as Texts), remove: [], whole: true }, lifetimeMs };
};

/** A commit without a change. */
export const unchanged: Write = { change: undefined, lifetimeMs: 0 };

/** The stamp of a version that was written under the claim's grant. */
export const at = ({ grant }: Claim, version: number): Stamp => ({ grant, version });

/** What {@link created} stores. */
export const FIRST: Texts = { a: '"first"', b: '[1,2]' };

/** Stores a session under the key; the claim holds it afterwards, or did. */
export async function created(
  table: SessionTable, key: string, claim: Claim, then: 'keep' | 'release' = 'keep', write: Write = replaces(FIRST),
): Promise<void> {
  assert.equal(await table.create(key, claim, write, then), 'created', 'the ground of this clause: a create on a fresh key');
}

/** The record that is there, which a clause takes for granted. */
export async function recordOf(table: SessionTable, key: string): Promise<SessionRecord> {
  return asRecord(await table.read(key));
}

export function asRecord(found: SessionRecord | Absent): SessionRecord {
  assert.ok(found.kind === 'record', 'a read of a live key found no record');
  return found;
}

/** The record of a grant, which a clause takes for granted. */
export function granted(acquired: Acquired): SessionRecord {
  assert.ok(acquired.kind === 'granted', `an acquire was not granted but answered ${acquired.kind}`);
  return acquired.record;
}

/** What must not change when a step is refused: everything but the durations. */
export function lasting({ stamp, holder, last, lifetimeMs, attributes }: SessionRecord) {
  return { stamp, holder, last, lifetimeMs, attributes };
}

/** {@link lasting} of what is there, or what there is instead. */
export async function stateOf(table: SessionTable, key: string) {
  const found = await table.read(key);
  return found.kind === 'record' ? lasting(found) : found;
}

import type { Change, Encoded } from '../drivers/session-table.js';
import { OWN_IDLE } from '../idle-timeout.js';
import { sameEncoded } from '../session.js';

/** What a snapshot request looked at: attribute names it read or wrote, and whether it looked at the set of names. */
export interface Seen {
  readonly seen: ReadonlySet<string>;
  readonly keysSeen: boolean;
  readonly base: ReadonlyMap<string, Encoded>;
}

/**
 * Names of attributes that a snapshot request saw and that are different now, by stored encodings. A changed key set counts
 * by the names that came or went. Empty: the request may commit as if it had run at this moment.
 */
export function touchedMeanwhile(request: Seen, present: ReadonlyMap<string, Encoded>): string[] {
  const touched = new Set<string>();
  for (const name of request.seen) {
    if (!sameEncoded(request.base.get(name), present.get(name))) touched.add(name);
  }
  if (request.keysSeen) {
    for (const name of request.base.keys()) if (!present.has(name) && name !== OWN_IDLE) touched.add(name);
    for (const name of present.keys()) if (!request.base.has(name) && name !== OWN_IDLE) touched.add(name);
  }
  return [...touched];
}

/** The same change, without what the present content already has; undefined if nothing is left. */
export function onTopOf(present: ReadonlyMap<string, Encoded>, change: Change): Change | undefined {
  const set = new Map([...change.set].filter(([name, encoded]) => !sameEncoded(present.get(name), encoded)));
  const remove = change.remove.filter((name) => present.has(name));
  return set.size === 0 && remove.length === 0 ? undefined : { set, remove, whole: false };
}

/** A change, and the content after it. */
export interface Changed {
  readonly change: Change;
  readonly content: ReadonlyMap<string, Encoded>;
}

/** The content after a change. */
export function applied(content: ReadonlyMap<string, Encoded>, change: Change): ReadonlyMap<string, Encoded> {
  if (change.whole) return change.set;
  const next = new Map<string, Encoded>();
  // Not by the constructor: it makes an array of each entry.
  for (const [name, encoded] of content) next.set(name, encoded);
  for (const name of change.remove) next.delete(name);
  for (const [name, encoded] of change.set) next.set(name, encoded);
  return next;
}

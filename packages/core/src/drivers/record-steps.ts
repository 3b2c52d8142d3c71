import { lifetimeByOwn, ownIdleTimeoutMs } from '../idle-timeout.js';
import { RECORD_FORMAT, type Stored, type StoredRecord } from '../record.js';
import type {
  Absent, Acquired, Claim, Committed, Encoded, Gone, Removed, SessionRecord, Stamp, Then, Write,
} from './session-table.js';

// The rules of a session table, each as one step from what is there to what is put and answered. No I/O, no clock.

/** What a call makes of the present content. Without `put` nothing changes. */
export interface Step<A> {
  readonly put?: Stored;
  readonly answer: A;
  /** The caller has the lock afterwards, or may have: its next put goes by this content. */
  readonly held?: boolean;
}

export const sameStamp = (a: Stamp, b: Stamp | undefined): boolean => a.grant === b?.grant && a.version === b.version;

export const microsecond = (ms: number): number => Math.round(ms * 1000) / 1000;

/** Moves the durations of what was put `sinceMs` ago to now; undefined if it had expired after `datedMs`, by the clock that dates. */
export function aged(stored: Stored, sinceMs: number, datedMs: number): Stored | undefined {
  const idleMs = stored.kind === 'record' ? stored.idleMs : 0;
  if (idleMs + datedMs >= stored.lifetimeMs) return undefined;
  if (stored.kind === 'tombstone') return stored;
  return {
    kind: 'record', stamp: stored.stamp, holder: stored.holder, last: stored.last,
    ageMs: microsecond(stored.ageMs + sinceMs), idleMs: microsecond(idleMs + sinceMs), putAtMs: stored.putAtMs,
    lifetimeMs: stored.lifetimeMs, attributes: stored.attributes,
  };
}

/** How much longer the map must keep it. */
export const remainingMs = (stored: Stored): number =>
  Math.max(1, Math.ceil(stored.lifetimeMs - (stored.kind === 'record' ? stored.idleMs : 0)));

export function sessionRecord(stored: StoredRecord, have: Stamp | undefined): SessionRecord {
  const { kind, stamp, holder, last, ageMs, idleMs, lifetimeMs } = stored;
  return {
    kind, format: RECORD_FORMAT, stamp, holder, last, ageMs, idleMs, lifetimeMs,
    attributes: sameStamp(stamp, have) ? undefined : stored.attributes,
  };
}

export const absent = (present: Stored | undefined): Absent =>
  (present?.kind === 'tombstone' ? { kind: 'absent', gone: present.why } : { kind: 'absent' });

const fenced = (present: Stored | undefined): { kind: 'fenced'; gone?: Gone } =>
  (present?.kind === 'tombstone' ? { kind: 'fenced', gone: present.why } : { kind: 'fenced' });

export function acquireStep(present: Stored | undefined, claim: Claim, from: string | undefined, have: Stamp | undefined): Step<Acquired> {
  if (present?.kind !== 'record') return { answer: absent(present) };
  const { holder } = present;
  if (holder?.grant === claim.grant) return { answer: { kind: 'granted', record: sessionRecord(present, have) }, held: true };
  if (holder !== undefined && holder.grant !== from) return { answer: { kind: 'busy', holder } };
  const put: StoredRecord = {
    kind: 'record', stamp: present.stamp, holder: claim, last: holder?.incarnation ?? present.last,
    ageMs: present.ageMs, idleMs: 0, putAtMs: present.putAtMs, lifetimeMs: present.lifetimeMs, attributes: present.attributes,
  };
  return { put, answer: { kind: 'granted', record: sessionRecord(put, have) }, held: true };
}

/** Claiming in rounds. `contended` answers when others took it each time, and had given it back by the next look: who waits asks again. */
export function acquiring(claim: Claim, from: string | undefined, have: Stamp | undefined) {
  let holder: Claim = { incarnation: '', grant: '' };
  return {
    decide: (present: Stored | undefined): Step<Acquired> => {
      if (present?.kind === 'record') holder = present.holder ?? holder;
      return acquireStep(present, claim, from, have);
    },
    contended: (): Acquired => ({ kind: 'busy', holder }),
  };
}

export function createStep(present: Stored | undefined, claim: Claim, write: Write, then: 'keep' | 'release'): Step<'created' | 'exists'> {
  if (present !== undefined) {
    return { answer: present.kind === 'record' && present.stamp.grant === claim.grant ? 'created' : 'exists' };
  }
  const put: StoredRecord = {
    kind: 'record', stamp: { grant: claim.grant, version: 1 }, holder: holderAfter(claim, then), last: then === 'keep' ? undefined : claim.incarnation,
    ageMs: 0, idleMs: 0, putAtMs: 0, lifetimeMs: write.lifetimeMs, attributes: new Map(write.change?.set),
  };
  return { put, answer: 'created', held: then === 'keep' };
}

export function commitStep(present: Stored | undefined, grant: string, base: Stamp | undefined, write: Write, then: Then): Step<Committed> {
  const { change } = write;
  if (present?.kind !== 'record') return { answer: fenced(present) };
  const { stamp, holder } = present;
  const next = change && base && { grant, version: base.version + 1 };
  if (next !== undefined && sameStamp(stamp, next)) return { answer: { kind: 'done', version: next.version } };
  if (holder?.grant !== grant) return { answer: { kind: 'fenced' } };
  if (change !== undefined && !sameStamp(stamp, base)) return { answer: { kind: 'behind' } };
  const isStored = change !== undefined && next !== undefined;
  const starts = write.lifetimeMs > 0;
  // Field by field, here and above: this is every write's way, and spreading objects into one another costs several times as much.
  const put: StoredRecord = {
    kind: 'record', stamp: isStored ? next : stamp,
    holder: holderAfter(holder, then), last: then === 'keep' ? present.last : holder.incarnation,
    ageMs: present.ageMs, idleMs: starts ? 0 : present.idleMs, putAtMs: present.putAtMs,
    lifetimeMs: starts ? write.lifetimeMs : present.lifetimeMs,
    attributes: isStored ? changed(present.attributes, change) : present.attributes,
  };
  return { put, answer: { kind: 'done', version: put.stamp.version }, held: then === 'keep' };
}

function changed(before: ReadonlyMap<string, Encoded>, change: NonNullable<Write['change']>): ReadonlyMap<string, Encoded> {
  const after = new Map<string, Encoded>();
  if (!change.whole) for (const [name, encoded] of before) after.set(name, encoded);
  for (const name of change.remove) after.delete(name);
  for (const [name, encoded] of change.set) after.set(name, encoded);
  return after;
}

const holderAfter = (holder: Claim, then: Then): Claim | undefined => (then === 'keep' ? holder : then === 'release' ? undefined : then);

export function removeStep(present: Stored | undefined, grant: string | undefined, base: Stamp | undefined, why: Gone, keepMs: number): Step<Removed> {
  const forced = grant === undefined;
  if (present === undefined) return { answer: forced ? { kind: 'removed' } : { kind: 'fenced' } };
  const { holder } = present;
  const removed: Removed = forced && holder !== undefined ? { kind: 'removed', holder } : { kind: 'removed' };
  if (present.kind === 'tombstone') {
    return { answer: (forced ? present.why === 'removed' : present.grant === grant) ? removed : fenced(present) };
  }
  if (!forced && holder?.grant !== grant) return { answer: { kind: 'fenced' } };
  if (!forced && base !== undefined && !sameStamp(present.stamp, base)) return { answer: { kind: 'behind' } };
  return { put: { kind: 'tombstone', why, grant, holder, putAtMs: 0, lifetimeMs: keepMs }, answer: removed };
}

export function touchStep(present: Stored | undefined, lifetimeMs: number): Step<'gone' | 'there'> {
  if (present?.kind !== 'record') return { answer: 'gone' };
  const longestMs = Math.max(present.lifetimeMs - present.idleMs, lifetimeMs);
  return { put: { ...present, idleMs: 0, lifetimeMs: lifetimeByOwn(longestMs, ownIdleTimeoutMs(present.attributes)) }, answer: 'there', held: true };
}

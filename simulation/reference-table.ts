import type {
  Absent, Acquired, Change, Claim, Committed, Encoded, Gone, Removed, SessionRecord, Stamp, StoreCapabilities, Then, Write,
} from '@cluster/core/driver';
import { allRules, type Rules } from './rules.js';

interface Row {
  readonly kind: 'record';
  readonly stamp: Stamp;
  readonly holder: Claim | undefined;
  readonly last: string | undefined;
  /** Former grants of the holder; looked at only where a re-grant does not fence. */
  readonly former: readonly string[];
  readonly bornMs: number;
  readonly usedMs: number;
  readonly lifetimeMs: number;
  readonly attributes: ReadonlyMap<string, Encoded>;
}

interface Grave {
  readonly kind: 'tombstone';
  readonly why: Gone;
  readonly grant: string | undefined;
  readonly holder: Claim | undefined;
  readonly usedMs: number;
  readonly lifetimeMs: number;
}

interface Lease { readonly n: number; readonly beatMs: number; readonly isEnded: boolean }

export type Observer = (key: string, stamp: Stamp, attributes: ReadonlyMap<string, Encoded>) => void;

/** A session table with deltas, as one synchronous step per call; it can be rolled back. */
export class ReferenceTable {
  rows = new Map<string, Row | Grave>();
  leases = new Map<string, Lease>();
  generation = 1;

  constructor(
    private readonly nowMs: () => number, readonly capabilities: StoreCapabilities, private readonly observe: Observer, private readonly rules: Rules = allRules,
  ) {}

  /** Rows are never changed in place, so a copy of the maps is a state of the store. */
  save(): Pick<ReferenceTable, 'rows' | 'leases'> { return { rows: new Map(this.rows), leases: new Map(this.leases) }; }

  rollBack({ rows, leases }: Pick<ReferenceTable, 'rows' | 'leases'>): void {
    this.rows = new Map(rows);
    this.leases = new Map(leases);
    this.generation += 1;
  }

  acquire(key: string, claim: Claim, from?: string, have?: Stamp): Acquired {
    const row = this.#present(key);
    if (row?.kind !== 'record') return absent(row);
    const { holder } = row;
    if (holder?.grant === claim.grant) return { kind: 'granted', record: this.#shown(row, have) };
    if (holder !== undefined && holder.grant !== from) return { kind: 'busy', holder };
    const isSame = holder?.incarnation === claim.incarnation;
    const former = isSame && !this.rules.regrantFences ? [...row.former, holder.grant] : [];
    const next: Row = { ...row, holder: claim, last: holder?.incarnation ?? row.last, former, usedMs: this.nowMs() };
    this.rows.set(key, next);
    return { kind: 'granted', record: this.#shown(next, have) };
  }

  create(key: string, claim: Claim, write: Write, then: 'keep' | 'release'): 'created' | 'exists' {
    const row = this.#present(key);
    if (row !== undefined) return row.kind === 'record' && row.stamp.grant === claim.grant ? 'created' : 'exists';
    const nowMs = this.nowMs();
    this.#put(key, {
      kind: 'record', stamp: { grant: claim.grant, version: 1 }, ...lockAfter(claim, undefined, [], then),
      bornMs: nowMs, usedMs: nowMs, lifetimeMs: write.lifetimeMs, attributes: new Map(write.change?.set),
    });
    return 'created';
  }

  commit(key: string, grant: string, base: Stamp | undefined, { change, lifetimeMs }: Write, then: Then): Committed {
    const row = this.#present(key);
    if (row?.kind !== 'record') return fenced(row);
    const { holder, stamp } = row;
    const next = change && base && { grant, version: base.version + 1 };
    if (next !== undefined && isSame(stamp, next)) return { kind: 'done', version: next.version };
    if (this.rules.fence && (holder === undefined || (holder.grant !== grant && !row.former.includes(grant)))) return { kind: 'fenced' };
    if (change !== undefined && this.#isBehind(change, stamp, base)) return { kind: 'behind' };
    const timed = lifetimeMs > 0 ? { lifetimeMs, usedMs: this.nowMs() } : {};
    const after: Row = { ...row, ...lockAfter(holder, row.last, row.former, then), ...timed };
    if (change === undefined || next === undefined) this.rows.set(key, after);
    else this.#put(key, { ...after, stamp: next, attributes: changed(row.attributes, change) });
    return { kind: 'done', version: next?.version ?? stamp.version };
  }

  remove(key: string, grant: string | undefined, base: Stamp | undefined, why: Gone, keepMs: number): Removed {
    const row = this.#present(key);
    const isForced = grant === undefined;
    if (row === undefined) return isForced ? { kind: 'removed' } : { kind: 'fenced' };
    const removed: Removed = isForced && row.holder !== undefined ? { kind: 'removed', holder: row.holder } : { kind: 'removed' };
    if (row.kind === 'tombstone') {
      const isMine = isForced ? row.why === 'removed' : row.grant === grant || !this.rules.ownTombstone;
      return isMine ? removed : fenced(row);
    }
    if (!isForced && row.holder?.grant !== grant) return { kind: 'fenced' };
    if (!isForced && base !== undefined && this.rules.baseOfRemove && !isSame(row.stamp, base)) return { kind: 'behind' };
    this.rows.set(key, { kind: 'tombstone', why, grant, holder: row.holder, usedMs: this.nowMs(), lifetimeMs: keepMs });
    return removed;
  }

  read(key: string, have?: Stamp): SessionRecord | Absent {
    const row = this.#present(key);
    return row?.kind === 'record' ? this.#shown(row, have) : absent(row);
  }

  touch(lifetimes: ReadonlyMap<string, number>): ReadonlySet<string> {
    const gone = new Set<string>();
    const nowMs = this.nowMs();
    for (const [key, lifetimeMs] of lifetimes) {
      const row = this.#present(key);
      if (row?.kind !== 'record') gone.add(key);
      else this.rows.set(key, { ...row, usedMs: nowMs, lifetimeMs: Math.max(lifetimeMs, row.lifetimeMs - (nowMs - row.usedMs)) });
    }
    return gone;
  }

  beat(incarnation: string, n: number): { readonly generation: string } | 'lapsed' {
    const lease = this.leases.get(incarnation);
    if (lease === undefined ? n > 0 : lease.isEnded) return 'lapsed';
    if (lease === undefined || n > lease.n) this.leases.set(incarnation, { n, beatMs: this.nowMs(), isEnded: false });
    return { generation: String(this.generation) };
  }

  lapse(incarnation: string, quietMs: number): number {
    const waitMs = this.quietLeftMs(incarnation, quietMs);
    if (waitMs === 0) this.end(incarnation);
    return waitMs;
  }

  /** How long a lease must still be quiet; 0 also if it has ended. */
  quietLeftMs(incarnation: string, quietMs: number): number {
    const lease = this.leases.get(incarnation);
    if (lease === undefined || lease.isEnded) return 0;
    return Math.max(0, Math.ceil(quietMs - (this.nowMs() - lease.beatMs)));
  }

  end(incarnation: string): void {
    const lease = this.leases.get(incarnation);
    if (lease !== undefined) this.leases.set(incarnation, { ...lease, isEnded: true });
  }

  hasEnded(incarnation: string): boolean { return this.leases.get(incarnation)?.isEnded ?? true; }

  #isBehind({ whole }: Change, stamp: Stamp, base: Stamp | undefined): boolean {
    if (whole ? !this.rules.baseOfWhole : !this.rules.baseVersion) return false;
    return this.rules.baseGrant ? !isSame(stamp, base) : stamp.version !== base?.version;
  }

  #present(key: string): Row | Grave | undefined {
    const row = this.rows.get(key);
    return row !== undefined && this.nowMs() - row.usedMs < row.lifetimeMs ? row : undefined;
  }

  #put(key: string, row: Row): void {
    this.rows.set(key, row);
    this.observe(key, row.stamp, row.attributes);
  }

  #shown({ kind, stamp, holder, last, bornMs, usedMs, lifetimeMs, attributes }: Row, have: Stamp | undefined): SessionRecord {
    const nowMs = this.nowMs();
    const isKnown = this.rules.haveByStamp ? isSame(stamp, have) : have?.version === stamp.version;
    return {
      kind, format: 1, stamp, holder, last, ageMs: nowMs - bornMs, idleMs: nowMs - usedMs, lifetimeMs, attributes: isKnown ? undefined : attributes,
    };
  }
}

const isSame = (a: Stamp, b: Stamp | undefined): boolean => a.grant === b?.grant && a.version === b.version;
const absent = (row: Row | Grave | undefined): Absent => (row?.kind === 'tombstone' ? { kind: 'absent', gone: row.why } : { kind: 'absent' });
const fenced = (row: Row | Grave | undefined): { kind: 'fenced'; gone?: Gone } =>
  (row?.kind === 'tombstone' ? { kind: 'fenced', gone: row.why } : { kind: 'fenced' });

function lockAfter(holder: Claim | undefined, last: string | undefined, former: readonly string[], then: Then): Pick<Row, 'holder' | 'last' | 'former'> {
  if (then === 'keep') return { holder, last, former };
  return { holder: then === 'release' ? undefined : then, last: holder?.incarnation ?? last, former: [] };
}

function changed(before: ReadonlyMap<string, Encoded>, { set, remove, whole }: Change): ReadonlyMap<string, Encoded> {
  const after = new Map(whole ? [] : before);
  for (const name of remove) after.delete(name);
  for (const [name, encoded] of set) after.set(name, encoded);
  return after;
}

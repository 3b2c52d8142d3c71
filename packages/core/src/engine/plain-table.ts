import type { ClusterStore, SessionSnapshot } from '../cluster-store.js';
import type {
  Absent, Acquired, Claim, Committed, Encoded, Gone, Removed, SessionRecord, SessionTable, Stamp, StoreCapabilities, Then, Write,
} from '../drivers/session-table.js';
import { ClusterError } from '../errors.js';
import type { Manager } from '../manager.js';
import { RECORD_FORMAT } from '../record.js';
import { applied } from './conflict.js';

/** A hand-written store does not say who holds a session. */
const SOMEBODY: Claim = { incarnation: '', grant: '' };

interface Locked {
  readonly claim: Claim;
  readonly version: number;
  readonly snapshot: SessionSnapshot;
}

/** Finds of a session that the store has not answered. */
interface Finds {
  count: number;
  /** The grant for which it is wanted now. */
  wanted: string | undefined;
  /** One of them was granted. */
  isGranted: boolean;
}

/**
 * A hand-written ClusterStore seen as a table: acquire is `findSession`, commit is `sendSession`. It has no deltas, signals,
 * leases or stamps: nothing stays locked between two requests, an unknown outcome stays unknown, and the lock of a dead
 * instance is the store's own business.
 */
export class PlainTable implements SessionTable {
  readonly capabilities: StoreCapabilities = { delta: false, rollback: false, gone: 'unknown', durability: 'process' };
  readonly #locked = new Map<string, Locked>();
  /** By key. */
  readonly #finds = new Map<string, Finds>();
  /** Grants under which a session is being sent, to stay locked. */
  readonly #keeping = new Set<string>();
  /** Sends that have not ended, by key, also where nobody waits for them any more: to the store the next request is the same owner. */
  readonly #sending = new Map<string, Promise<void>>();

  constructor(private readonly store: ClusterStore, private readonly manager: Manager) {}

  /** Whether a copy can be had without the lock. */
  get readsWithoutLock(): boolean { return this.store.readSession !== undefined; }

  start(): Promise<void> { return this.store.start(this.manager); }
  stop(): Promise<void> { return this.store.stop(); }

  async acquire(key: string, claim: Claim): Promise<Acquired> {
    const finds = this.#findFor(key, claim.grant);
    try {
      await this.#sending.get(key);
      const known = this.#locked.get(key);
      if (known?.claim.grant === claim.grant) return { kind: 'granted', record: recordOf(known) };
      if (finds.wanted === undefined) return { kind: 'busy', holder: SOMEBODY };
      const snapshot = await this.store.findSession(key, { waitMs: 0 });
      if (snapshot === undefined) return { kind: 'absent' };
      finds.isGranted = true;
      const locked = { claim, version: 1, snapshot };
      // An answer that comes late is older than what was stored since an earlier one to the same claim.
      if (finds.wanted === claim.grant && this.#locked.get(key)?.claim.grant !== claim.grant) this.#locked.set(key, locked);
      return { kind: 'granted', record: recordOf(locked) };
    } catch (error) {
      if (ClusterError.is(error, 'CLUSTER_LOCKED')) return { kind: 'busy', holder: SOMEBODY };
      if (ClusterError.is(error, 'CLUSTER_MOVED')) return { kind: 'absent', gone: 'moved' };
      throw error;
    } finally {
      finds.count -= 1;
      if (finds.count === 0) {
        this.#finds.delete(key);
        // Answered after its request gave up: nobody else would give the lock back.
        if (finds.isGranted && finds.wanted === undefined) this.#giveBack(key);
      }
    }
  }

  #findFor(key: string, grant: string): Finds {
    const finds = this.#finds.get(key) ?? { count: 0, wanted: grant, isGranted: false };
    finds.count += 1;
    finds.wanted = grant;
    this.#finds.set(key, finds);
    return finds;
  }

  /** The request that asked under this grant waits no more; should the store lock the session for it after all, it is given back. */
  giveUp(key: string, grant: string): void {
    this.#keeping.delete(grant);
    const finds = this.#finds.get(key);
    if (finds?.wanted === grant) finds.wanted = undefined;
    const locked = this.#locked.get(key);
    if (locked?.claim.grant !== grant) return;
    this.#locked.delete(key);
    this.#release(locked.snapshot);
  }

  /** As it is by now: what the late answer showed may have been replaced by the next request, which to the store was the same owner. */
  #giveBack(key: string): void {
    this.#under(key, (async () => {
      const snapshot = await this.store.findSession(key, { waitMs: 0 });
      if (snapshot !== undefined) await this.store.sendSession(snapshot, { keep: false, isNew: false });
    })());
  }

  /** Until it has ended the session is not asked for again. */
  #under(key: string, call: Promise<void>): void {
    const over = call.catch(() => undefined).finally(() => { if (this.#sending.get(key) === over) this.#sending.delete(key); });
    this.#sending.set(key, over);
  }

  #release(snapshot: SessionSnapshot): void {
    void this.#send(snapshot, false, false).catch(() => undefined);
  }

  async create(key: string, claim: Claim, write: Write, then: 'keep' | 'release'): Promise<'created' | 'exists'> {
    const snapshot: SessionSnapshot = { id: key, attributes: write.change?.set ?? new Map<string, Encoded>(), ageMs: 0, idleMs: 0, lifetimeMs: write.lifetimeMs };
    const sent = await this.#send(snapshot, then === 'keep', true);
    if (sent === 'done' && then === 'keep') this.#locked.set(key, { claim, version: 1, snapshot });
    return sent === 'done' ? 'created' : 'exists';
  }

  async commit(key: string, grant: string, _base: Stamp | undefined, write: Write, then: Then): Promise<Committed> {
    const locked = this.#locked.get(key);
    if (locked?.claim.grant !== grant) return { kind: 'fenced' };
    const { change } = write;
    const snapshot: SessionSnapshot = {
      ...locked.snapshot, idleMs: 0,
      lifetimeMs: write.lifetimeMs === 0 ? locked.snapshot.lifetimeMs : write.lifetimeMs,
      attributes: change === undefined ? locked.snapshot.attributes : applied(locked.snapshot.attributes, change),
    };
    const version = change === undefined ? locked.version : locked.version + 1;
    // Whatever becomes of it, what was locked is no longer known to be.
    this.#locked.delete(key);
    if (then === 'keep') this.#keeping.add(grant);
    const sent = await this.#send(snapshot, then === 'keep', false).catch((error: unknown) => {
      this.#keeping.delete(grant);
      throw error;
    });
    const isWanted = this.#keeping.delete(grant);
    if (then !== 'keep') this.giveUp(key, grant);
    if (sent === 'fenced') return { kind: 'fenced' };
    if (isWanted) this.#locked.set(key, { claim: locked.claim, version, snapshot });
    else if (then === 'keep') this.#release(snapshot);
    return { kind: 'done', version };
  }

  async remove(key: string, grant: string | undefined, _base: Stamp | undefined, why: Gone): Promise<Removed> {
    if (grant !== undefined && this.#locked.get(key)?.claim.grant !== grant) return { kind: 'fenced' };
    try {
      await this.store.removeSession(key, why);
    } catch (error) {
      // Else it may be locked still, and is given back when its request ends.
      if (!ClusterError.is(error, 'CLUSTER_MOVED') && !ClusterError.is(error, 'CLUSTER_FENCED')) throw error;
      this.#locked.delete(key);
      return ClusterError.is(error, 'CLUSTER_MOVED') ? { kind: 'fenced', gone: 'moved' } : { kind: 'fenced' };
    }
    this.#locked.delete(key);
    return { kind: 'removed' };
  }

  async read(key: string): Promise<SessionRecord | Absent> {
    const before = this.#locked.get(key);
    if (before !== undefined && !this.readsWithoutLock) return recordOf(before);
    try {
      const snapshot = await this.store.readSession?.(key);
      const locked = this.#locked.get(key);
      if (snapshot === undefined && locked !== undefined && locked !== before) return recordOf(locked);
      if (snapshot === undefined) {
        this.#locked.delete(key);
        return { kind: 'absent' };
      }
      // The store does not say whose it is. What is locked here and said to be nobody's would be taken for lost.
      return recordOf({ claim: SOMEBODY, version: 0, ...locked, snapshot }, locked !== undefined);
    } catch (error) {
      if (!ClusterError.is(error, 'CLUSTER_MOVED')) throw error;
      this.#locked.delete(key);
      return { kind: 'absent', gone: 'moved' };
    }
  }

  async touch(lifetimes: ReadonlyMap<string, number>): Promise<ReadonlySet<string>> {
    await this.store.touchSessions?.(lifetimes);
    return new Set();
  }

  beat(): Promise<{ readonly generation: string }> { return Promise.resolve({ generation: '' }); }
  lapse(_incarnation: string, quietMs: number): Promise<number> { return Promise.resolve(quietMs); }
  signal(): Promise<boolean> { return Promise.resolve(true); }

  async #send(snapshot: SessionSnapshot, keep: boolean, isNew: boolean): Promise<'done' | 'fenced'> {
    const sent = (async () => { await this.store.sendSession(snapshot, { keep, isNew }); })();
    this.#under(snapshot.id, sent);
    try {
      await sent;
      return 'done';
    } catch (error) {
      if (ClusterError.is(error, 'CLUSTER_FENCED')) return 'fenced';
      throw new ClusterError('CLUSTER_UNKNOWN_OUTCOME', 'the store failed in sendSession; whether it stored the change is unknown', { cause: error });
    }
  }
}

export const isPlainTable = (table: SessionTable): table is PlainTable => table instanceof PlainTable;

function recordOf({ claim, version, snapshot }: Locked, isHeld = true): SessionRecord {
  return {
    kind: 'record', format: RECORD_FORMAT, stamp: { grant: claim.grant, version }, holder: isHeld ? claim : undefined, last: undefined,
    ageMs: snapshot.ageMs, idleMs: snapshot.idleMs, lifetimeMs: snapshot.lifetimeMs, attributes: snapshot.attributes,
  };
}

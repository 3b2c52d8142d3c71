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
const BUSY: Acquired = { kind: 'busy', holder: SOMEBODY };
/** By which a store says that a session is not locked for whoever asks. */
const NOT_HERE = ['CLUSTER_LOCKED', 'CLUSTER_MOVED', 'CLUSTER_FENCED'] as const;

interface Locked {
  readonly claim: Claim;
  readonly version: number;
  readonly snapshot: SessionSnapshot;
}

/** What is known here of one session that is used, or that the store may have locked. */
interface Place {
  /** The grant under which it is used here, or asked for. */
  wanted: string | undefined;
  /** As it was locked for that grant. */
  locked: Locked | undefined;
  /** The store may have locked it for this instance. */
  isOwed: boolean;
  /** Finds without an answer, also where nobody waits for one any more. */
  finds: number;
  /** Ends with the send that has no answer, of which there is one at most. */
  sending: Promise<void> | undefined;
}

/** So many are given back at once that could not be before. */
const MOST_AT_ONCE = 100;

/**
 * A hand-written ClusterStore seen as a table: acquire is `findSession`, commit is `sendSession`. It has no deltas, signals,
 * leases or stamps: nothing stays locked between two requests, an unknown outcome stays unknown, and the lock of a dead
 * instance is the store's own business.
 *
 * To the store all requests of an instance are one owner. So nothing is asked of a session while a send of it has no answer: it may be
 * done yet, and would undo what came after. And a lock that nobody here wants, since it came late or was not given back for sure,
 * is given back as soon as all calls of that session are answered.
 */
export class PlainTable implements SessionTable {
  readonly capabilities: StoreCapabilities = { delta: false, rollback: false, gone: 'unknown', durability: 'process' };
  readonly #places = new Map<string, Place>();
  /** Keys of those that could not be given back. */
  readonly #again = new Set<string>();
  #isStopped = false;

  constructor(private readonly store: ClusterStore, private readonly manager: Manager) {}

  /** Whether a copy can be had without the lock. */
  get readsWithoutLock(): boolean { return this.store.readSession !== undefined; }

  start(): Promise<void> { return this.store.start(this.manager); }

  stop(): Promise<void> {
    this.#isStopped = true;
    return this.store.stop();
  }

  async acquire(key: string, claim: Claim): Promise<Acquired> {
    const place = this.#open(key);
    place.wanted = claim.grant;
    while (place.sending !== undefined) await place.sending;
    if (place.wanted !== claim.grant) return BUSY;
    if (place.locked?.claim.grant === claim.grant) return { kind: 'granted', record: recordOf(place.locked) };
    place.finds += 1;
    try {
      const snapshot = await this.store.findSession(key, { waitMs: 0 });
      if (snapshot === undefined) return { kind: 'absent' };
      place.isOwed = true;
      if (place.wanted !== claim.grant) return BUSY;
      // An answer that comes late is older than what was stored since an earlier one to the same claim.
      if (place.locked?.claim.grant !== claim.grant) place.locked = { claim, version: 1, snapshot };
      return { kind: 'granted', record: recordOf(place.locked) };
    } catch (error) {
      if (ClusterError.is(error, 'CLUSTER_LOCKED')) return BUSY;
      if (ClusterError.is(error, 'CLUSTER_MOVED')) return { kind: 'absent', gone: 'moved' };
      place.isOwed = true;
      throw error;
    } finally {
      place.finds -= 1;
      this.#settle(key, place);
    }
  }

  /** Nobody here uses the session, or asks for it. */
  giveUp(key: string): void {
    const place = this.#places.get(key);
    if (place === undefined) return;
    place.wanted = place.locked = undefined;
    this.#settle(key, place);
  }

  async create(key: string, claim: Claim, write: Write, then: 'keep' | 'release'): Promise<'created' | 'exists'> {
    const snapshot: SessionSnapshot = { id: key, attributes: write.change?.set ?? new Map<string, Encoded>(), ageMs: 0, idleMs: 0, lifetimeMs: write.lifetimeMs };
    const sent = await this.#send(this.#open(key), { claim, version: 1, snapshot }, then, true);
    return sent === 'done' ? 'created' : 'exists';
  }

  async commit(key: string, grant: string, _base: Stamp | undefined, write: Write, then: Then): Promise<Committed> {
    const place = this.#places.get(key);
    const locked = place?.locked;
    if (place === undefined || locked?.claim.grant !== grant) return { kind: 'fenced' };
    const { change } = write;
    const snapshot: SessionSnapshot = {
      ...locked.snapshot, idleMs: 0,
      lifetimeMs: write.lifetimeMs === 0 ? locked.snapshot.lifetimeMs : write.lifetimeMs,
      attributes: change === undefined ? locked.snapshot.attributes : applied(locked.snapshot.attributes, change),
    };
    const version = change === undefined ? locked.version : locked.version + 1;
    const sent = await this.#send(place, { claim: locked.claim, version, snapshot }, then, false);
    return sent === 'done' ? { kind: 'done', version } : { kind: 'fenced' };
  }

  async remove(key: string, grant: string | undefined, _base: Stamp | undefined, why: Gone): Promise<Removed> {
    const before = this.#places.get(key)?.locked;
    if (grant !== undefined && before?.claim.grant !== grant) return { kind: 'fenced' };
    const answer = await this.#removed(key, why);
    // A refusal that comes late says nothing of what has been locked since.
    if (answer.kind === 'removed' || answer.gone !== undefined || this.#places.get(key)?.locked === before) this.#isNot(key);
    return answer;
  }

  async read(key: string): Promise<SessionRecord | Absent> {
    const before = this.#places.get(key)?.locked;
    if (before !== undefined && !this.readsWithoutLock) return recordOf(before);
    try {
      const snapshot = await this.store.readSession?.(key);
      const locked = this.#places.get(key)?.locked;
      if (snapshot === undefined && locked !== undefined && locked !== before) return recordOf(locked);
      if (snapshot === undefined) {
        this.#isNot(key);
        return { kind: 'absent' };
      }
      // The store does not say whose it is. What is locked here and said to be nobody's would be taken for lost.
      return recordOf({ claim: SOMEBODY, version: 0, ...locked, snapshot }, locked !== undefined);
    } catch (error) {
      if (!ClusterError.is(error, 'CLUSTER_MOVED')) throw error;
      this.#isNot(key);
      return { kind: 'absent', gone: 'moved' };
    }
  }

  async touch(lifetimes: ReadonlyMap<string, number>): Promise<ReadonlySet<string>> {
    await this.store.touchSessions?.(lifetimes);
    return new Set();
  }

  beat(): Promise<{ readonly generation: string }> {
    for (const key of [...this.#again].slice(0, MOST_AT_ONCE)) {
      this.#again.delete(key);
      const place = this.#open(key);
      place.isOwed = true;
      this.#settle(key, place);
    }
    return Promise.resolve({ generation: '' });
  }

  lapse(_incarnation: string, quietMs: number): Promise<number> { return Promise.resolve(quietMs); }
  signal(): Promise<boolean> { return Promise.resolve(true); }

  #open(key: string): Place {
    let place = this.#places.get(key);
    if (place === undefined) {
      place = { wanted: undefined, locked: undefined, isOwed: false, finds: 0, sending: undefined };
      this.#places.set(key, place);
    }
    return place;
  }

  #send(place: Place, next: Locked, then: Then, isNew: boolean): Promise<'done' | 'fenced'> {
    const { claim: { grant }, snapshot } = next;
    const keep = then === 'keep';
    place.wanted = keep ? grant : undefined;
    // Whatever becomes of it, what was locked is no longer known to be. What a find shows meanwhile may be from after it.
    place.locked = undefined;
    place.isOwed = keep;
    return this.#during(snapshot.id, place, async () => {
      try {
        await this.store.sendSession(snapshot, { keep, isNew });
        // A removal or a read that was answered meanwhile may have been from before it.
        if (keep) place.isOwed = true;
        // Else it is given back.
        if (keep && place.wanted === grant) place.locked = next;
        return 'done';
      } catch (error) {
        if (ClusterError.is(error, 'CLUSTER_FENCED')) return 'fenced';
        place.isOwed = true;
        throw new ClusterError('CLUSTER_UNKNOWN_OUTCOME', 'the store failed in sendSession; whether it stored the change is unknown', { cause: error });
      }
    });
  }

  async #removed(key: string, why: Gone): Promise<Exclude<Removed, { readonly kind: 'behind' }>> {
    try {
      await this.store.removeSession(key, why);
      return { kind: 'removed' };
    } catch (error) {
      if (ClusterError.is(error, 'CLUSTER_MOVED')) return { kind: 'fenced', gone: 'moved' };
      // Else it may be locked still, and is given back when its request ends.
      if (!ClusterError.is(error, 'CLUSTER_FENCED')) throw error;
      return { kind: 'fenced' };
    }
  }

  /** It is not there, or not this instance's. */
  #isNot(key: string): void {
    const place = this.#places.get(key);
    if (place === undefined) return;
    place.locked = undefined;
    place.isOwed = false;
  }

  /** Until it has ended the session is not asked for. */
  #during<T>(key: string, place: Place, call: () => Promise<T>): Promise<T> {
    const result = call();
    const over = () => {
      place.sending = undefined;
      this.#settle(key, place);
    };
    place.sending = result.then(over, over);
    return result;
  }

  /** What nobody here wants is given back when all that was asked has been answered, or forgotten. */
  #settle(key: string, place: Place): void {
    if (place.wanted !== undefined || place.finds > 0 || place.sending !== undefined || this.#isStopped) return;
    if (place.isOwed) void this.#giveBack(key, place);
    else this.#places.delete(key);
  }

  /** As it is by now. If that fails it is tried again with a beat. */
  #giveBack(key: string, place: Place): Promise<void> {
    place.isOwed = false;
    return this.#during(key, place, async () => {
      try {
        const snapshot = await this.store.findSession(key, { waitMs: 0 });
        if (snapshot !== undefined) await this.store.sendSession(snapshot, { keep: false, isNew: false });
      } catch (error) {
        if (!NOT_HERE.some((code) => ClusterError.is(error, code))) this.#again.add(key);
      }
    });
  }
}

function recordOf({ claim, version, snapshot }: Locked, isHeld = true): SessionRecord {
  return {
    kind: 'record', format: RECORD_FORMAT, stamp: { grant: claim.grant, version }, holder: isHeld ? claim : undefined, last: undefined,
    ageMs: snapshot.ageMs, idleMs: snapshot.idleMs, lifetimeMs: snapshot.lifetimeMs, attributes: snapshot.attributes,
  };
}

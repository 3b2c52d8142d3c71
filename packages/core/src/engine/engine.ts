import type { Clock } from '../clock.js';
import type { SessionTable, Then } from '../drivers/session-table.js';
import { ClusterError } from '../errors.js';
import type { Events } from '../events.js';
import { lifetimeByOwn, type OwnIdleTimeout } from '../idle-timeout.js';
import { shortName } from '../session-id.js';
import { Acquisition, unavailable, type Asking, type Gotten } from './acquisition.js';
import { Affinity } from './affinity.js';
import { Commit } from './commit.js';
import type { Changed } from './conflict.js';
import { Fullness } from './fullness.js';
import { Giving } from './giving.js';
import { HoldLimit } from './hold-limit.js';
import { Lease } from './lease.js';
import { instanceOf } from './messages.js';
import { Ownership, type Held, type Slot } from './ownership.js';
import { PlainTable } from './plain-table.js';
import { RepeatedFailure } from './repeated-failure.js';
import type { RemoteWaiter } from './request-queue.js';
import { Revokes } from './revokes.js';
import { StoreCalls } from './store-calls.js';
import { Sweeps } from './sweeps.js';
import { Touches } from './touches.js';
import { waitForTurn } from './waiting.js';

export interface EngineSettings {
  readonly leaseMs: number;
  readonly readLeaseMs: number;
  readonly storeTimeoutMs: number;
  readonly lockHoldMs: number;
  readonly maxWaiting: number;
  readonly maxInMemory: { readonly sessions: number; readonly bytes: number };
  readonly affinity: 'auto' | 'keep' | 'release';
  readonly publicUrl?: string | undefined;
  readonly maxRecordBytes?: number;
}

const DONE = Promise.resolve();

export const stopped = (): ClusterError => new ClusterError('CLUSTER_STOPPED', 'this manager has been stopped; route the request to another instance');

/**
 * The ownership protocol of one instance over one table: who uses a session, who has its lock, and how it is handed on.
 * It knows keys and encodings; requests and handles are the manager's.
 */
export class Engine {
  readonly calls: StoreCalls;
  readonly lease: Lease;
  readonly slots: Ownership;
  readonly acquisition: Acquisition;
  readonly revokes: Revokes;
  readonly touches: Touches;
  readonly holdLimit: HoldLimit;
  readonly giving: Giving;
  /** Of a hand-written store. */
  readonly plain: PlainTable | undefined;
  readonly #sweeps: Sweeps;
  readonly #commit: Commit;
  readonly #affinity: Affinity;
  #draining = false;
  #isStopped = false;

  constructor(table: SessionTable, readonly instanceId: string, readonly settings: EngineSettings, readonly clock: Clock, readonly events: Events) {
    this.plain = table instanceof PlainTable ? table : undefined;
    this.calls = new StoreCalls(table, clock, settings.storeTimeoutMs);
    this.slots = new Ownership(settings.maxInMemory, (slot) => { void this.giving.giveBack(slot); });
    this.acquisition = new Acquisition(this);
    this.revokes = new Revokes(this);
    this.touches = new Touches(this);
    this.holdLimit = new HoldLimit(this, settings.lockHoldMs);
    this.#sweeps = new Sweeps(this);
    this.#commit = new Commit(this);
    this.giving = new Giving(this, this.#commit);
    this.#affinity = new Affinity(settings.affinity);
    const beats = new RepeatedFailure(events, () => this.now(), 'the store acknowledges beats again');
    const fullness = new Fullness(table, events);
    this.lease = new Lease(this.calls, clock, instanceId, settings, {
      lapsed: (before, next) => { this.#lapsed(before, next); },
      generation: (before, after) => { this.#rolledBack(before, after); },
      deaf: () => { void this.giving.giveAllBack(); },
      beat: () => { beats.worked(); fullness.look(); this.touches.beat(); },
      failed: (cause) => { beats.failed('the store did not acknowledge a beat; repeating it', cause); },
    });
  }

  now(): number { return this.clock.monotonicMs(); }

  get isPlain(): boolean { return this.plain !== undefined; }

  /** @throws ClusterError CLUSTER_STOPPED for those who still wait when the engine has stopped */
  assertRunning(): void {
    if (this.#isStopped) throw stopped();
  }

  async start(context: string): Promise<void> {
    await this.calls.start({
      context, instanceId: this.instanceId, maxRecordBytes: this.settings.maxRecordBytes, storeTimeoutMs: this.settings.storeTimeoutMs,
      receive: (message) => { this.revokes.receive(message); },
      listening: (up) => { this.lease.listening(up); },
    }).catch((error: unknown) => { throw unavailable(error); });
    try {
      await this.lease.start();
    } catch (error) {
      await this.calls.stop().catch((cause: unknown) => { this.events.emit('warning', { message: 'the store did not stop after a failed start', cause }); });
      throw unavailable(error);
    }
    this.#isStopped = false;
    this.touches.start();
    this.#sweeps.start();
  }

  /** Ends the lease, which frees everything still held, and stops the driver. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const slot of [...this.slots]) {
      slot.queue.refuseAll(stopped());
      slot.wakeUp();
    }
    this.holdLimit.stop();
    await this.#sweeps.stop();
    await this.touches.stop();
    await this.lease.stop().catch((cause: unknown) => {
      this.events.emit('warning', { message: 'the lease could not be ended; what this instance held is free when it lapses', cause });
    });
    await this.calls.stop();
  }

  get isDraining(): boolean { return this.#draining; }

  /** Gives back what is idle, now and from now on. */
  async drain(): Promise<void> {
    this.#draining = true;
    await this.giving.giveAllBack();
  }

  countAffinity(incarnation: string | undefined): void {
    if (incarnation !== undefined) this.#affinity.count(instanceOf(incarnation) === this.instanceId);
  }

  countMine(): void { this.#affinity.count(true); }

  /** Whether a session stays held when its request ends and nobody waits. */
  keeps(fromPeer: boolean): boolean {
    return !this.#draining && !this.isPlain && this.lease.hears() && this.#affinity.keeps(fromPeer);
  }

  /**
   * Whether the held content may be served from memory, in this synchronous step. A hand-written store does not say that a lock has gone,
   * with a connection for instance: what it can be asked for is not taken from memory.
   */
  servesMemory(slot: Slot): boolean {
    return slot.held !== undefined && !slot.committing && this.plain?.readsWithoutLock !== true && this.isCurrent(slot.held);
  }

  /** Whether memory says that the session is held here still. What this instance thinks expired may have been touched by others: the store is asked. */
  isCurrent(held: Held): boolean {
    return !held.suspect && this.now() - held.touchedMs < held.lifetimeMs && (this.isPlain || this.lease.readable());
  }

  /** Whether the store may have lost what is held without that having shown. */
  get isUnsure(): boolean { return !this.isPlain && this.lease.mayHaveRolledBack; }

  /** A record's lifetime, which its own idle time-out bounds. A hand-written store counts idle time from the last send: only it knows of touches. */
  lifetimeOf(lifetimeMs: number, ownMs: OwnIdleTimeout): number { return this.isPlain ? lifetimeMs : lifetimeByOwn(lifetimeMs, ownMs); }

  /** Whether a request may use the slot at once. */
  isFree(slot: Slot): boolean { return !slot.busy && slot.queue.localCount === 0; }

  occupy(slot: Slot, label: string | undefined, usedBy: Slot['usedBy']): void {
    slot.busy = true;
    slot.usedBy = usedBy;
    slot.label = label;
    slot.busySinceMs = this.now();
  }

  /**
   * Waits until the request may use the slot, first in first out; it then must leave it.
   * @throws ClusterError CLUSTER_QUEUE_FULL, CLUSTER_LOCKED at the deadline; or the abort reason
   */
  async enter(slot: Slot, asking: Asking): Promise<void> {
    asking.signal?.throwIfAborted();
    if (this.isFree(slot)) {
      this.occupy(slot, asking.label, asking.kind);
      return;
    }
    if (slot.queue.localCount >= this.settings.maxWaiting) {
      throw new ClusterError('CLUSTER_QUEUE_FULL', `session ${shortName(slot.key)}: ${slot.queue.localCount} requests wait for it on this instance already; retry later`);
    }
    await waitForTurn(this, slot, asking);
    // Else it was let in to those who share the session.
    if (slot.user === undefined) this.occupy(slot, asking.label, asking.kind);
  }

  /** Gives the slot to whoever is next: the oldest request here, or the instance that waited longer. */
  leave(slot: Slot): void {
    slot.busy = false;
    slot.label = undefined;
    slot.user = undefined;
    if (this.giving.handOverIfDue(slot)) return;
    // Over a hand-written store a lock that is left over is given back: who is next asks for it itself.
    const next = slot.held !== undefined && this.isPlain ? undefined : slot.queue.takeLocal();
    if (next !== undefined) {
      slot.busy = true;
      slot.usedBy = next.isShared ? 'shared' : 'request';
      next.admit();
      return;
    }
    slot.claim = undefined;
    slot.holder = undefined;
    slot.isPassedOn = false;
    if (slot.held !== undefined && !this.keeps(slot.held.fromPeer)) {
      void this.giving.giveBack(slot);
      return;
    }
    if (this.plain !== undefined) {
      this.plain.giveUp(slot.key);
      slot.standby = undefined;
    }
    const waiting = slot.queue.takeRemotes();
    // The lock is free, or somebody else's: a hint that asking again is worthwhile.
    if (waiting[0] !== undefined) this.giving.wake(slot.key, waiting[0], waiting.slice(1));
    this.slots.settle(slot);
  }

  /** The session of an entered slot, locked for this instance and known to be up to date; or what says that there is none. */
  async ready(slot: Slot, asking: Asking): Promise<Gotten> {
    const held = slot.held;
    if (held !== undefined) {
      if (this.isCurrent(held)) this.countMine();
      else if (!await this.#verify(slot, held, asking)) return this.ready(slot, asking);
      this.lease.used();
      return held;
    }
    const gotten = await this.acquisition.acquire(slot, asking);
    this.lease.used();
    return gotten;
  }

  /**
   * Ends a request's use of a held session: stores the change, if any, and in the same step keeps, releases or hands on the lock.
   * Without a change and with nobody waiting a kept session costs no call. `goesOn`: the request keeps the lock for itself.
   */
  send(slot: Slot, held: Held, changed: Changed | undefined, lifetimeMs: number, deadlineMs: number, goesOn = false): Promise<void> {
    const isWantedHere = slot.queue.localCount > 0;
    // Where signals do not arrive in time, who asked may wait no longer, and could not be asked for the lock soon. A free one is had by polling.
    const remote = goesOn || !(isWantedHere || this.lease.hears()) ? undefined : slot.queue.dueRemote;
    // Over a hand-written store the next request asks for the lock itself: it may have gone without a word.
    const stays = goesOn || (isWantedHere && !this.isPlain) || this.keeps(held.fromPeer);
    const then: Then = remote?.claim ?? (stays ? 'keep' : 'release');
    if (changed === undefined && then === 'keep') return DONE;
    // A lock that is given away without a change names no content by which the store would show that it lost some.
    if (held.suspect || (changed === undefined && this.isUnsure)) return this.#sendSuspect(slot, held, changed, lifetimeMs, then, remote, deadlineMs);
    return this.#publish(slot, held, changed, lifetimeMs, then, remote, deadlineMs);
  }

  // No async function here and where it is called: each link of the chain that every write goes through costs about a microsecond.
  #publish(slot: Slot, held: Held, changed: Changed | undefined, lifetimeMs: number, then: Then, remote: RemoteWaiter | undefined, deadlineMs: number): Promise<void> {
    const published = this.#commit.publish(slot, held, changed, lifetimeMs, then, deadlineMs);
    return remote === undefined ? published : published.then(() => { if (slot.held === undefined) this.giving.gaveOn(slot, remote); });
  }

  async #sendSuspect(slot: Slot, held: Held, changed: Changed | undefined, lifetimeMs: number, then: Then, remote: RemoteWaiter | undefined, deadlineMs: number): Promise<void> {
    if (await this.#commit.regrant(slot, held, lifetimeMs, deadlineMs)) {
      await this.#publish(slot, held, changed, lifetimeMs, then, remote, deadlineMs);
    } else if (changed !== undefined) {
      throw new ClusterError('CLUSTER_FENCED', `session ${shortName(slot.key)}: the store rolled back and the lock was lost; the change was not stored; retry the request`);
    }
    // Else what the slot has by now, if anything, is another holding: whoever leaves the slot gives that on.
  }

  /** The session has been removed: nothing of it is kept, and a request that runs on it learns of it. */
  dropRemoved(slot: Slot): void {
    slot.forget();
    // A grant that is on its way may be one from before.
    slot.claim = undefined;
    slot.user?.removed();
    this.slots.settle(slot);
  }

  /** True: still this instance's with the content that it has. False: ask again. */
  async #verify(slot: Slot, held: Held, asking: Asking): Promise<boolean> {
    const deadlineMs = asking.deadlineMs + this.settings.storeTimeoutMs;
    if (!held.suspect) {
      const record = await this.calls.read(slot.key, held.copy.stamp).catch((error: unknown) => { throw unavailable(error); });
      if (slot.held !== held) return false;
      if (record.kind === 'absent' || record.holder?.grant !== held.claim.grant) {
        slot.forget();
        return false;
      }
      this.countMine();
      held.touchedMs = this.now() - record.idleMs;
      held.lifetimeMs = this.lifetimeOf(record.lifetimeMs, held.copy.ownIdleMs);
      // The store may have rolled back while it answered.
      if (!slot.held.suspect && record.stamp.grant === held.copy.stamp.grant && record.stamp.version === held.copy.stamp.version) return true;
      held.suspect = true;
    }
    return this.#commit.regrant(slot, held, held.lifetimeMs, deadlineMs).catch((error: unknown) => { throw unavailable(error); });
  }

  #lapsed(before: string, next: string): void {
    let held = 0;
    for (const slot of this.slots) {
      if (slot.held === undefined) continue;
      held += 1;
      slot.letGo();
      // Whoever still waits asks the next holder.
      slot.queue.takeRemotes();
      slot.wake?.();
    }
    this.events.emit('lapsed', { incarnation: before, next, held });
  }

  #rolledBack(before: string, after: string): void {
    for (const slot of this.slots) if (slot.held !== undefined) slot.held.suspect = true;
    this.acquisition.rolledBack();
    this.events.emit('generation', { before, after });
  }
}

import type { Clock } from '../clock.js';
import type { Claim, Encoded, Stamp } from '../drivers/session-table.js';
import { ownIdleTimeoutMs, type OwnIdleTimeout } from '../idle-timeout.js';
import { OrderOfUse } from '../order-of-use.js';
import { sizeOf } from '../session.js';
import { RequestQueue } from './request-queue.js';

/** Encoded content of a session, named by its stamp. */
export interface Copy {
  readonly stamp: Stamp;
  readonly attributes: ReadonlyMap<string, Encoded>;
  readonly bytes: number;
  readonly ownIdleMs: OwnIdleTimeout;
}

/** A session whose lock this instance has. */
export interface Held {
  /** Changes when an unknown outcome is resolved by a new grant. */
  claim: Claim;
  copy: Copy;
  /** Grants of the stamps that the content had before, while it was held here; few. A rolled-back store that shows one has an older state of it. */
  formerGrants: readonly string[];
  /** All times by the monotonic clock of this instance. */
  readonly createdMs: number;
  touchedMs: number;
  lifetimeMs: number;
  /** The acquisition took it from another instance. */
  readonly fromPeer: boolean;
  /** The store may have rolled back since: it is granted anew before its next use. */
  suspect: boolean;
}

/** Who uses a session: one turn, or those that share it. */
export interface User {
  /** What it calls itself, and since when it has the lock. */
  readonly label: string | undefined;
  readonly sinceMs: number;
  /** The session has been removed under it. */
  removed(): void;
  /** It has had the lock since before that time, and others wait. */
  cutOff(beforeMs: number): void;
}

/** A holder's answer to a revoke. Times by the monotonic clock of this instance. */
interface HolderSays {
  readonly label: string | undefined;
  readonly sinceMs: number;
  readonly heardMs: number;
  readonly publicUrl: string | undefined;
}

/** What this instance knows of one session, and who on it uses the session. One user at a time: `busy`. */
export class Slot {
  held: Held | undefined;
  /** Content kept after release for `have`; never served. */
  standby: Copy | undefined;
  /** The claim under which this instance asks for the session now. */
  claim: Claim | undefined;
  busy = false;
  /** A commit is on its way: memory is not served meanwhile. */
  committing = false;
  /** Who uses it, for the lock errors of others, and since when. */
  label: string | undefined;
  busySinceMs = 0;
  /** What kind of use makes it busy; `nobody`: it is being given on or back, or acquired ahead of the next request. */
  usedBy: 'request' | 'shared' | 'nobody' = 'nobody';
  /** Who has the lock that a request here waits for, what it answered to the last revoke, and whether it had time to give an idle session on. */
  holder: { readonly claim: Claim; says: HolderSays | undefined; isBusy: boolean } | undefined;
  /** The claim was passed on with the session: its receiver wakes the request that waits under it. */
  isPassedOn = false;
  /** Tells the one that waits for the store's lock. */
  heard: (() => void) | undefined;
  /** Ends the pause of the request that waits for the store's lock. */
  wake: (() => void) | undefined;
  /** Undefined while the engine itself works on it, or a request waits for the store. */
  user: User | undefined;
  /** It was woken when it was not pausing yet. */
  isWoken = false;
  readonly queue = new RequestQueue();
  /** Ownership's, as are the three below: neighbours in the order of use, and what it counts. */
  older: Slot | undefined;
  newer: Slot | undefined;
  place: 'none' | 'listed' | 'leaving' = 'none';
  countedBytes = 0;

  constructor(readonly key: string) {}

  /** Has the request that waits for the store's lock ask again now. */
  wakeUp(): void {
    if (this.wake === undefined) this.isWoken = true;
    else this.wake();
  }

  /** Tells the requests here that they wait for one that has the session elsewhere. */
  holderIsBusy(): void {
    if (this.holder !== undefined) this.holder.isBusy = true;
    this.heard?.();
    this.queue.hear();
  }

  /** How many requests here wait for it, the one included that waits for another instance to give it on. */
  get waiting(): number { return this.queue.localCount + (this.busy && this.usedBy !== 'nobody' && this.holder !== undefined ? 1 : 0); }
  get isIdle(): boolean { return !this.busy && this.queue.isEmpty && this.claim === undefined; }
  get bytes(): number { return (this.held?.copy ?? this.standby)?.bytes ?? 0; }

  /** The lock is somebody else's or nobody's; the content stays as a standby copy. */
  letGo(): void {
    if (this.held !== undefined) this.standby = this.held.copy;
    this.held = undefined;
  }

  /** Nothing of it may be kept. */
  forget(): void {
    this.held = undefined;
    this.standby = undefined;
  }
}

/** Of a session that has just been acquired or made. */
export const NO_FORMER_GRANTS: readonly string[] = [];

export const copyOf = (stamp: Stamp, attributes: ReadonlyMap<string, Encoded>): Copy => {
  let bytes = 0;
  for (const [name, encoded] of attributes) bytes += sizeOf(name, encoded);
  return { stamp, attributes, bytes, ownIdleMs: ownIdleTimeoutMs(attributes) };
};

interface Bounds { readonly sessions: number; readonly bytes: number }

/**
 * The slots of this instance. Those that are idle and have content stand in the order of their last use; beyond the bounds the
 * least recently used leave memory, standby copies and held ones alike. `passivate` gives the lock of a held one back.
 * Nothing here walks over slots: each step costs the same, however many there are and however slowly a store takes locks back.
 */
export class Ownership {
  readonly #slots = new Map<string, Slot>();
  readonly #idle = new OrderOfUse<Slot>();
  #bytes = 0;
  /** How many are being passivated: they no longer count. */
  #leaving = 0;

  constructor(private readonly bounds: Bounds, private readonly passivate: (slot: Slot) => void) {}

  get size(): number { return this.#slots.size; }
  get bytes(): number { return this.#bytes; }
  [Symbol.iterator](): IterableIterator<Slot> { return this.#slots.values(); }

  get(key: string): Slot | undefined { return this.#slots.get(key); }

  /** The slot of a key, made if need be. */
  open(key: string): Slot {
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      slot = new Slot(key);
      this.#slots.set(key, slot);
    }
    return slot;
  }

  /** To be called when a slot falls idle or its content changed: keeps the order of use, the count of bytes and the bounds. */
  settle(slot: Slot): void {
    if (this.#slots.get(slot.key) !== slot) return;
    if (!slot.isIdle) {
      if (slot.place !== 'leaving') this.#count(slot, slot.bytes);
      return;
    }
    const wasLeaving = slot.place === 'leaving';
    this.#take(slot);
    // Asked for again meanwhile, it stays.
    if (wasLeaving && slot.held === undefined) slot.forget();
    this.#count(slot, slot.bytes);
    if (slot.held === undefined && slot.standby === undefined) {
      this.#slots.delete(slot.key);
      return;
    }
    slot.place = 'listed';
    this.#idle.append(slot);
    this.#evict();
  }

  #count(slot: Slot, bytes: number): void {
    this.#bytes += bytes - slot.countedBytes;
    slot.countedBytes = bytes;
  }

  #isFull(): boolean {
    return this.#slots.size - this.#leaving > this.bounds.sessions || this.#bytes > this.bounds.bytes;
  }

  /** The one that was used last stays, whatever the bounds. */
  #evict(): void {
    while (this.#isFull()) {
      const slot = this.#idle.oldest;
      if (slot === undefined || slot === this.#idle.newest) return;
      this.#take(slot);
      // In use, it comes back to the list when it falls idle.
      if (!slot.isIdle) continue;
      this.#count(slot, 0);
      if (slot.held === undefined) {
        this.#slots.delete(slot.key);
      } else {
        slot.place = 'leaving';
        this.#leaving += 1;
        this.passivate(slot);
      }
    }
  }

  #take(slot: Slot): void {
    if (slot.place === 'leaving') this.#leaving -= 1;
    else if (slot.place === 'listed') this.#idle.take(slot);
    slot.place = 'none';
  }
}

/** A pause that a timer, a wake-up or an abort ends. */
export function pause(clock: Clock, ms: number, slot?: Slot, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) return Promise.resolve();
  if (slot?.isWoken === true) {
    slot.isWoken = false;
    return Promise.resolve();
  }
  return new Promise((resolve) => {
    const done = () => {
      cancel();
      signal?.removeEventListener('abort', done);
      if (slot?.wake === done) slot.wake = undefined;
      resolve();
    };
    const cancel = clock.timer(done, ms, true);
    signal?.addEventListener('abort', done, { once: true });
    if (slot !== undefined) slot.wake = done;
  });
}

/** Whether something ends, well or not, before that time has passed. */
export function endsWithin(clock: Clock, ms: number, ends: Promise<unknown>): Promise<boolean> {
  return new Promise((resolve) => {
    const cancel = clock.timer(() => { resolve(false); }, ms, true);
    const over = () => {
      cancel();
      resolve(true);
    };
    ends.then(over, over);
  });
}

import type { Claim } from '../drivers/session-table.js';

/** A request of this instance that waits for its turn. */
export interface LocalWaiter {
  readonly sinceMs: number;
  /** It can use the session together with others of its kind. */
  readonly isShared: boolean;
  /** Its turn has come. */
  readonly admit: () => void;
  /** It is to wait no longer. */
  readonly refuse: (error: unknown) => void;
  /** It may have become known who has the session. */
  readonly heard: () => void;
}

/** Another instance that asked for the session. */
export interface RemoteWaiter {
  readonly sinceMs: number;
  /** When it last asked: it may have given up since. */
  readonly askedMs: number;
  readonly claim: Claim;
}

// Who waits asks again every 250 ms at least.
const STILL_ASKING_MS = 500;

/** Most claims that travel with a hand-over: they fit into one message. */
export const MAX_REMOTE = 64;

// Of most sessions nobody waits: their queues share this.
const NOBODY: readonly never[] = [];

/** Who waits for one session, oldest first: this instance's requests, and the claims of other instances, one each. */
export class RequestQueue {
  #local: readonly LocalWaiter[] = NOBODY;
  #remote: readonly RemoteWaiter[] = NOBODY;

  get localCount(): number { return this.#local.length; }
  get isEmpty(): boolean { return this.#local.length === 0 && this.#remote.length === 0; }

  add(waiter: LocalWaiter): void {
    this.#local = [...this.#local, waiter];
  }

  drop(waiter: LocalWaiter): void {
    this.#local = this.#local.filter((other) => other !== waiter);
  }

  /** A later claim of the same incarnation replaces the earlier one and keeps the longer wait. */
  addRemote(claim: Claim, sinceMs: number, askedMs: number): void {
    const known = this.#remote.find((other) => other.claim.incarnation === claim.incarnation);
    if (known === undefined && this.#remote.length >= MAX_REMOTE) return;
    const others = this.#remote.filter((other) => other !== known);
    others.push({ claim, askedMs, sinceMs: Math.min(sinceMs, known?.sinceMs ?? sinceMs) });
    this.#remote = others.sort((a, b) => a.sinceMs - b.sinceMs);
  }

  /** Forgets claims that wait no more: handing over to one of them would bring a grant back to life that was given up. */
  dropRemotes(isOver: (claim: Claim) => boolean): void {
    if (this.#remote.length > 0) this.#remote = this.#remote.filter(({ claim }) => !isOver(claim));
  }

  /** The claim that is due before every request of this instance. */
  get dueRemote(): RemoteWaiter | undefined {
    const remote = this.#remote[0];
    const local = this.#local[0];
    return remote !== undefined && (local === undefined || remote.sinceMs < local.sinceMs) ? remote : undefined;
  }

  /** Whether a request waits, here or, as far as is known, on another instance. */
  isAwaited(nowMs: number): boolean {
    return this.#local.length > 0 || this.#remote.some(({ askedMs }) => nowMs - askedMs < STILL_ASKING_MS);
  }

  /** Whether every request before that one shares the session; without it, every one. */
  isSharedBefore(waiter?: LocalWaiter): boolean {
    for (const other of this.#local) {
      if (other === waiter) return true;
      if (!other.isShared) return false;
    }
    return true;
  }

  get oldestLocal(): LocalWaiter | undefined { return this.#local[0]; }

  refuseAll(error: unknown): void {
    for (const waiter of this.#local) waiter.refuse(error);
  }

  hear(): void {
    for (const waiter of this.#local) waiter.heard();
  }

  takeLocal(): LocalWaiter | undefined {
    const first = this.#local[0];
    if (first !== undefined) this.#local = this.#local.length === 1 ? NOBODY : this.#local.slice(1);
    return first;
  }

  /** The oldest request here, if it is due before every claim and shares the session. */
  takeShared(): LocalWaiter | undefined {
    return this.dueRemote === undefined && this.#local[0]?.isShared === true ? this.takeLocal() : undefined;
  }

  /** All claims of other instances, oldest first; the queue keeps none of them. */
  takeRemotes(): readonly RemoteWaiter[] {
    const remotes = this.#remote;
    this.#remote = NOBODY;
    return remotes;
  }
}

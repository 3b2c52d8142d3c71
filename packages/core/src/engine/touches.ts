import type { CancelTimer } from '../clock.js';
import type { Engine } from './engine.js';
import { RepeatedFailure } from './repeated-failure.js';

const FLUSH_MS = 1_000;
// A session of so short a life that more would be needed is not meant to be kept.
const OFTEN_MS = 10;

/** A timer that can be brought forward. */
class Soonest {
  #cancel: CancelTimer | undefined;
  #dueMs = Infinity;

  constructor(private readonly engine: Engine, private readonly callback: () => void) {}

  within(ms: number): void {
    const dueMs = this.engine.now() + ms;
    if (dueMs >= this.#dueMs) return;
    this.cancel();
    this.#dueMs = dueMs;
    this.#cancel = this.engine.clock.timer(() => {
      this.#dueMs = Infinity;
      this.callback();
    }, ms);
  }

  cancel(): void {
    this.#cancel?.();
    this.#dueMs = Infinity;
  }
}

/** Starts the idle time of sessions anew, in batches. */
export class Touches {
  #due = new Map<string, number>();
  readonly #flushTimer: Soonest;
  readonly #useTimer: Soonest;
  readonly #failure: RepeatedFailure;
  #flushing: Promise<void> | undefined;
  #isStopped = false;
  #kept: { readonly key: string; readonly lifetimeMs: number; readonly renew: () => Promise<void>; dueMs: number } | undefined;
  /** Called at each beat, and for `inUse`, to add what running requests use. */
  onBeat: (() => void) | undefined;

  constructor(private readonly engine: Engine) {
    this.#flushTimer = new Soonest(engine, () => { this.#flushing = this.#flush(); });
    this.#failure = new RepeatedFailure(engine.events, () => engine.now(), 'sessions are touched again');
    this.#useTimer = new Soonest(engine, () => { this.onBeat?.(); });
  }

  beat(): void {
    this.onBeat?.();
    const { lease } = this.engine;
    if (this.#kept === undefined || this.engine.now() < this.#kept.dueMs) return;
    this.#kept.dueMs = this.engine.now() + lease.leaseMs / 2;
    this.add(this.#kept.key, this.#kept.lifetimeMs);
  }

  /** A request uses a session of that lifetime: if it may end between two beats, it is touched in between. */
  inUse(lifetimeMs: number): void {
    if (lifetimeMs < this.engine.lease.leaseMs && !this.#isStopped) this.#useTimer.within(Math.max(OFTEN_MS, lifetimeMs / 3));
  }

  /** Keeps a record alive as long as this instance beats; `renew` makes it again should it be gone. */
  keep(key: string, lifetimeMs: number, renew: () => Promise<void>): void {
    this.#kept = { key, lifetimeMs, renew, dueMs: 0 };
  }

  /** To be touched within a second, or sooner if it does not live for long. */
  add(key: string, lifetimeMs: number, withinMs = Math.min(FLUSH_MS, lifetimeMs / 10)): void {
    this.#due.set(key, lifetimeMs);
    this.#flushTimer.within(withinMs);
  }

  /** The session has been used in another way, later. */
  drop(key: string): void { this.#due.delete(key); }

  /** Touches one session now, for one that is about to expire; resolves to whether it was there no more. */
  async now(key: string, lifetimeMs: number): Promise<boolean> {
    this.#due.delete(key);
    return (await this.#touch(new Map([[key, lifetimeMs]]))).has(key);
  }

  start(): void { this.#isStopped = false; }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#useTimer.cancel();
    this.#flushTimer.cancel();
    await this.#flushing;
    await this.#flush();
  }

  async #flush(): Promise<void> {
    const due = this.#due;
    this.#due = new Map();
    if (due.size > 0) await this.#touch(due);
  }

  async #touch(lifetimes: ReadonlyMap<string, number>): Promise<ReadonlySet<string>> {
    try {
      const gone = await this.engine.calls.touch(lifetimes);
      for (const key of gone) {
        const slot = this.engine.slots.get(key);
        if (slot !== undefined) this.engine.dropRemoved(slot);
      }
      if (this.#kept !== undefined && gone.has(this.#kept.key)) await this.#kept.renew();
      this.#failure.worked();
      return gone;
    } catch (cause) {
      for (const [key, lifetimeMs] of lifetimes) if (!this.#isStopped) this.add(key, lifetimeMs, FLUSH_MS);
      this.#failure.failed('sessions in use, or the settings of the context, could not be touched; trying again', cause);
      return new Set();
    }
  }
}

import type { Engine } from './engine.js';

const FLUSH_MS = 1_000;

/** Starts the idle time of sessions anew, in batches. */
export class Touches {
  #due = new Map<string, number>();
  #cancel: (() => void) | undefined;
  #flushing: Promise<void> | undefined;
  #isStopped = false;
  #kept: { readonly key: string; readonly lifetimeMs: number; readonly renew: () => Promise<void>; dueMs: number } | undefined;
  /** Called at each beat, to add what running requests use. */
  onBeat: (() => void) | undefined;

  constructor(private readonly engine: Engine) {}

  beat(): void {
    this.onBeat?.();
    const { lease } = this.engine;
    if (this.#kept === undefined || this.engine.now() < this.#kept.dueMs) return;
    this.#kept.dueMs = this.engine.now() + lease.leaseMs / 2;
    this.add(this.#kept.key, this.#kept.lifetimeMs);
  }

  /** Keeps a record alive as long as this instance beats; `renew` makes it again should it be gone. */
  keep(key: string, lifetimeMs: number, renew: () => Promise<void>): void {
    this.#kept = { key, lifetimeMs, renew, dueMs: 0 };
  }

  /** To be touched within a second, or within `withinMs` if that is sooner. */
  add(key: string, lifetimeMs: number, withinMs = FLUSH_MS): void {
    this.#due.set(key, lifetimeMs);
    this.#cancel ??= this.engine.clock.timer(() => { this.#flushing = this.#flush(); }, Math.min(FLUSH_MS, withinMs));
  }

  /** The session has been used in another way, later. */
  drop(key: string): void { this.#due.delete(key); }

  /** Touches one session now, for one that is about to expire. */
  async now(key: string, lifetimeMs: number): Promise<void> {
    this.#due.delete(key);
    await this.#touch(new Map([[key, lifetimeMs]]));
  }

  start(): void { this.#isStopped = false; }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancel?.();
    await this.#flushing;
    await this.#flush();
  }

  async #flush(): Promise<void> {
    this.#cancel = undefined;
    const due = this.#due;
    this.#due = new Map();
    if (due.size > 0) await this.#touch(due);
  }

  async #touch(lifetimes: ReadonlyMap<string, number>): Promise<void> {
    try {
      const gone = await this.engine.calls.touch(lifetimes);
      for (const key of gone) {
        const slot = this.engine.slots.get(key);
        if (slot !== undefined) this.engine.dropRemoved(slot);
      }
      if (this.#kept !== undefined && gone.has(this.#kept.key)) await this.#kept.renew();
    } catch (cause) {
      for (const [key, lifetimeMs] of lifetimes) if (!this.#isStopped) this.add(key, lifetimeMs);
      this.engine.events.emit('warning', { message: `${lifetimes.size} sessions could not be touched; trying again`, cause });
    }
  }
}

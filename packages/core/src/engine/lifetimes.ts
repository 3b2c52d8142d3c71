import type { ResolvedManagerOptions } from '../options.js';
import type { Engine } from './engine.js';
import type { Held } from './ownership.js';

// A session that is about to expire is touched before it is served; any other waits for the next batch.
const TOUCH_NOW_BELOW_MS = 2_000;
const MAX_WINDOW_MS = 60_000;

/**
 * When sessions end, and when the store must hear that one is used. A record lives for the idle time-out and the touch window:
 * within the window a use is not reported, so the time-out is never early and at most a tenth late.
 */
export class Lifetimes {
  readonly #windowMs: number;

  constructor(private readonly engine: Engine, private readonly options: Pick<ResolvedManagerOptions, 'idleTimeoutMs' | 'absoluteTimeoutMs'>) {
    this.#windowMs = Math.min(MAX_WINDOW_MS, options.idleTimeoutMs / 10);
  }

  /** How long a record may live from now, for a session of that age. */
  of(ageMs: number): number {
    const idleMs = Math.ceil(this.options.idleTimeoutMs + this.#windowMs);
    const { absoluteTimeoutMs } = this.options;
    return absoluteTimeoutMs === 0 ? idleMs : Math.max(1, Math.min(idleMs, Math.ceil(absoluteTimeoutMs - ageMs)));
  }

  ofHeld(held: Held): number { return this.of(this.engine.now() - held.createdMs); }

  isOver(ageMs: number): boolean {
    return this.options.absoluteTimeoutMs > 0 && ageMs >= this.options.absoluteTimeoutMs;
  }

  /** Neither over nor so close to its end that a touch must come first. */
  isPlainlyAlive(held: Held): boolean {
    const idleMs = this.engine.now() - held.touchedMs;
    return !this.isOver(this.engine.now() - held.createdMs)
      && (idleMs < this.#windowMs || held.lifetimeMs - idleMs >= TOUCH_NOW_BELOW_MS);
  }

  /** Has the use of a held session reported with the next batch, at most once per window. */
  touchLater(held: Held, key: string): void {
    const now = this.engine.now();
    if (now - held.touchedMs < this.#windowMs) return;
    held.touchedMs = now;
    held.lifetimeMs = this.ofHeld(held);
    this.engine.touches.add(key, held.lifetimeMs);
  }

  /** Reports the use of a session of which the store said these times; before it is served if it would expire otherwise. */
  async touch(key: string, record: { readonly idleMs: number; readonly lifetimeMs: number; readonly ageMs: number }): Promise<void> {
    if (record.idleMs < this.#windowMs) return;
    if (record.lifetimeMs - record.idleMs < TOUCH_NOW_BELOW_MS) await this.engine.touches.now(key, this.of(record.ageMs));
    else this.engine.touches.add(key, this.of(record.ageMs));
  }

  /** The same for a session that is held and about to be used. */
  async touchHeld(held: Held, key: string): Promise<void> {
    const now = this.engine.now();
    const record = { idleMs: now - held.touchedMs, lifetimeMs: held.lifetimeMs, ageMs: now - held.createdMs };
    await this.touch(key, record);
    if (record.idleMs < this.#windowMs) return;
    held.touchedMs = now;
    held.lifetimeMs = this.ofHeld(held);
  }
}

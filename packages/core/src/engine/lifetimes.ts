import type { Encoded } from '../drivers/session-table.js';
import { ownIdleTimeoutMs, touchWindowMs, type OwnIdleTimeout } from '../idle-timeout.js';
import type { ResolvedManagerOptions } from '../options.js';
import type { Engine } from './engine.js';
import type { Held } from './ownership.js';

// A session that is about to expire is touched before it is served; any other waits for the next batch.
const TOUCH_NOW_BELOW_MS = 2_000;

/**
 * When sessions end, and when the store must hear that one is used. A record lives for the idle time-out, its own or else the
 * manager's, and the touch window: within the window a use is not reported, so the time-out is never early and at most a tenth late.
 */
export class Lifetimes {
  readonly #windowMs: number;

  constructor(private readonly engine: Engine, private readonly options: Pick<ResolvedManagerOptions, 'idleTimeoutMs' | 'absoluteTimeoutMs'>) {
    this.#windowMs = touchWindowMs(options.idleTimeoutMs);
  }

  /** How long a record may live from now, for a session of that age, with what it says about its own idle time-out. */
  of(ageMs: number, ownMs: OwnIdleTimeout): number {
    const { idleTimeoutMs, absoluteTimeoutMs } = this.options;
    const idleMs = Math.ceil((ownMs ?? idleTimeoutMs) + this.#windowOf(ownMs));
    return absoluteTimeoutMs === 0 ? idleMs : Math.max(1, Math.min(idleMs, Math.ceil(absoluteTimeoutMs - ageMs)));
  }

  /** The same for a session with that content. */
  ofContent(ageMs: number, content: ReadonlyMap<string, Encoded>): number { return this.of(ageMs, ownIdleTimeoutMs(content)); }

  ofHeld(held: Held, content?: ReadonlyMap<string, Encoded>): number {
    return this.of(this.engine.now() - held.createdMs, content === undefined ? held.copy.ownIdleMs : ownIdleTimeoutMs(content));
  }

  #windowOf(ownMs: OwnIdleTimeout): number { return typeof ownMs === 'number' ? touchWindowMs(ownMs) : this.#windowMs; }

  /** Whether a session has ended that the store has still. */
  isOver(ageMs: number, idleMs: number, ownMs: OwnIdleTimeout): boolean {
    return this.#isTooOld(ageMs) || idleMs >= this.engine.lifetimeOf(Infinity, ownMs);
  }

  #isTooOld(ageMs: number): boolean {
    return this.options.absoluteTimeoutMs > 0 && ageMs >= this.options.absoluteTimeoutMs;
  }

  /** Neither over nor so close to its end that a touch must come first. */
  isPlainlyAlive(held: Held): boolean {
    const idleMs = this.engine.now() - held.touchedMs;
    return !this.#isTooOld(this.engine.now() - held.createdMs)
      && (idleMs < this.#windowOf(held.copy.ownIdleMs) || held.lifetimeMs - idleMs >= TOUCH_NOW_BELOW_MS);
  }

  /** Has the use of a held session reported with the next batch, at most once per window. */
  touchLater(held: Held, key: string): void {
    const now = this.engine.now();
    if (now - held.touchedMs < this.#windowOf(held.copy.ownIdleMs)) return;
    held.touchedMs = now;
    held.lifetimeMs = this.ofHeld(held);
    this.engine.touches.add(key, held.lifetimeMs);
  }

  /**
   * Reports the use of a session of which the store said these times; before it is served if it would expire otherwise.
   * Resolves to whether that came too late.
   */
  async touch(key: string, record: { readonly idleMs: number; readonly lifetimeMs: number; readonly ageMs: number }, ownMs: OwnIdleTimeout): Promise<boolean> {
    if (record.idleMs < this.#windowOf(ownMs)) return false;
    const lifetimeMs = this.of(record.ageMs, ownMs);
    if (this.engine.lifetimeOf(record.lifetimeMs, ownMs) - record.idleMs < TOUCH_NOW_BELOW_MS) return this.engine.touches.now(key, lifetimeMs);
    this.engine.touches.add(key, lifetimeMs);
    return false;
  }

  /** The same for a session that is held and about to be used. */
  async touchHeld(held: Held, key: string): Promise<void> {
    const now = this.engine.now();
    const record = { idleMs: now - held.touchedMs, lifetimeMs: held.lifetimeMs, ageMs: now - held.createdMs };
    const { ownIdleMs } = held.copy;
    await this.touch(key, record, ownIdleMs);
    if (record.idleMs < this.#windowOf(ownIdleMs)) return;
    held.touchedMs = now;
    held.lifetimeMs = this.ofHeld(held);
  }
}

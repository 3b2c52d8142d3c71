import type { Engine } from './engine.js';
import type { Slot } from './ownership.js';

// A user whose publishing is under way is looked at again after this.
const LOOK_AGAIN_MS = 100;

/** Cuts off who uses a session for longer than `holdMs` (0: nobody) while others wait for it. */
export class HoldLimit {
  readonly #timers = new Map<Slot, () => void>();

  constructor(private readonly engine: Engine, private readonly holdMs: number) {}

  /** To be called when somebody begins to wait for a slot, and when a slot that somebody waits for has a user. */
  watch(slot: Slot): void {
    if (this.holdMs === 0 || slot.user === undefined || this.#timers.has(slot) || !slot.queue.isAwaited(this.engine.now())) return;
    this.#lookAfter(slot, slot.user.sinceMs + this.holdMs - this.engine.now());
  }

  stop(): void {
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
  }

  #lookAfter(slot: Slot, ms: number): void {
    this.#timers.set(slot, this.engine.clock.timer(() => {
      this.#timers.delete(slot);
      this.#look(slot);
    }, Math.min(this.holdMs, Math.max(0, ms))));
  }

  #look(slot: Slot): void {
    const beforeMs = this.engine.now() - this.holdMs;
    const { user } = slot;
    if (user === undefined || !slot.queue.isAwaited(this.engine.now())) return;
    if (user.sinceMs <= beforeMs) user.cutOff(beforeMs);
    // Whoever uses it by now has a limit of its own.
    if (slot.user === undefined || !slot.queue.isAwaited(this.engine.now())) return;
    this.#lookAfter(slot, Math.max(LOOK_AGAIN_MS, slot.user.sinceMs - beforeMs));
  }
}

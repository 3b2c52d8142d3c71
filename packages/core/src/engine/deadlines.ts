import type { CancelTimer, Clock } from '../clock.js';
import { OrderOfUse, type Linked } from '../order-of-use.js';

interface Deadline extends Linked<Deadline> {
  readonly atMs: number;
  readonly callback: () => void;
  isOver: boolean;
}

/** Many deadlines over one timer: nearly all of them are cancelled soon, and making a timer costs more than a place in a list. */
export class Deadlines {
  readonly #pending = new OrderOfUse<Deadline>();
  #firesAtMs = Infinity;
  #cancel: CancelTimer = () => { /* no timer yet */ };

  constructor(private readonly clock: Clock) {}

  /** Calls back once after `ms`, unless it is cancelled. */
  add(callback: () => void, ms: number): CancelTimer {
    const deadline: Deadline = { atMs: this.clock.monotonicMs() + ms, callback, isOver: false, older: undefined, newer: undefined };
    this.#pending.append(deadline);
    if (deadline.atMs < this.#firesAtMs) this.#fireAt(deadline.atMs, ms);
    return () => { this.#end(deadline); };
  }

  /** Leaves no timer behind where nothing is pending. */
  rest(): void {
    if (this.#pending.oldest !== undefined) return;
    this.#cancel();
    this.#firesAtMs = Infinity;
  }

  #fireAt(atMs: number, ms: number): void {
    this.#cancel();
    this.#firesAtMs = atMs;
    this.#cancel = this.clock.timer(() => { this.#fire(); }, ms);
  }

  #fire(): void {
    // A timer may fire a little early; what it was set for is due then too.
    const nowMs = Math.max(this.clock.monotonicMs(), this.#firesAtMs);
    let nextMs = Infinity;
    const due: Deadline[] = [];
    for (let deadline = this.#pending.oldest; deadline !== undefined; deadline = deadline.newer) {
      if (deadline.atMs <= nowMs) due.push(deadline);
      else nextMs = Math.min(nextMs, deadline.atMs);
    }
    this.#firesAtMs = Infinity;
    if (nextMs < Infinity) this.#fireAt(nextMs, nextMs - nowMs);
    for (const deadline of due) if (this.#end(deadline)) deadline.callback();
  }

  /** True for the first time. */
  #end(deadline: Deadline): boolean {
    if (deadline.isOver) return false;
    deadline.isOver = true;
    this.#pending.take(deadline);
    return true;
  }
}

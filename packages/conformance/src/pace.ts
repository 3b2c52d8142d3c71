import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import type { ManualClock } from '@cluster/core/driver';

const STEPS_PER_PACE = 6;
const LONGEST_SPAN_MS = 20_000;

/** Time in a clause: real, or that of the harness's manual clock. */
export class Pace {
  constructor(
    /** The shortest lifetime and lease that clauses use. */
    readonly paceMs: number,
    readonly clock: ManualClock | undefined,
  ) {}

  nowMs(): number {
    return this.clock?.monotonicMs() ?? performance.now();
  }

  async wait(ms: number): Promise<void> {
    if (this.clock !== undefined) await this.clock.advance(ms);
    // Rounded up and one more: a timer may fire up to 1 ms before `performance.now()` says so.
    else await new Promise<void>((resolve) => { setTimeout(resolve, Math.ceil(ms) + 1); });
  }

  /** Tries until there is an outcome; fails `withinMs` after the call. */
  async until<T>(what: string | (() => string), attempt: () => T | undefined | Promise<T | undefined>, withinMs: number): Promise<T> {
    const deadline = this.nowMs() + withinMs;
    for (;;) {
      // Asked before the attempt: the last attempt begins at the deadline or after it.
      const over = this.nowMs() >= deadline;
      const outcome = await attempt();
      if (outcome !== undefined) return outcome;
      if (over) assert.fail(`${typeof what === 'string' ? what : what()}: not within ${withinMs} ms`);
      await this.wait(Math.max(1, this.paceMs / STEPS_PER_PACE));
    }
  }

  /** {@link until} the condition holds. */
  async becomes(what: string, condition: () => boolean | Promise<boolean>, withinMs: number): Promise<void> {
    await this.until(what, async () => (await condition() ? true : undefined), withinMs);
  }

  /**
   * Observes something that must be seen before a time is over. What was answered or rejected after it says nothing: the machine
   * is slow, and it is tried again with twice the time.
   */
  async inTime<T>(observe: (spanMs: number) => Promise<{ readonly seen: T; readonly validUntilMs: number }>): Promise<T> {
    for (let spanMs = this.paceMs; spanMs <= LONGEST_SPAN_MS; spanMs *= 2) {
      const endMs = this.nowMs() + spanMs;
      try {
        const { seen, validUntilMs } = await observe(spanMs);
        if (this.nowMs() < validUntilMs) return seen;
      } catch (error) {
        if (this.nowMs() < endMs || 2 * spanMs > LONGEST_SPAN_MS) throw error;
      }
    }
    return assert.fail(`the store takes too long to be observed within ${LONGEST_SPAN_MS} ms`);
  }
}

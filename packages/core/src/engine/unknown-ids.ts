import type { Clock } from '../clock.js';

const KEPT_MS = 500;
const MOST = 2_000;

/** Keys of which the store said that there is nothing: bots that repeat a dead cookie do not cost a call each time. */
export class UnknownIds {
  readonly #until = new Map<string, number>();

  constructor(private readonly clock: Clock) {}

  has(key: string): boolean {
    const untilMs = this.#until.get(key);
    if (untilMs === undefined) return false;
    if (this.clock.monotonicMs() < untilMs) return true;
    this.#until.delete(key);
    return false;
  }

  add(key: string): void {
    if (this.#until.size >= MOST) {
      const [oldest] = this.#until.keys();
      if (oldest !== undefined) this.#until.delete(oldest);
    }
    this.#until.set(key, this.clock.monotonicMs() + KEPT_MS);
  }

  delete(key: string): void { this.#until.delete(key); }
}

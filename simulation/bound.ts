import type { Cluster, Life } from './cluster.js';

const SLACK_MS = 5;

/** A time within which something must have ended, by the clock of its process. */
export class Bound {
  readonly #startMs: number;
  readonly #pauses: number;

  constructor(private readonly cluster: Cluster, private readonly life: Life, private readonly what: string, private readonly times = 1) {
    this.#startMs = life.process.clock.monotonicMs();
    this.#pauses = life.process.pauses;
  }

  end(): void {
    const { plan, recorder } = this.cluster;
    if (this.life.process.pauses !== this.#pauses) return;
    const tookMs = this.life.process.clock.monotonicMs() - this.#startMs;
    const limitMs = (plan.options.lockTimeoutMs + plan.options.storeTimeoutMs) * this.times;
    if (tookMs > limitMs + SLACK_MS) recorder.violation('bound', `${this.what} took ${tookMs.toFixed(1)} ms, promised were ${limitMs}`);
  }
}

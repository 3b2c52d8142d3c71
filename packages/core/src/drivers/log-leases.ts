import type { LogSteps, Present } from './log-steps.js';

const ENDED = 'ended';
/** Longer than a beat can be late; one that is there no more counts as ended all the same. */
const ENDED_MS = 3_600_000;

/**
 * Leases over a log: one key per incarnation, whose content is the number of its last beat, or `ended`. Beats and whoever ends the
 * lease make it of the same content, so that one of them loses.
 */
export class LogLeases {
  /** @param keptMs longer than the log's time jumps: a lease that is there no more counts as ended */
  constructor(private readonly steps: LogSteps, private readonly keyOf: (incarnation: string) => string, private readonly keptMs: number) {}

  /** Whether the lease goes on. */
  beat(incarnation: string, n: number, leaseMs: number): Promise<boolean> {
    return this.steps.step(this.keyOf(incarnation), (present) => {
      if (present?.text === ENDED || (present === undefined && n > 0)) return { answer: false };
      if (present !== undefined && Number(present.text) >= n) return { answer: true };
      return { answer: true, put: { text: String(n), forMs: Math.max(this.keptMs, 3 * leaseMs), begins: true } };
    });
  }

  lapse(incarnation: string, quietMs: number): Promise<number> {
    return this.steps.step(this.keyOf(incarnation), (present) => {
      if (present === undefined || present.text === ENDED) return { answer: 0 };
      const waitMs = quietMs - quietFor(present);
      if (waitMs > 0) return { answer: Math.max(1, Math.ceil(waitMs)) };
      return { answer: 0, put: { text: ENDED, forMs: ENDED_MS, begins: true } };
    });
  }
}

/** By both clocks, since the log's may jump when another broker leads, and this instance may just have begun to read. */
const quietFor = ({ sinceMs, seenForMs }: Present): number => Math.min(sinceMs, seenForMs);

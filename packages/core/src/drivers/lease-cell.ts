import type { Clock } from '../clock.js';
import { ClusterError } from '../errors.js';
import type { SessionMap } from './session-map.js';

const ENDED = 'ended';
const MAX_ROUNDS = 8;
const MAX_OWN = 16;
const MAX_OBSERVED = 1_000;

interface Own { readonly n: number; readonly revision: string; readonly generation: string }

/**
 * Leases over a map: one cell per incarnation, which holds the number of its last beat, or `ended`. Beats and whoever ends the
 * lease put over the same revision, so that one of them loses.
 */
export class LeaseCells {
  readonly #own = new Map<string, Own>();
  /** Where the map does not date its entries: since when this observer has seen the revision that is there. */
  readonly #observed = new Map<string, { readonly revision: string; readonly sinceMs: number }>();
  #leaseMs = 10_000;

  constructor(private readonly map: SessionMap, private readonly clock: Clock, private readonly keyOf: (incarnation: string) => string) {}

  async beat(incarnation: string, n: number, leaseMs: number): Promise<{ generation: string } | 'lapsed'> {
    this.#leaseMs = leaseMs;
    let expected: { readonly revision: string | undefined } | undefined = n === 0 ? { revision: undefined } : this.#before(incarnation, n);
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      if (expected !== undefined) {
        if (await this.#putBeat(incarnation, n, expected.revision)) return { generation: this.#generation() };
        this.#own.delete(incarnation);
      }
      const found = await this.#look(incarnation);
      if (found.beat === ENDED || (found.beat === undefined && n > 0)) return 'lapsed';
      if (found.beat !== undefined && found.beat >= n) return { generation: this.#generation() };
      expected = found;
    }
    throw this.#contended(incarnation);
  }

  async lapse(incarnation: string, quietMs: number): Promise<number> {
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const { beat, revision, ageMs } = await this.#look(incarnation);
      if (revision === undefined || beat === ENDED) {
        this.#observed.delete(incarnation);
        return 0;
      }
      const waitMs = quietMs - (ageMs ?? (quietMs === 0 ? 0 : this.#quietMs(incarnation, revision)));
      if (waitMs > 0) return Math.max(1, Math.ceil(waitMs));
      const put = { value: ENDED, lifetimeMs: 6 * this.#leaseMs };
      if (await this.map.compareAndSet(this.keyOf(incarnation), revision, put) !== undefined) {
        this.#observed.delete(incarnation);
        return 0;
      }
    }
    throw this.#contended(incarnation);
  }

  clear(): void {
    this.#own.clear();
    this.#observed.clear();
  }

  #generation(): string {
    return this.map.generation?.() ?? '';
  }

  #before(incarnation: string, n: number): Own | undefined {
    const own = this.#own.get(incarnation);
    return own?.n === n - 1 && own.generation === this.#generation() ? own : undefined;
  }

  async #putBeat(incarnation: string, n: number, expected: string | undefined): Promise<boolean> {
    const generation = this.#generation();
    this.#own.delete(incarnation); // stays so if the put is rejected
    const revision = await this.map.compareAndSet(this.keyOf(incarnation), expected, { value: String(n), lifetimeMs: 3 * this.#leaseMs });
    if (revision === undefined) return false;
    this.#own.set(incarnation, { n, revision, generation });
    bound(this.#own, MAX_OWN);
    return true;
  }

  async #look(incarnation: string) {
    const found = await this.map.get(this.keyOf(incarnation));
    if (found === undefined) return { beat: undefined, revision: undefined, ageMs: undefined };
    if (found.value !== ENDED && !/^\d{1,15}$/.test(found.value)) {
      throw new ClusterError('CLUSTER_UNREADABLE', `the lease of ${incarnation}: expected the number of a beat or '${ENDED}'`);
    }
    return { beat: found.value === ENDED ? ENDED : Number(found.value), revision: found.revision, ageMs: found.ageMs } as const;
  }

  #quietMs(incarnation: string, revision: string): number {
    const nowMs = this.clock.monotonicMs();
    const observed = this.#observed.get(incarnation);
    if (observed?.revision === revision) return nowMs - observed.sinceMs;
    this.#observed.delete(incarnation);
    this.#observed.set(incarnation, { revision, sinceMs: nowMs });
    bound(this.#observed, MAX_OBSERVED);
    return 0;
  }

  #contended(incarnation: string): ClusterError {
    return new ClusterError('CLUSTER_UNAVAILABLE', `the lease of ${incarnation} changed ${MAX_ROUNDS} times while it was to be changed`);
  }
}

/** Drops what was put in first. */
function bound(entries: Map<string, unknown>, limit: number): void {
  for (const key of entries.keys()) {
    if (entries.size <= limit) return;
    entries.delete(key);
  }
}

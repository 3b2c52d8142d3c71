import type { Clock } from '../src/clock.js';
import type { Entry, Found } from '../src/drivers/session-map.js';
import type { DriverContext } from '../src/drivers/session-table.js';

interface Kept { readonly value: string; readonly revision: string; readonly putMs: number; readonly endMs: number }

/** What is needed of a map for tests of what stands above one. */
export class MemoryMap {
  readonly #kept = new Map<string, Kept>();
  #puts = 0;

  constructor(private readonly clock: Clock) {}

  async start({ listening }: DriverContext): Promise<void> { listening(true); }

  async get(key: string): Promise<Found | undefined> {
    const kept = this.#present(key);
    return kept && { value: kept.value, revision: kept.revision, ageMs: this.clock.monotonicMs() - kept.putMs };
  }

  async compareAndSet(key: string, expected: string | undefined, { value, lifetimeMs }: Entry): Promise<string | undefined> {
    if (this.#present(key)?.revision !== expected) return undefined;
    const putMs = this.clock.monotonicMs();
    const revision = String(++this.#puts);
    this.#kept.set(key, { value, revision, putMs, endMs: putMs + lifetimeMs });
    return revision;
  }

  #present(key: string): Kept | undefined {
    const kept = this.#kept.get(key);
    return kept !== undefined && kept.endMs > this.clock.monotonicMs() ? kept : undefined;
  }
}

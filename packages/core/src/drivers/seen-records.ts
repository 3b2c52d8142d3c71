import type { StoredRecord } from '../record.js';

/** A key's content as this instance last saw it: what the next put goes by. */
export interface Seen<S> {
  readonly stored: S;
  /** Undefined: nothing is there. */
  readonly revision: string | undefined;
  /** How old it was when `atMs` was read on the monotonic clock: just before the call that showed or put it. */
  readonly sinceMs: number;
  readonly atMs: number;
  readonly generation: string;
  readonly bytes: number;
}

// As many as an instance holds by default: the commit of a held session is one call as long as its record is here.
const MAX_KEYS = 100_000;
const MAX_BYTES = 64 * 1024 * 1024;

/** The records last put by this instance, least recently used first to leave. */
export class SeenRecords {
  readonly #seen = new Map<string, Seen<StoredRecord>>();
  #bytes = 0;

  constructor(private readonly maxKeys = MAX_KEYS, private readonly maxBytes = MAX_BYTES) {}

  get size(): number {
    return this.#seen.size;
  }

  has(key: string): boolean {
    return this.#seen.has(key);
  }

  get(key: string): Seen<StoredRecord> | undefined {
    const seen = this.#seen.get(key);
    if (seen !== undefined) {
      this.#seen.delete(key);
      this.#seen.set(key, seen);
    }
    return seen;
  }

  set(key: string, seen: Seen<StoredRecord>): void {
    this.delete(key);
    this.#seen.set(key, seen);
    this.#bytes += seen.bytes;
    for (const oldest of this.#seen.keys()) {
      if (this.#seen.size <= this.maxKeys && this.#bytes <= this.maxBytes) return;
      this.delete(oldest);
    }
  }

  delete(key: string): void {
    this.#bytes -= this.#seen.get(key)?.bytes ?? 0;
    this.#seen.delete(key);
  }

  clear(): void {
    this.#seen.clear();
    this.#bytes = 0;
  }
}

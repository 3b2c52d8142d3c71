import { OrderOfUse, type Linked } from '../order-of-use.js';
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

// Bounds for what is left behind: a session that is held no more is deleted here where this instance learns of it.
const MAX_KEYS = 1_000_000;
const MAX_BYTES = 256 * 1024 * 1024;

interface Entry extends Linked<Entry> {
  readonly key: string;
  seen: Seen<StoredRecord> | undefined;
}

/** Records as this instance last put them, of sessions whose lock it has; least recently used first to leave. */
export class SeenRecords {
  readonly #entries = new Map<string, Entry>();
  readonly #order = new OrderOfUse<Entry>();
  #bytes = 0;

  constructor(private readonly maxKeys = MAX_KEYS, private readonly maxBytes = MAX_BYTES) {}

  get size(): number {
    return this.#entries.size;
  }

  has(key: string): boolean {
    return this.#entries.get(key)?.seen !== undefined;
  }

  get(key: string): Seen<StoredRecord> | undefined {
    const entry = this.#entries.get(key);
    if (entry !== undefined) this.#use(entry);
    return entry?.seen;
  }

  set(key: string, seen: Seen<StoredRecord>): void {
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = { key, seen: undefined, older: undefined, newer: undefined };
      this.#entries.set(key, entry);
      this.#order.append(entry);
    } else {
      this.#use(entry);
    }
    this.#bytes += seen.bytes - (entry.seen?.bytes ?? 0);
    entry.seen = seen;
    for (let oldest = this.#order.oldest; oldest !== undefined && this.#isFull(); oldest = this.#order.oldest) this.delete(oldest.key);
  }

  /** The record, not its place: another one is about to follow. */
  forget(key: string): void {
    const entry = this.#entries.get(key);
    if (entry?.seen === undefined) return;
    this.#bytes -= entry.seen.bytes;
    entry.seen = undefined;
  }

  delete(key: string): void {
    this.forget(key);
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#order.take(entry);
  }

  clear(): void {
    this.#entries.clear();
    this.#order.clear();
    this.#bytes = 0;
  }

  #use(entry: Entry): void {
    this.#order.take(entry);
    this.#order.append(entry);
  }

  #isFull(): boolean {
    return this.#entries.size > this.maxKeys || this.#bytes > this.maxBytes;
  }
}

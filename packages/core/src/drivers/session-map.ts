import type { DriverContext, Message, StoreCapabilities } from './session-table.js';

/** What a map stores under a key. The key is absent once `lifetimeMs` have passed since it was put. */
export interface Entry {
  readonly value: string;
  readonly lifetimeMs: number;
}

/** What a map finds under a key. */
export interface Found {
  readonly value: string;
  /** Names this content for ever: never used again for another one, also after a rollback (else see `generation`). */
  readonly revision: string;
  /** Since this revision was put, by the store's own clock; left out where it has none. */
  readonly ageMs?: number;
}

/**
 * The small shape of a driver: any store with compare-and-set. Core makes a {@link SessionTable} of it.
 * Without `signal` nothing is kept idle, waiters poll, and instances leave each other word in cells of the map.
 */
export interface SessionMap {
  readonly capabilities: Omit<StoreCapabilities, 'delta'>;
  /** Connects; rejects if the store cannot be used. */
  start?(context: DriverContext): Promise<void>;
  /** Ends what `start` began; a client that was passed in stays open. */
  stop?(): Promise<void>;
  /** The present content, linearizable; undefined if there is none or it has expired. */
  get(key: string): Promise<Found | undefined>;
  /**
   * Puts the entry if the key's revision is `expected` (undefined: absent or expired). Resolves to the new revision, or to
   * undefined when the revision was another. Rejects when the outcome is unknown.
   */
  compareAndSet(key: string, expected: string | undefined, entry: Entry): Promise<string | undefined>;
  /** As in `SessionTable`. */
  signal?(instanceId: string, message: Message): Promise<boolean>;
  /** Names the store's timeline; changes when the store may have rolled back. */
  generation?(): string;
  /** Clears away up to `limit` expired entries; resolves to how many. */
  sweep?(limit: number): Promise<number>;
  /** All keys of the context, in no order. */
  keys?(): AsyncIterable<string>;
}

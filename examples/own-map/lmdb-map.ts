import { ClusterStoreBase, type Entry, type SessionMap } from '@cluster/core/driver';
import { open, type RootDatabase } from 'lmdb';

interface Row { value: string; revision: string; expiresMs: number }

export class LmdbMap implements SessionMap {
  readonly capabilities = { durability: 'power', gone: 'unknown', rollback: false } as const;
  readonly #database: RootDatabase;

  constructor(path: string) { this.#database = open({ path }); }

  stop(): Promise<void> { return this.#database.close(); }

  async get(key: string) {
    this.#database.resetReadTxn(); // see what other processes have committed by now
    return this.#present(key);
  }

  /** Resolves to the new revision, or undefined when somebody else was first. */
  async compareAndSet(key: string, expected: string | undefined, { value, lifetimeMs }: Entry) {
    const revision = await this.#database.transaction(() => {
      if (this.#present(key)?.revision !== expected) return undefined;
      const next = Number(this.#database.get('revision') ?? 0) + 1; // never used again, whatever becomes of the key
      void this.#database.put('revision', next);
      void this.#database.put(key, { value, revision: String(next), expiresMs: Date.now() + lifetimeMs });
      return String(next);
    });
    await this.#database.flushed; // durability 'power': acknowledged means on the disk
    return revision;
  }

  #present(key: string): Row | undefined {
    const row = this.#database.get(key) as Row | undefined;
    return row !== undefined && row.expiresMs > Date.now() ? row : undefined;
  }
}

export class LmdbStore extends ClusterStoreBase {
  constructor(path: string) { super(new LmdbMap(path)); }
}

import assert from 'node:assert/strict';
import type { SessionSnapshot } from '@cluster/core';
import type { Encoded } from '@cluster/core/driver';
import type { Clause } from './clause.js';
import { hex } from './driver-bench.js';
import type { Pace } from './pace.js';
import type { OpenStore, OptionalMethod, RemoteStore } from './processes/remote-store.js';
import { describeError, type Proof } from './proof.js';

/** What clauses need to know of a harness. */
export interface StoreLimits {
  readonly takeOverMs: number;
  readonly lateMs: number;
  readonly maxValueBytes: number;
  readonly lacks: readonly OptionalMethod[];
}

/** Two running stores, replaced when a clause has stopped or killed one. */
export class StorePair {
  #stores: RemoteStore[] = [];

  constructor(private readonly openStore: OpenStore) {}

  async two(): Promise<readonly [RemoteStore, RemoteStore]> {
    this.#stores = this.#stores.filter((store) => store.runs);
    const fresh = await Promise.all(Array.from({ length: 2 - this.#stores.length }, () => this.openStore(`kit-${hex(4)}`)));
    this.#stores.push(...fresh);
    const [one, other] = this.#stores;
    assert.ok(one !== undefined && other !== undefined);
    return [one, other];
  }

  /** Starts a store anew that was killed, under its name. */
  async again({ instanceId }: RemoteStore): Promise<RemoteStore> {
    this.#stores = this.#stores.filter((store) => store.runs);
    const store = await this.openStore(instanceId);
    this.#stores.push(store);
    return store;
  }
}

/** How long a lock that nobody uses may take to be free. */
const FREE_WITHIN_MS = 1_000;

/** A lifetime that ends within no clause. */
const LONG_MS = 60_000;

/** What one clause of a ClusterStore works on. */
export class StoreBench {
  constructor(readonly proof: Proof, readonly time: Pace, readonly limits: StoreLimits, private readonly pair: StorePair) {}

  get paceMs(): number {
    return this.time.paceMs;
  }

  /** Stores of two instances, in two processes. */
  two(): Promise<readonly [RemoteStore, RemoteStore]> {
    return this.pair.two();
  }

  /** Another life of a store that was killed, under the same instanceId. */
  again(store: RemoteStore): Promise<RemoteStore> {
    return this.pair.again(store);
  }

  /** A fresh id, as a manager gives it. */
  id(): string {
    return hex(32);
  }

  session(id: string, attributes: ReadonlyMap<string, Encoded> | Readonly<Record<string, Encoded>>, lifetimeMs = LONG_MS): SessionSnapshot {
    // The tag says that it is a map; the compiler cannot follow a tag.
    const isMap = Object.prototype.toString.call(attributes) === '[object Map]';
    const content = isMap ? attributes as ReadonlyMap<string, Encoded> : new Map(Object.entries(attributes as Record<string, Encoded>));
    return { id, attributes: content, ageMs: 0, idleMs: 0, lifetimeMs };
  }

  /** Adds a session, which a clause takes for granted; resolves to its id. */
  async added(store: RemoteStore, attributes: Readonly<Record<string, Encoded>> = { n: '0' }, keep = false): Promise<string> {
    const id = this.id();
    await store.send(this.session(id, attributes), { keep, isNew: true });
    return id;
  }

  /** Finds a session that is there and free, which a clause takes for granted. */
  async found(store: RemoteStore, id: string): Promise<SessionSnapshot> {
    const session = await this.#had(store, id);
    assert.ok(session !== undefined, 'the ground of this clause: a session that was added is found');
    return session;
  }

  /**
   * Finds a session that nobody uses. A find that was refused may have left its claim in a queue: the lock then passes by that
   * instance before it is free.
   */
  async #had(store: RemoteStore, id: string): Promise<SessionSnapshot | undefined> {
    const deadline = this.time.nowMs() + FREE_WITHIN_MS;
    for (;;) {
      const over = this.time.nowMs() >= deadline;
      try {
        return await store.find(id, { waitMs: FREE_WITHIN_MS });
      } catch (error) {
        if (over || !(error instanceof Error && 'code' in error && error.code === 'CLUSTER_LOCKED')) throw error;
        await this.time.wait(this.paceMs / 6);
      }
    }
  }

  /** Finds a session and changes attributes of it; the lock stays. */
  async changed(store: RemoteStore, id: string, attributes: Readonly<Record<string, Encoded>>): Promise<SessionSnapshot> {
    const session = await this.found(store, id);
    return { ...session, attributes: new Map([...session.attributes, ...Object.entries(attributes)]) };
  }

  /** The content that the store finds; the lock is given back. */
  async content(store: RemoteStore, id: string): Promise<ReadonlyMap<string, Encoded>> {
    const session = await this.found(store, id);
    await store.send(session, { keep: false, isNew: false });
    return session.attributes;
  }

  /** The find is refused since another instance has the lock. */
  async locked(store: RemoteStore, id: string, message: string): Promise<void> {
    await this.proof.rejects(store.find(id), message, 'CLUSTER_LOCKED');
  }

  /** The lock can be had; it is given back. */
  async free(store: RemoteStore, id: string, message: string): Promise<void> {
    const outcome = await this.#had(store, id).then((session) => ({ session }), (error: unknown) => ({ error }));
    const found = 'error' in outcome ? `a rejection by ${describeError(outcome.error)}` : 'nothing';
    const session = 'session' in outcome ? outcome.session : undefined;
    this.proof.ok(session !== undefined, `${message}: expected the session, with the lock, but found ${found}`);
    if (session !== undefined) await store.send(session, { keep: false, isNew: false });
  }
}

export type StoreClause = Clause<StoreLimits, StoreBench>;
export const KEEP = { keep: true, isNew: false } as const;
export const RELEASE = { keep: false, isNew: false } as const;
export const NEW = { keep: false, isNew: true } as const;

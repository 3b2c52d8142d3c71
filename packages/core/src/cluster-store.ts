import type { Encoded } from './drivers/session-table.js';
import type { Manager } from './manager.js';
import { hasMethods } from './options.js';

/** A session's content outside of a handle: encoded, with its times as durations in milliseconds. */
export interface SessionSnapshot {
  readonly id: string;
  /** One named `cookie` is the session's own idle time-out in ms, as text whatever the codec; `lifetimeMs` follows it. */
  readonly attributes: ReadonlyMap<string, Encoded>;
  /** Since it was created. */
  readonly ageMs: number;
  /** Since it was last used. */
  readonly idleMs: number;
  /** It expires when `idleMs` reaches this. */
  readonly lifetimeMs: number;
}

/** How a session is found. */
export interface FindOptions {
  /**
   * `exclusive` (default): locked for this caller until it is sent. `snapshot`: the last committed state, without a lock;
   * a change is checked when it is sent. `shared`: locked for this instance, whose shared requests use one live object at once;
   * the end of each publishes what has been changed by then, and if that fails all of them fail.
   */
  readonly access?: 'exclusive' | 'snapshot' | 'shared';
  /**
   * From this find on, an exclusive or shared find of the same session in the caller's asynchronous context, and in what that
   * starts, gets the same handle at once instead of waiting for it; each such find is ended by a send or release of its own, and
   * the send publishes. For the begin of a request: this find itself waits for its turn, whatever the context had before. After
   * one with `snapshot` nothing of that comes back any more; its own handle does from a send with `release: false`, or an id
   * change, that took the lock. `update` and the requests of `@cluster/http` make their finds come back as well.
   */
  readonly reentrant?: boolean;
  /** How long to wait for the lock, in ms; default `lockTimeoutMs`. 0: not at all. */
  readonly waitMs?: number;
  /** Gives up the place in the queue; the find rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** What the caller calls itself in lock errors of others, e.g. `POST /cart`. */
  readonly label?: string;
  /** Where `onLocked` says 'redirect': false, or a function that does not accept the holder's public address: waits. Default true. */
  readonly redirect?: boolean | ((publicUrl: string) => boolean);
}

/**
 * Where the sessions of a cluster are kept, as seen by a {@link Manager}. Stores built on `ClusterStoreBase` implement it
 * already; implement it yourself for a store that has locks of its own. Ids given to it by a manager are digests of the
 * ids in cookies.
 */
export interface ClusterStore {
  /** The owner of this instance's locks. */
  readonly instanceId: string;
  /** Called before anything else; rejects if the store cannot be used, and is called again then with a later request. */
  start(manager: Manager): Promise<void>;
  /** Releases what this instance has locked and ends what `start` began. */
  stop(): Promise<void>;
  /**
   * An up-to-date copy, locked for this instance; undefined: there is none. Found again by the instance that has it locked, it
   * is granted again. Rejects with `CLUSTER_LOCKED` if another instance has it, with `CLUSTER_MOVED` after an id change.
   */
  findSession(id: string, options: FindOptions): Promise<SessionSnapshot | undefined>;
  /**
   * Adds (`isNew`) or updates, then releases unless `keep`. Resolves when the change is acknowledged. Rejects with
   * `CLUSTER_FENCED` if it was certainly not stored because the lock was lost or the session is gone; any other rejection
   * means that the outcome is unknown.
   */
  sendSession(session: SessionSnapshot, options: { readonly keep: boolean; readonly isNew: boolean }): Promise<void>;
  /**
   * Ends it everywhere, whoever has it locked; no later send of an older holder brings it back. Resolves where there is none.
   * Rejects with `CLUSTER_MOVED` if the session goes on under another id. To end it as `moved` this instance must have it
   * locked: rejects with `CLUSTER_FENCED` if it has not, or if somebody ended the session meanwhile.
   */
  removeSession(id: string, why: 'removed' | 'moved'): Promise<void>;
  /**
   * A new or updated session from another instance, called by the store's own transport; passes it to `manager.receive`.
   * Empty where nothing arrives.
   */
  receiveSession(update: SessionSnapshot): void;
  /** The last committed state, without a lock; it waits for none and frees none, also where this instance has it. Default: find, then release. */
  readSession?(id: string): Promise<SessionSnapshot | undefined>;
  /** Starts the idle time of these sessions anew. Default: nothing. */
  touchSessions?(lifetimesMs: ReadonlyMap<string, number>): Promise<void>;
}

/** By its methods, not by its class: several copies of this package may be installed. A manager has them too, and more. */
export const isClusterStore = (value: unknown): value is ClusterStore =>
  hasMethods('start', 'stop', 'findSession', 'sendSession', 'removeSession')(value) && !hasMethods('createSession')(value);

/** Token of the {@link ClusterStore} in a container. */
export const ClusterStore = Symbol.for('@cluster/core/ClusterStore');

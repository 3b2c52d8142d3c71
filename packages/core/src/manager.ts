import type { ClusterStore, FindOptions, SessionSnapshot } from './cluster-store.js';
import type { ManagerEvents } from './events.js';
import type { Session } from './session.js';

/** What a manager says about itself. Counts are of this instance. */
export interface Health {
  readonly status: 'new' | 'starting' | 'up' | 'draining' | 'stopped';
  /** `down`: the last beat was not acknowledged within its time. */
  readonly store: 'up' | 'down' | 'unknown';
  /** Present incarnation of this instance; undefined before the start. */
  readonly incarnation: string | undefined;
  /** Whether signals of other instances arrive. */
  readonly listening: boolean;
  /** Sessions whose lock this instance has, in use or idle. */
  readonly held: number;
  /** Requests that have a session locked now. */
  readonly running: number;
  /** Requests that wait for a session, which another one has, here or on another instance. */
  readonly waiting: number;
  /** Sessions of which something is kept in memory, and the bytes of their content. */
  readonly inMemory: { readonly sessions: number; readonly bytes: number };
  /**
   * Of a store that every instance has whole in its memory, and that takes no new sessions at a bound: its bytes, and the bound.
   * From four fifths on there is a `warning`.
   */
  readonly stored: { readonly bytes: number; readonly maxBytes: number } | undefined;
  /** Calls to the store since the start, by method; `signal`, `beat` and `touch` among them. */
  readonly storeCalls: Readonly<Record<string, number>>;
}

/**
 * Keeps the sessions of one application on one instance and drives the life cycle of its requests: find and lock at the
 * begin, publish and unlock at the end.
 */
export interface Manager {
  readonly context: string;
  readonly store: ClusterStore;
  /** Connects the store and begins the lease. Optional: the first call that needs the store starts it; call it to fail at boot. */
  start(): Promise<void>;
  /** Hands idle sessions over now and goes on serving, keeping none. */
  drain(): Promise<void>;
  /** Drains, waits for running requests, ends the lease and what `start` began. A start that is under way is waited for no longer than `storeTimeoutMs`. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
  health(): Health;
  /**
   * A new session with a fresh id. No I/O until it is sent; one without attributes is never stored. `label`: what the caller
   * calls itself in events and in lock errors of others. `reentrant`: as for `findSession`, from a send with `release: false` on.
   */
  createSession(options?: { readonly label?: string; readonly reentrant?: boolean }): Session;
  /**
   * The session, locked for the caller until it is sent (unless `options.access` is `snapshot`). Undefined: there is none.
   * Rejects with `CLUSTER_LOCKED` after the wait, or before it as `onLocked` says, `CLUSTER_QUEUE_FULL`, `CLUSTER_MOVED`, `CLUSTER_UNAVAILABLE`.
   */
  findSession(id: string, options?: FindOptions): Promise<Session | undefined>;
  /**
   * Publishes what changed and unlocks; resolves when the change is acknowledged. Unchanged: unlocks only. The handle ends,
   * whatever the outcome. With `release: false` the change is published and the handle goes on. `final`: it ends also for nested
   * finds that came back to it and have not ended.
   */
  sendSession(session: Session, options?: { readonly release?: boolean; readonly final?: boolean }): Promise<void>;
  /** Drops what the handle changed and shows the last committed state again; a snapshot is read anew. */
  reloadSession(session: Session): Promise<void>;
  /** Gives the handle up without publishing what it changed; with `final` also for nested finds. */
  releaseSession(session: Session, options?: { readonly final?: boolean }): Promise<void>;
  /**
   * Ends the session everywhere, without its lock. `confirmed`: nobody serves it any more. `unconfirmed`: an instance that
   * could not be reached may answer reads from its memory for at most a minute of use. `moved`: it goes on under another id.
   */
  removeSession(id: string): Promise<'confirmed' | 'unconfirmed' | 'moved'>;
  /** The same session, with its changes, under a fresh id; the old id is gone when it resolves. The given handle ends. */
  changeSessionId(session: Session): Promise<Session>;
  /** Another instance has made or changed this session: an older copy of it here, which was no longer locked, is dropped. Nothing of the update is served. */
  receive(update: SessionSnapshot): void;
  /**
   * Finds and locks, runs `work`, publishes and unlocks. Several sessions are locked in one order for all, so that two updates
   * never wait for each other. Undefined if one of them does not exist. If `work` rejects nothing is published; inside of a
   * request or an update that has the session, what it changed stays on the handle of that, which publishes it. It waits where
   * `onLocked` says 'redirect', since there is no request to send on.
   */
  update<T>(id: string | readonly string[], work: (...sessions: Session[]) => T | Promise<T>, options?: FindOptions): Promise<T | undefined>;
  on<E extends keyof ManagerEvents>(event: E, listener: (event: ManagerEvents[E]) => void): this;
  off<E extends keyof ManagerEvents>(event: E, listener: (event: ManagerEvents[E]) => void): this;
}

/** Token of the {@link Manager} in a container. */
export const Manager = Symbol.for('@cluster/core/Manager');

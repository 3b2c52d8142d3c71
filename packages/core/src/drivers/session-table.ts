/** An encoded attribute value: text, or bytes where the codec makes bytes. */
export type Encoded = string | Uint8Array;

/** A signal from one instance to another: opaque to drivers, at most 7,500 bytes. */
export type Message = string;

/** One acquisition of a session: who holds it, and the 128 random bits that fence its writes. */
export interface Claim {
  readonly incarnation: string;
  readonly grant: string;
}

/** The identity of a content: the grant and version of its last commit. A version alone is none, since a store can roll back. */
export interface Stamp {
  readonly grant: string;
  readonly version: number;
}

/** Why a key has a tombstone: the session was ended, or it goes on under another id. */
export type Gone = 'removed' | 'moved';

/** Nothing is stored under the key; `gone` is set while a tombstone says why. */
export interface Absent {
  readonly kind: 'absent';
  readonly gone?: Gone;
}

/** What a store keeps of one session. All times are durations, in milliseconds, by the clock that dates the record. */
export interface SessionRecord {
  readonly kind: 'record';
  /** Version of the record's layout. */
  readonly format: number;
  readonly stamp: Stamp;
  readonly holder: Claim | undefined;
  /** Incarnation of the holder before the present one, or of the last one where nobody holds it. */
  readonly last: string | undefined;
  /** Since the record was created. */
  readonly ageMs: number;
  /** Since the last commit that set a lifetime, or touch; a store may count an acquire as a touch. */
  readonly idleMs: number;
  /** The record expires when `idleMs` reaches it. */
  readonly lifetimeMs: number;
  /** Undefined: the content is that of the caller's `have`. */
  readonly attributes: ReadonlyMap<string, Encoded> | undefined;
}

/** Attributes to set and to remove. `whole`: `set` is the complete content, and nothing else stays. */
export interface Change {
  readonly set: ReadonlyMap<string, Encoded>;
  readonly remove: readonly string[];
  readonly whole: boolean;
}

/** What a commit writes. `lifetimeMs` starts anew with it; 0 leaves the lifetime and the time of last use as they are. */
export interface Write {
  readonly change: Change | undefined;
  readonly lifetimeMs: number;
}

/**
 * What a create writes, and of what: a new session; one that goes on under this key and whose former one is removed right
 * after; or the settings in which instances must agree. A table that bounds the number of sessions may refuse the first.
 */
export interface Creation extends Write {
  /** Default: a session. */
  readonly of?: 'session' | 'moved' | 'settings';
}

/** The lock after an atomic step: stays, is free, or belongs to this claim. */
export type Then = 'keep' | 'release' | Claim;

export type Acquired =
  | { readonly kind: 'granted'; readonly record: SessionRecord }
  | { readonly kind: 'busy'; readonly holder: Claim }
  | Absent;

export type Committed =
  | { readonly kind: 'done'; readonly version: number }
  | { readonly kind: 'fenced'; readonly gone?: Gone }
  | { readonly kind: 'behind' };

export type Removed =
  | { readonly kind: 'removed'; readonly holder?: Claim }
  | { readonly kind: 'fenced'; readonly gone?: Gone }
  | { readonly kind: 'behind' };

/** What a store declares about itself; documentation, conformance kit and engine go by it. */
export interface StoreCapabilities {
  /** A commit sends only the changed attributes. */
  readonly delta: boolean;
  /** An acknowledged change may vanish when the store fails over. */
  readonly rollback: boolean;
  /** What a `false` from `signal` proves about the addressed instance. */
  readonly gone: 'dead' | 'disconnected' | 'unknown';
  /** An acknowledged change survives the death of: an instance, the store's process, the machine. */
  readonly durability: 'process' | 'crash' | 'power';
}

/** What a driver is started with. */
export interface DriverContext {
  /** The application whose sessions these are; matches `[A-Za-z0-9_-]{1,64}`. */
  readonly context: string;
  /** Address of this instance for signals; matches `[A-Za-z0-9_-]{1,64}`. */
  readonly instanceId: string;
  /** To be called with each message signalled to this instance. */
  readonly receive: (message: Message) => void;
  /** To be called with false while signals cannot arrive, with true when they can again. */
  readonly listening: (up: boolean) => void;
  /** How large the encoded content of a session may become; undefined: unknown. */
  readonly maxRecordBytes?: number | undefined;
  /** How long whoever calls waits for an answer; what takes longer is unknown to him. Undefined: he does not say. */
  readonly storeTimeoutMs?: number | undefined;
}

/**
 * The large shape of a driver: one atomic step per method and key.
 *
 * A rejected promise means that the outcome is unknown, unless it rejects with a `ClusterError` of
 * another code than `CLUSTER_UNKNOWN_OUTCOME`: then the store certainly changed nothing. A driver
 * never repeats a step by itself. Keys match `[A-Za-z0-9._-]{1,200}`.
 */
export interface SessionTable {
  readonly capabilities: StoreCapabilities;
  /** Connects; rejects if the store cannot be used. */
  start(context: DriverContext): Promise<void>;
  /** Ends what `start` began; a client that was passed in stays open. */
  stop(): Promise<void>;
  /**
   * Takes the lock if nobody holds it, or the holder's grant is the claim's own or `from`. Never creates.
   * @param have content that the caller already has: attributes of that stamp need not be sent
   */
  acquire(key: string, claim: Claim, from?: string, have?: Stamp): Promise<Acquired>;
  /** Stores version 1 if there is neither a record nor a tombstone; `created` again if the record's stamp has the claim's grant. */
  create(key: string, claim: Claim, write: Creation, then: 'keep' | 'release'): Promise<'created' | 'exists'>;
  /**
   * Writes under a grant. Another holder, an absent key or a tombstone: `fenced`. A change is made only to the content that it
   * is based on: the record's stamp must be `base`, in grant and version, else `behind`; the new stamp is (grant, base.version + 1),
   * and where the record has that one already it is `done` again, whoever holds it now. Without a change the stamp is neither
   * compared nor changed, and `base` may be left out.
   */
  commit(key: string, grant: string, base: Stamp | undefined, write: Write, then: Then): Promise<Committed>;
  /**
   * Replaces the record by a tombstone for `keepMs`. With a grant: only the holder's, and where a `base` is given only the
   * content of that stamp, else `behind`. Without a grant (forced): any; the answer names the holder. An absent key: forced →
   * `removed`, with a grant → `fenced`. A tombstone: `removed` if it carries the grant given, or if forced and it says
   * `removed`; else `fenced`.
   */
  remove(key: string, grant: string | undefined, base: Stamp | undefined, why: Gone, keepMs: number): Promise<Removed>;
  /** Sees every commit acknowledged before the call. */
  read(key: string, have?: Stamp): Promise<SessionRecord | Absent>;
  /** Starts each record's idle time anew; only lengthens. Resolves to the keys that exist no more. */
  touch(lifetimes: ReadonlyMap<string, number>): Promise<ReadonlySet<string>>;
  /** Beat n of a lease is an exclusive step from beat n-1; n = 0 makes the lease. The same beat again is fine. */
  beat(incarnation: string, n: number, leaseMs: number): Promise<{ readonly generation: string } | 'lapsed'>;
  /** Ends a lease that had no beat for `quietMs`, by the step that beats use. Resolves to 0 (ended for good) or the ms to wait. */
  lapse(incarnation: string, quietMs: number): Promise<number>;
  /** Hands a message to an instance. False: nobody listens there, with the certainty of `capabilities.gone`; unsure: true. */
  signal(instanceId: string, message: Message): Promise<boolean>;
  /** Clears away up to `limit` expired records; resolves to how many. */
  sweep?(limit: number): Promise<number>;
  /** All keys of the context, in no order; for tools. */
  keys?(): AsyncIterable<string>;
  /** Of a table that takes no new sessions at a bound: how much it keeps, as far as it knows without asking. */
  stored?(): { readonly bytes: number; readonly maxBytes: number } | undefined;
}

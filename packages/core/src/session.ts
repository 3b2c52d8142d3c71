import { inspect } from 'node:util';
import type { Codec } from './codec.js';
import type { Change, Encoded } from './drivers/session-table.js';
import type { Turn } from './engine/turn.js';
import { ClusterError } from './errors.js';
import { checkOwnIdle, encodedIdle, OWN_IDLE, ownIdleTimeoutMs, type OwnIdleTimeout } from './idle-timeout.js';

/** Attributes of a session. Applications add theirs: `declare module '@cluster/core' { interface SessionData { cart: string[] } }`. */
// Empty so that applications can merge into it.
// eslint-disable-next-line @typescript-eslint/no-empty-object-type
export interface SessionData {}

/**
 * The handle one request works on: private copies of the attributes, as properties; no I/O. Its own attributes are its only
 * enumerable keys. Setting or deleting one after the handle has ended throws `CLUSTER_SESSION_ENDED`, a reserved name
 * `CLUSTER_RESERVED_NAME`; reading one that cannot be decoded throws `CLUSTER_UNREADABLE`.
 */
export type Session<T extends object = SessionData> = Partial<T> & {
  /** The id, as in the cookie. Whoever has it has the session: keep it out of logs. */
  readonly id: string;
  /** True on the handle that created it. */
  readonly isNew: boolean;
  get<K extends keyof T>(name: K): T[K] | undefined;
  get(name: string): unknown;
  set<K extends keyof T>(name: K, value: T[K]): Session<T>;
  set(name: string, value: unknown): Session<T>;
  /** True if the attribute existed. */
  delete(name: string): boolean;
};

/** Names that belong to the session itself: an attribute of that name is an error. */
const RESERVED_NAMES: ReadonlySet<string> = new Set([
  'id', 'isNew', 'cookie', 'get', 'set', 'delete', 'save', 'reload', 'release', 'regenerate', 'destroy', 'touch',
  'then', 'constructor', '__proto__',
]);

// Registered, so that it works across two installed copies of core.
const STATE = Symbol.for('@cluster/core/state');

/** What a layer above the manager, as that of HTTP, asks of a handle and hangs onto it. */
export interface Behind {
  readonly id: string;
  /** Whether a record of the session exists in the store. */
  readonly stored: boolean;
  /** Answers the reserved names that the handle itself lacks: `session.save` is `face.save`. `late` hears of a change after the end. */
  face: { late?(): void } | undefined;
  /**
   * In place of the manager's `idleTimeoutMs`, kept with the session as an attribute that nobody sees. `null`: explicitly none;
   * `undefined`: nothing is said. Setting it is a change of the session; it throws `CLUSTER_BAD_OPTION`, `CLUSTER_SESSION_ENDED`.
   */
  ownIdleTimeoutMs: number | null | undefined;
}

const NONE: ReadonlyMap<string, Encoded> = new Map();

export const sameEncoded = (a: Encoded | undefined, b: Encoded | undefined): boolean =>
  a === b || (a instanceof Uint8Array && b instanceof Uint8Array && Buffer.compare(a, b) === 0);

export const sizeOf = (name: string, encoded: Encoded): number =>
  name.length + (typeof encoded === 'string' ? Buffer.byteLength(encoded) : encoded.byteLength);

const canMutate = (value: unknown) => typeof value === 'object' && value !== null;

/** What stands behind a handle: the committed encodings it began with, what was read and what was changed. */
export class SessionState implements Behind {
  face: Behind['face'];
  stored: boolean;
  /** Of the manager that made the handle. A field, since a WeakMap would keep every request until a full collection. */
  turn: Turn | undefined;
  /** Why the handle has ended; undefined while it goes on. */
  ended: string | undefined;
  keysSeen = false;
  readonly seen = new Set<string>();
  readonly #values: Map<string, unknown>;
  readonly #written: Set<string>;
  readonly #removed: Set<string>;

  /** @param shared another handle's state, of which this one shows and changes the attributes */
  constructor(readonly id: string, readonly isNew: boolean, readonly codec: Codec, public base: ReadonlyMap<string, Encoded> = NONE, shared?: SessionState) {
    this.stored = !isNew;
    this.#values = shared === undefined ? new Map<string, unknown>() : shared.#values;
    this.#written = shared === undefined ? new Set() : shared.#written;
    this.#removed = shared === undefined ? new Set() : shared.#removed;
  }

  has(name: string): boolean {
    if (name === OWN_IDLE) return false;
    this.seen.add(name);
    return this.#values.has(name) || (this.base.has(name) && !this.#removed.has(name));
  }

  read(name: string): unknown {
    const known = this.#values.get(name);
    if (known !== undefined) return known;
    this.seen.add(name);
    const encoded = this.base.get(name);
    if (encoded === undefined || this.#values.has(name) || this.#removed.has(name)) return undefined;
    const value = this.#decode(name, encoded);
    this.#values.set(name, value);
    return value;
  }

  write(name: string, value: unknown): void {
    this.#assertOpen();
    if (RESERVED_NAMES.has(name)) {
      throw new ClusterError('CLUSTER_RESERVED_NAME', `attribute '${name}': expected a name that is not reserved; choose another`);
    }
    // Stores keep names as UTF-8, in which all lone surrogates are one.
    if (!name.isWellFormed()) throw new ClusterError('CLUSTER_NOT_ENCODABLE', `attribute ${JSON.stringify(name)}: expected a name of Unicode text, found half a surrogate pair in it`);
    this.#write(name, value);
  }

  #write(name: string, value: unknown): void {
    this.seen.add(name);
    this.#values.set(name, value);
    this.#written.add(name);
    this.#removed.delete(name);
  }

  /** Looking at it is no read for the check of a snapshot: whoever answers a request looks at it. */
  get ownIdleTimeoutMs(): OwnIdleTimeout {
    // Only the setter below puts it there.
    if (this.#values.has(OWN_IDLE)) return this.#values.get(OWN_IDLE) as number | null;
    return this.#removed.has(OWN_IDLE) ? undefined : ownIdleTimeoutMs(this.base);
  }

  /** @throws ClusterError CLUSTER_BAD_OPTION, CLUSTER_SESSION_ENDED */
  set ownIdleTimeoutMs(ownMs: OwnIdleTimeout) {
    checkOwnIdle(ownMs);
    this.#assertOpen();
    if (ownMs === undefined) this.#remove(OWN_IDLE);
    else this.#write(OWN_IDLE, ownMs);
  }

  remove(name: string): boolean {
    this.#assertOpen();
    const existed = this.has(name);
    if (name !== OWN_IDLE) this.#remove(name);
    return existed;
  }

  #remove(name: string): void {
    this.seen.add(name);
    this.#values.delete(name);
    this.#written.delete(name);
    // Also if it is not in the base: a commit that adds it may be on its way.
    this.#removed.add(name);
  }

  names(): string[] {
    this.keysSeen = true;
    const names = [...this.base.keys()].filter((name) => !this.#removed.has(name) && name !== OWN_IDLE);
    for (const name of this.#values.keys()) if (!this.base.has(name) && name !== OWN_IDLE) names.push(name);
    return names;
  }

  /**
   * What differs from the encodings it began with; undefined if nothing does.
   * @throws ClusterError CLUSTER_NOT_ENCODABLE naming the attribute
   */
  changes(): Change | undefined {
    if (this.#values.size === 0 && this.#removed.size === 0) return undefined;
    const set = new Map<string, Encoded>();
    for (const [name, value] of this.#values) {
      if (!this.#written.has(name) && !canMutate(value)) continue;
      const encoded = this.#encode(name, value);
      if (!sameEncoded(this.base.get(name), encoded)) set.set(name, encoded);
    }
    const remove = [...this.#removed].filter((name) => this.base.has(name));
    return set.size === 0 && remove.length === 0 ? undefined : { set, remove, whole: false };
  }

  /** Goes on from a new committed content, which has the change `sent`; what was changed since stays changed. Without `sent` it is dropped. */
  rebase(base: ReadonlyMap<string, Encoded>, sent?: Change): void {
    const before = this.base;
    this.base = base;
    if (sent === undefined) {
      for (const names of [this.#values, this.#written, this.#removed, this.seen]) names.clear();
      this.keysSeen = false;
      return;
    }
    for (const name of this.#removed) if (!base.has(name)) this.#removed.delete(name);
    for (const [name, value] of this.#values) {
      if (this.#isEncodedAs(name, value, base.get(name))) this.#written.delete(name);
      // Only read here, and changed by somebody else: to be read anew. What was sent and is as before again was changed here.
      else if (!this.#written.has(name) && !sent.set.has(name) && this.#isEncodedAs(name, value, before.get(name))) this.#values.delete(name);
    }
  }

  /** Takes over another handle's attributes, as they are now. */
  adopt(other: SessionState): void {
    for (const name of other.names()) this.write(name, other.read(name));
    this.ownIdleTimeoutMs = other.ownIdleTimeoutMs;
  }

  #assertOpen(): void {
    if (this.ended !== undefined) {
      this.face?.late?.();
      throw new ClusterError('CLUSTER_SESSION_ENDED', `this session handle has ended: it was ${this.ended}; find the session again to change it`);
    }
  }

  #decode(name: string, encoded: Encoded): unknown {
    try {
      return this.codec.decode(encoded);
    } catch (cause) {
      throw new ClusterError('CLUSTER_UNREADABLE', `attribute '${name}' cannot be decoded by codec '${this.codec.name}'`, { cause });
    }
  }

  #isEncodedAs(name: string, value: unknown, encoded: Encoded | undefined): boolean {
    try {
      return sameEncoded(this.#encode(name, value), encoded);
    } catch {
      return false; // the next send names it
    }
  }

  #encode(name: string, value: unknown): Encoded {
    if (name === OWN_IDLE) return encodedIdle(value as number | null); // as its setter has put it
    try {
      return this.codec.encode(value);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new ClusterError('CLUSTER_NOT_ENCODABLE', `attribute '${name}' cannot be encoded by codec '${this.codec.name}': ${reason}`, { cause });
    }
  }

  [inspect.custom](this: Session): unknown { return { ...this }; }
}

// Shared by all handles; `this` is the handle.
const methods: Readonly<Record<string, unknown>> = {
  get(this: Session, name: string) { return RESERVED_NAMES.has(name) ? undefined : stateOf(this).read(name); },
  set(this: Session, name: string, value: unknown) { stateOf(this).write(name, value); return this; },
  delete(this: Session, name: string) { return stateOf(this).remove(name); },
  constructor: Object,
};

function reserved(state: SessionState, name: string): unknown {
  if (name === 'id') return state.id;
  if (name === 'isNew') return state.isNew;
  if (name === '__proto__') return Object.prototype;
  return Object.hasOwn(methods, name) ? methods[name] : state.face && (Reflect.get(state.face, name) as unknown);
}

const handler: ProxyHandler<SessionState> = {
  get(state, name) {
    if (typeof name === 'symbol') return name === STATE ? state : (Reflect.get(state, name, state) as unknown);
    if (RESERVED_NAMES.has(name)) return reserved(state, name);
    const value = state.read(name);
    // What every object has, e.g. hasOwnProperty, unless an attribute hides it.
    return value === undefined && Object.hasOwn(Object.prototype, name) && !state.has(name) ? Reflect.get(Object.prototype, name) as unknown : value;
  },
  set(state, name, value) {
    if (typeof name === 'symbol') return Reflect.set(state, name, value, state);
    state.write(name, value);
    return true;
  },
  has: (state, name) => (typeof name === 'symbol' ? Reflect.has(state, name) : RESERVED_NAMES.has(name) || state.has(name)),
  deleteProperty(state, name) {
    if (typeof name === 'string') state.remove(name);
    return true;
  },
  ownKeys: (state) => state.names(),
  getOwnPropertyDescriptor(state, name) {
    if (typeof name === 'symbol' || !state.has(name)) return undefined;
    return { value: state.read(name), writable: true, enumerable: true, configurable: true };
  },
  defineProperty(state, name, descriptor) {
    if (typeof name === 'symbol' || !('value' in descriptor)) return false;
    state.write(name, descriptor.value);
    return true;
  },
  getPrototypeOf: () => Object.prototype,
  setPrototypeOf: () => false,
  preventExtensions: () => false,
};

// The proxy shows the attributes of whatever T an application merged, which no type of the target can say.
export const handleOf = (state: SessionState): Session => new Proxy(state, handler) as unknown as Session;

const foreign = () => new ClusterError('CLUSTER_BAD_OPTION', 'session: expected a handle of this manager, found something else');

/** @throws ClusterError CLUSTER_BAD_OPTION for anything but a handle made here */
export function stateOf(session: Session): SessionState {
  const state: unknown = typeof session === 'object' && (session as object | null) !== null ? Reflect.get(session, STATE) : undefined;
  if (state instanceof SessionState) return state;
  throw foreign();
}

/**
 * What stands behind a handle, for layers above the manager.
 * @throws ClusterError CLUSTER_BAD_OPTION for anything but a handle
 */
export function behind(session: Session): Behind {
  // The state of a handle, of this copy of core or of another one.
  const state = Reflect.get(session, STATE) as Behind | undefined;
  if (state === undefined) throw foreign();
  return state;
}

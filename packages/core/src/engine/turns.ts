import { applied, onTopOf, touchedMeanwhile } from './conflict.js';
import type { Change, Encoded } from '../drivers/session-table.js';
import type { FindOptions } from '../cluster-store.js';
import { ClusterError } from '../errors.js';
import type { ResolvedManagerOptions } from '../options.js';
import { handleOf, sizeOf, SessionState, stateOf, type Session } from '../session.js';
import { newSessionId, shortName } from '../session-id.js';
import { unavailable, type Asking } from './acquisition.js';
import type { Engine } from './engine.js';
import { copyOf, pause, type Held, type Slot } from './ownership.js';
import { PlainTable } from './plain-table.js';
import { refused } from './store-calls.js';
import type { UnknownIds } from './unknown-ids.js';

/** One request's use of a session, from find to send. */
export interface Turn {
  readonly key: string;
  readonly state: SessionState;
  readonly label: string | undefined;
  access: 'new' | 'exclusive' | 'snapshot';
  /** Where an exclusive turn has the lock. */
  place: { readonly slot: Slot; readonly held: Held } | undefined;
  isSending: boolean;
}

/** Where a session went that has a fresh id. */
export interface Moved {
  readonly slot: Slot;
  readonly held: Held;
  readonly content: ReadonlyMap<string, Encoded>;
}

// A session that is about to expire is touched before it is served; one that is not waits for the next batch.
const TOUCH_NOW_BELOW_MS = 2_000;
const RETRY_MS = 50;
const DONE = Promise.resolve();
export const TOMBSTONE_MS = 60_000;

/** Begins and ends turns: what a handle shows, what is published, and when the lock is given on. */
export class Turns {
  readonly #turns = new WeakMap<SessionState, Turn>();
  readonly #exclusive = new Set<Turn>();

  constructor(
    private readonly engine: Engine, private readonly options: ResolvedManagerOptions,
    private readonly keyOf: (id: string) => string, private readonly unknownIds: UnknownIds,
  ) {
    engine.touches.onBeat = () => { this.#touchRunning(); };
  }

  /** Turns that have a session locked. */
  get running(): number { return this.#exclusive.size; }

  asking(options: FindOptions): Asking {
    const arrivedMs = this.engine.now();
    const waitMs = options.waitMs ?? (this.options.onLocked === 'error' ? 0 : this.options.lockTimeoutMs);
    return { arrivedMs, deadlineMs: arrivedMs + waitMs, signal: options.signal, label: options.label };
  }

  create(): Session {
    const id = newSessionId();
    const state = new SessionState(id, true, this.options.codec);
    this.#turns.set(state, { key: this.keyOf(id), state, label: undefined, access: 'new', place: undefined, isSending: false });
    return handleOf(state);
  }

  /** The session from memory if this instance may serve it now; undefined: it takes more than one step. */
  exclusiveNow(id: string, key: string, label: string | undefined): Session | undefined {
    const { engine } = this;
    const slot = engine.slots.get(key);
    if (slot?.held === undefined || !engine.isFree(slot) || !engine.servesMemory(slot) || !this.#isPlainlyAlive(slot.held)) return undefined;
    engine.occupy(slot, label);
    engine.lease.used();
    engine.countMine();
    return this.#openExclusive(id, slot, slot.held, label);
  }

  snapshotNow(id: string, key: string, label: string | undefined): Session | undefined {
    const { engine } = this;
    const slot = engine.slots.get(key);
    if (slot?.held === undefined || !engine.servesMemory(slot) || !this.#isPlainlyAlive(slot.held)) return undefined;
    engine.lease.used();
    engine.countMine();
    this.#touchLater(slot.held, key);
    return this.#openSnapshot(id, key, slot.held.copy.attributes, label);
  }

  async exclusive(id: string, key: string, asking: Asking): Promise<Session | undefined> {
    if (this.unknownIds.has(key)) return undefined;
    const place = await this.#lock(key, asking);
    return place && this.#openExclusive(id, place.slot, place.held, asking.label);
  }

  async snapshot(id: string, key: string, asking: Asking): Promise<Session | undefined> {
    const { engine } = this;
    if (this.unknownIds.has(key)) return undefined;
    asking.signal?.throwIfAborted();
    if (engine.calls.table instanceof PlainTable && !engine.calls.table.readsWithoutLock) return this.#snapshotByLock(id, key, asking);
    const slot = engine.slots.get(key);
    const known = slot?.held?.copy ?? slot?.standby;
    const record = await engine.calls.read(key, known?.stamp).catch((error: unknown) => this.#unreadable(error));
    if (record.kind === 'absent') return this.#absent(key, record.gone);
    engine.countAffinity(record.holder?.incarnation ?? record.last);
    if (this.options.absoluteTimeoutMs > 0 && record.ageMs >= this.options.absoluteTimeoutMs) return undefined;
    const copy = record.attributes === undefined && known !== undefined ? known : copyOf(record.stamp, record.attributes ?? new Map<string, Encoded>());
    const present = engine.slots.open(key);
    if (present.held === undefined) present.standby = copy;
    if (present.isIdle) engine.slots.settle(present);
    await this.#touch(key, record.idleMs, record.lifetimeMs, record.ageMs);
    if (record.holder === undefined && engine.keeps(false)) this.#acquireInBackground(key);
    return this.#openSnapshot(id, key, copy.attributes, asking.label);
  }

  /** Publishes and, unless `goesOn`, ends the turn; at once where nothing is to be said to the store. */
  send(turn: Turn, goesOn: boolean): Promise<void> {
    let change: Change | undefined;
    try {
      this.#begin(turn);
      change = turn.state.changes();
    } catch (error) {
      if (turn.isSending) this.end(turn, 'sent');
      return Promise.reject(error as Error);
    }
    if (change === undefined && !goesOn && this.#endsNow(turn)) {
      this.end(turn, 'sent');
      return DONE;
    }
    return this.#send(turn, change, goesOn);
  }

  async #send(turn: Turn, change: Change | undefined, goesOn: boolean): Promise<void> {
    try {
      const deadlineMs = this.#endBy();
      if (turn.access === 'new') await this.#sendNew(turn, change, deadlineMs, goesOn);
      else if (turn.access === 'exclusive') await this.#sendExclusive(turn, change, deadlineMs, goesOn);
      else if (change !== undefined) await this.#sendSnapshot(turn, change, deadlineMs, goesOn);
    } catch (error) {
      this.end(turn, 'sent');
      throw error;
    }
    turn.isSending = false;
    if (!goesOn) this.end(turn, 'sent');
  }

  /** Whether an unchanged turn ends without a word to the store: nobody waits, and the lock stays here. */
  #endsNow({ access, place, key }: Turn): boolean {
    if (access !== 'exclusive') return true;
    if (place === undefined || place.slot.held !== place.held || !place.slot.queue.isEmpty || !this.engine.keeps(place.held.fromPeer)) return false;
    this.#touchLater(place.held, key);
    return true;
  }

  /** The session under a fresh id; `move` brings a stored one there. The given turn ends. */
  async changeId(turn: Turn, move: (key: string, deadlineMs: number) => Promise<Moved>): Promise<Session> {
    this.#begin(turn);
    try {
      if (turn.access === 'new') {
        const session = this.create();
        stateOf(session).adopt(turn.state);
        return session;
      }
      const id = newSessionId();
      const { slot, held, content } = await move(this.keyOf(id), this.#endBy());
      return this.#openExclusive(id, slot, held, turn.label, content);
    } finally {
      this.end(turn, 'moved to another id');
    }
  }

  async reload(turn: Turn): Promise<void> {
    this.#begin(turn);
    turn.isSending = false;
    if (turn.access === 'snapshot') {
      const record = await this.engine.calls.read(turn.key).catch((error: unknown) => { throw unavailable(error); });
      if (record.kind === 'absent') throw ended(turn.key, record.gone ?? 'removed');
      turn.state.rebase(record.attributes ?? new Map<string, Encoded>(), true);
    } else {
      turn.state.rebase(turn.place?.held.copy.attributes ?? turn.state.base, true);
    }
  }

  /** Ends a turn without publishing; the lock is given on. */
  async release(turn: Turn): Promise<void> {
    const { place } = turn;
    if (turn.state.ended !== undefined || turn.isSending) return;
    turn.isSending = true;
    try {
      if (place !== undefined && place.slot.held === place.held) await this.engine.send(place.slot, place.held, undefined, this.lifetime(place.held), this.#endBy());
    } finally {
      this.end(turn, 'released');
    }
  }

  /** The handle takes no more changes; a slot that it used is left. */
  end(turn: Turn, why: string): void {
    turn.state.ended ??= why;
    turn.isSending = false;
    this.#exclusive.delete(turn);
    const { place } = turn;
    turn.place = undefined;
    if (place !== undefined) this.engine.leave(place.slot);
  }

  /** @throws ClusterError CLUSTER_BAD_OPTION for a handle of another manager */
  turnOf(state: SessionState): Turn {
    const turn = this.#turns.get(state);
    if (turn === undefined) throw new ClusterError('CLUSTER_BAD_OPTION', 'session: expected a handle of this manager, found one of another');
    return turn;
  }

  /** Makes a snapshot turn exclusive, if what it saw is still so; see onConflict. Resolves to its change, undefined if the session is gone. */
  async promote(turn: Turn, change: Change | undefined): Promise<{ readonly change: Change | undefined } | undefined> {
    const place = await this.#lock(turn.key, { ...this.asking({ waitMs: this.options.lockTimeoutMs }), label: turn.label })
      .catch((error: unknown) => { if (!ClusterError.is(error, 'CLUSTER_MOVED')) throw error; });
    const session = shortName(turn.key);
    const attributes = change === undefined ? [] : [...change.set.keys(), ...change.remove];
    if (place === undefined) {
      this.engine.events.emit('conflict', { session, attributes, label: turn.label, outcome: 'dropped' });
      return undefined;
    }
    this.#attach(turn, place.slot, place.held);
    const touched = touchedMeanwhile(turn.state, place.held.copy.attributes);
    if (touched.length > 0 && change !== undefined) {
      const outcome = this.options.onConflict === 'merge' ? 'merged' : 'refused';
      this.engine.events.emit('conflict', { session, attributes: touched, label: turn.label, outcome });
      if (outcome === 'refused') {
        await this.engine.send(place.slot, place.held, undefined, this.lifetime(place.held), this.#endBy());
        throw new ClusterError('CLUSTER_CONFLICT', `session ${session}: ${touched.map((name) => `'${name}'`).join(', ')} changed since this request read it; nothing was stored; retry the request`);
      }
    }
    return { change: change && onTopOf(place.held.copy.attributes, change) };
  }

  /** Stores a new record under an own claim, repeating the same call until it is answered. */
  async store(key: string, attributes: ReadonlyMap<string, Encoded>, deadlineMs: number, keep: boolean): Promise<{ slot: Slot; held: Held }> {
    const { engine } = this;
    this.checkSize(key, attributes);
    const slot = engine.slots.open(key);
    const claim = { incarnation: engine.lease.incarnation, grant: engine.clock.randomHex(16) };
    const lifetimeMs = this.lifetime(undefined);
    engine.occupy(slot, undefined);
    slot.claim = claim;
    const write = { change: { set: attributes, remove: [], whole: true }, lifetimeMs };
    const then = keep || engine.keeps(false) ? 'keep' : 'release';
    try {
      const answer = await this.#insist(deadlineMs, () => engine.calls.create(key, claim, write, then));
      if (answer === 'exists') throw new ClusterError('CLUSTER_UNKNOWN_OUTCOME', `session ${shortName(key)}: the store has another record under its fresh id; start a new session`);
    } catch (error) {
      engine.leave(slot);
      throw error;
    }
    const now = engine.now();
    const held: Held = {
      claim, copy: copyOf({ grant: claim.grant, version: 1 }, attributes), createdMs: now, touchedMs: now, lifetimeMs, fromPeer: false, suspect: false,
    };
    slot.claim = undefined;
    slot.held = held;
    if (then === 'release' || claim.incarnation !== engine.lease.incarnation) slot.letGo();
    return { slot, held };
  }

  /** Repeats an idempotent call while its outcome is unknown, until the deadline. */
  async #insist<T>(deadlineMs: number, call: () => Promise<T>): Promise<T> {
    for (let first = true; ; first = false) {
      try {
        return await call();
      } catch (error) {
        if ((refused(error) && first) || this.engine.isPlain || this.engine.now() >= deadlineMs) throw error;
        await pause(this.engine.clock, RETRY_MS);
      }
    }
  }

  /** @see Turns.store */
  remove(key: string, grant: string | undefined, why: 'removed' | 'moved', deadlineMs: number) {
    return this.#insist(deadlineMs, () => this.engine.calls.remove(key, grant, why, TOMBSTONE_MS));
  }

  /** @throws ClusterError CLUSTER_TOO_LARGE */
  checkSize(key: string, attributes: ReadonlyMap<string, Encoded>): void {
    let bytes = 0;
    let largest = { name: '', bytes: 0 };
    for (const [name, encoded] of attributes) {
      const size = sizeOf(name, encoded);
      bytes += size;
      if (size > largest.bytes) largest = { name, bytes: size };
    }
    if (bytes > this.options.maxRecordBytes) {
      throw new ClusterError('CLUSTER_TOO_LARGE', `session ${shortName(key)}: its content would be ${bytes} bytes, maxRecordBytes is ${this.options.maxRecordBytes}; `
        + `the largest attribute is '${largest.name}' with ${largest.bytes}; nothing was stored`);
    }
  }

  /** How long a record may live from now: the idle time-out, what a touch may be late, and no longer than the absolute time-out. */
  lifetime(held: Held | undefined): number {
    const idleMs = this.options.idleTimeoutMs + this.#touchWindowMs();
    const { absoluteTimeoutMs } = this.options;
    if (absoluteTimeoutMs === 0) return idleMs;
    const ageMs = held === undefined ? 0 : this.engine.now() - held.createdMs;
    return Math.max(1, Math.min(idleMs, Math.ceil(absoluteTimeoutMs - ageMs)));
  }

  async #sendNew(turn: Turn, change: Change | undefined, deadlineMs: number, goesOn: boolean): Promise<void> {
    if (change === undefined || change.set.size === 0) return;
    const { slot, held } = await this.store(turn.key, change.set, deadlineMs, goesOn);
    turn.state.stored = true;
    this.unknownIds.delete(turn.key);
    turn.state.rebase(change.set, false);
    turn.access = 'exclusive';
    this.#attach(turn, slot, held);
  }

  async #sendSnapshot(turn: Turn, change: Change, deadlineMs: number, goesOn: boolean): Promise<void> {
    const promoted = await this.promote(turn, change);
    if (promoted !== undefined) await this.#sendExclusive(turn, promoted.change, deadlineMs, goesOn);
  }

  async #sendExclusive(turn: Turn, change: Change | undefined, deadlineMs: number, goesOn: boolean): Promise<void> {
    const { place } = turn;
    if (place === undefined || place.slot.held !== place.held) {
      if (change === undefined) return;
      this.engine.events.emit('fenced', { session: shortName(turn.key), label: turn.label });
      throw new ClusterError('CLUSTER_FENCED', `session ${shortName(turn.key)}: this instance lost the lock while the request ran; the change was not stored; retry the request`);
    }
    const { slot, held } = place;
    if (change !== undefined) this.checkSize(turn.key, applied(held.copy.attributes, change));
    else this.#touchLater(held, turn.key);
    await this.engine.send(slot, held, change, this.lifetime(held), deadlineMs, goesOn);
    if (goesOn) turn.state.rebase(held.copy.attributes, false);
  }

  /** Enters the slot and has the session locked; undefined: there is none, and the slot has been left. */
  async #lock(key: string, asking: Asking): Promise<{ slot: Slot; held: Held } | undefined> {
    const { engine } = this;
    const slot = engine.slots.open(key);
    try {
      await engine.enter(slot, asking);
    } catch (error) {
      engine.slots.settle(slot);
      throw error;
    }
    try {
      const gotten = await engine.ready(slot, asking).catch((error: unknown) => this.#unreadable(error));
      if ('kind' in gotten) {
        engine.leave(slot);
        return this.#absent(key, gotten.gone);
      }
      if (!this.#isOver(gotten)) {
        await this.#touch(key, engine.now() - gotten.touchedMs, gotten.lifetimeMs, engine.now() - gotten.createdMs, gotten);
        return { slot, held: gotten };
      }
      await this.remove(key, gotten.claim.grant, 'removed', asking.deadlineMs + this.options.storeTimeoutMs);
      slot.forget();
    } catch (error) {
      engine.leave(slot);
      throw error;
    }
    engine.leave(slot);
    return undefined;
  }

  async #snapshotByLock(id: string, key: string, asking: Asking): Promise<Session | undefined> {
    const place = await this.#lock(key, asking);
    if (place === undefined) return undefined;
    try {
      await this.engine.send(place.slot, place.held, undefined, this.lifetime(place.held), this.#endBy());
    } finally {
      this.engine.leave(place.slot);
    }
    return this.#openSnapshot(id, key, place.held.copy.attributes, asking.label);
  }

  /** So that the next request finds it here; no request waits for it. */
  #acquireInBackground(key: string): void {
    const slot = this.engine.slots.get(key);
    if (slot !== undefined && !this.engine.isFree(slot)) return;
    const asking = this.asking({ waitMs: 0 });
    this.#lock(key, asking).then(async (place) => {
      if (place === undefined) return;
      try {
        await this.engine.send(place.slot, place.held, undefined, this.lifetime(place.held), this.#endBy());
      } finally {
        this.engine.leave(place.slot);
      }
    }).catch((cause: unknown) => {
      if (!ClusterError.is(cause, 'CLUSTER_LOCKED') && !ClusterError.is(cause, 'CLUSTER_MOVED')) {
        this.engine.events.emit('warning', { message: `session ${shortName(key)} could not be acquired ahead of its next request`, cause });
      }
    });
  }

  #openExclusive(id: string, slot: Slot, held: Held, label: string | undefined, content = held.copy.attributes): Session {
    const state = new SessionState(id, false, this.options.codec, content);
    const turn: Turn = { key: slot.key, state, label, access: 'exclusive', place: undefined, isSending: false };
    this.#turns.set(state, turn);
    this.#attach(turn, slot, held);
    return handleOf(state);
  }

  #openSnapshot(id: string, key: string, attributes: ReadonlyMap<string, Encoded>, label: string | undefined): Session {
    const state = new SessionState(id, false, this.options.codec, attributes);
    this.#turns.set(state, { key, state, label, access: 'snapshot', place: undefined, isSending: false });
    return handleOf(state);
  }

  #attach(turn: Turn, slot: Slot, held: Held): void {
    turn.place = { slot, held };
    turn.access = 'exclusive';
    this.#exclusive.add(turn);
    slot.removed = () => {
      turn.state.ended ??= 'removed';
      // A send that is under way finds out by itself, and leaves the slot.
      if (!turn.isSending) this.end(turn, 'removed');
    };
  }

  #begin(turn: Turn): void {
    if (turn.state.ended !== undefined) throw ended(turn.key, turn.state.ended);
    if (turn.isSending) throw new ClusterError('CLUSTER_SESSION_ENDED', `session ${shortName(turn.key)}: this handle is being sent already; await that first`);
    turn.isSending = true;
  }

  #absent(key: string, gone: 'removed' | 'moved' | undefined): undefined {
    if (gone === 'moved') throw new ClusterError('CLUSTER_MOVED', `session ${shortName(key)} goes on under another id; use the id that the id change returned`);
    if (gone === undefined) this.unknownIds.add(key);
    return undefined;
  }

  #unreadable(error: unknown): { readonly kind: 'absent'; readonly gone?: undefined } {
    if (ClusterError.is(error, 'CLUSTER_UNREADABLE') && this.options.onUnreadable === 'absent') return { kind: 'absent' };
    throw unavailable(error);
  }

  #touchWindowMs(): number { return Math.min(60_000, this.options.idleTimeoutMs / 10); }

  #isOver(held: Held): boolean {
    return this.options.absoluteTimeoutMs > 0 && this.engine.now() - held.createdMs >= this.options.absoluteTimeoutMs;
  }

  /** Neither over nor so close to its expiry that a touch must come first. */
  #isPlainlyAlive(held: Held): boolean {
    const idleMs = this.engine.now() - held.touchedMs;
    return !this.#isOver(held) && (idleMs < this.#touchWindowMs() || held.lifetimeMs - idleMs >= TOUCH_NOW_BELOW_MS);
  }

  #touchLater(held: Held, key: string): void {
    const now = this.engine.now();
    if (now - held.touchedMs < this.#touchWindowMs()) return;
    held.touchedMs = now;
    this.engine.touches.add(key, this.lifetime(held));
  }

  async #touch(key: string, idleMs: number, leftFromMs: number, ageMs: number, held?: Held): Promise<void> {
    if (idleMs < this.#touchWindowMs()) return;
    const { absoluteTimeoutMs } = this.options;
    const fullMs = this.options.idleTimeoutMs + this.#touchWindowMs();
    const lifetimeMs = absoluteTimeoutMs === 0 ? fullMs : Math.max(1, Math.min(fullMs, Math.ceil(absoluteTimeoutMs - ageMs)));
    if (held !== undefined) held.touchedMs = this.engine.now();
    if (leftFromMs - idleMs < TOUCH_NOW_BELOW_MS) await this.engine.touches.now(key, lifetimeMs);
    else this.engine.touches.add(key, lifetimeMs);
  }

  #touchRunning(): void {
    for (const turn of this.#exclusive) if (turn.place !== undefined) this.#touchLater(turn.place.held, turn.key);
  }

  #endBy(): number { return this.engine.now() + this.options.lockTimeoutMs + this.options.storeTimeoutMs; }
}

const ended = (key: string, why: string): ClusterError =>
  new ClusterError('CLUSTER_SESSION_ENDED', `session ${shortName(key)}: this handle has ended, it was ${why}; find the session again`);

import { applied, onTopOf, touchedMeanwhile } from './conflict.js';
import type { Change, Encoded } from '../drivers/session-table.js';
import { ClusterError } from '../errors.js';
import type { ResolvedManagerOptions } from '../options.js';
import { handleOf, SessionState, stateOf, type Session } from '../session.js';
import { newSessionId, shortName } from '../session-id.js';
import { unavailable } from './acquisition.js';
import type { Engine } from './engine.js';
import { Finding } from './finding.js';
import { Lifetimes } from './lifetimes.js';
import { Records, type Place } from './records.js';
import type { UnknownIds } from './unknown-ids.js';

/** One request's use of a session, from find to send. */
export interface Turn {
  readonly owner: Turns;
  readonly key: string;
  readonly state: SessionState;
  readonly label: string | undefined;
  access: 'new' | 'exclusive' | 'snapshot';
  /** Where an exclusive turn has the lock. */
  place: Place | undefined;
  isSending: boolean;
}

/** Where a session went that has a fresh id. */
export interface Moved extends Place {
  readonly content: ReadonlyMap<string, Encoded>;
}

const DONE = Promise.resolve();

/** Begins and ends turns: what a handle shows, what is published, and when the lock is given on. */
export class Turns {
  readonly #exclusive = new Set<Turn>();
  readonly finding: Finding;
  readonly lifetimes: Lifetimes;
  readonly records: Records;

  constructor(
    private readonly engine: Engine, private readonly options: ResolvedManagerOptions,
    private readonly keyOf: (id: string) => string, private readonly unknownIds: UnknownIds,
  ) {
    this.lifetimes = new Lifetimes(engine, options);
    this.records = new Records(engine, options.maxRecordBytes);
    this.finding = new Finding(engine, options, this.lifetimes, this.records, unknownIds);
    engine.touches.onBeat = () => {
      for (const turn of this.#exclusive) if (turn.place !== undefined) this.lifetimes.touchLater(turn.place.held, turn.key);
    };
  }

  /** Turns that have a session locked. */
  get running(): number { return this.#exclusive.size; }

  create(): Session {
    const id = newSessionId();
    const state = new SessionState(id, true, this.options.codec);
    state.turn = { owner: this, key: this.keyOf(id), state, label: undefined, access: 'new', place: undefined, isSending: false };
    return handleOf(state);
  }

  openExclusive(id: string, { slot, held }: Place, label: string | undefined, content = held.copy.attributes): Session {
    const state = new SessionState(id, false, this.options.codec, content);
    const turn: Turn = { owner: this, key: slot.key, state, label, access: 'exclusive', place: undefined, isSending: false };
    state.turn = turn;
    this.#attach(turn, { slot, held });
    return handleOf(state);
  }

  openSnapshot(id: string, key: string, attributes: ReadonlyMap<string, Encoded>, label: string | undefined): Session {
    const state = new SessionState(id, false, this.options.codec, attributes);
    state.turn = { owner: this, key, state, label, access: 'snapshot', place: undefined, isSending: false };
    return handleOf(state);
  }

  /** Publishes and, unless `goesOn`, ends the turn; at once where nothing is to be said to the store. */
  send(turn: Turn, goesOn: boolean): Promise<void> {
    let change: Change | undefined;
    let hasBegun = false;
    try {
      this.#begin(turn);
      hasBegun = true;
      change = turn.state.changes();
    } catch (error) {
      // A second send of a handle must not end the first.
      if (hasBegun) this.#failed(turn, error);
      return Promise.reject(error);
    }
    if (change === undefined && !goesOn && this.#endsNow(turn)) {
      this.end(turn, 'sent');
      return DONE;
    }
    return this.#send(turn, change, goesOn);
  }

  async #send(turn: Turn, change: Change | undefined, goesOn: boolean): Promise<void> {
    try {
      const deadlineMs = this.finding.endBy();
      if (turn.access === 'new') await this.#sendNew(turn, change, deadlineMs, goesOn);
      else if (turn.access === 'exclusive') await this.#sendExclusive(turn, change, deadlineMs, goesOn);
      else if (change !== undefined) await this.#sendSnapshot(turn, change, deadlineMs, goesOn);
    } catch (error) {
      this.#failed(turn, error);
      throw error;
    }
    turn.isSending = false;
    // Removed while it was saved: nobody else would leave the slot.
    if (!goesOn || turn.state.ended !== undefined) this.end(turn, 'sent');
  }

  #failed(turn: Turn, error: unknown): void {
    this.engine.events.emit('sendFailed', { session: shortName(turn.key), label: turn.label, error });
    this.end(turn, 'sent');
  }

  /** Whether an unchanged turn ends without a word to the store: nobody waits, and the lock stays here. */
  #endsNow({ access, place, key }: Turn): boolean {
    if (access !== 'exclusive') return true;
    if (place === undefined || place.slot.held !== place.held || !place.slot.queue.isEmpty || !this.engine.keeps(place.held.fromPeer)) return false;
    this.lifetimes.touchLater(place.held, key);
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
      const moved = await move(this.keyOf(id), this.finding.endBy());
      return this.openExclusive(id, moved, turn.label, moved.content);
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
      if (place !== undefined && place.slot.held === place.held) await this.finding.unlock(place);
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
    const { turn } = state;
    if (turn?.owner !== this) throw new ClusterError('CLUSTER_BAD_OPTION', 'session: expected a handle of this manager, found one of another');
    return turn;
  }

  /** Makes a snapshot turn exclusive, if what it saw is still so; see onConflict. Resolves to its change, undefined if the session is gone. */
  async promote(turn: Turn, change: Change | undefined): Promise<{ readonly change: Change | undefined } | undefined> {
    const place = await this.finding.lock(turn.key, this.finding.asking({ waitMs: this.options.lockTimeoutMs, ...(turn.label === undefined ? {} : { label: turn.label }) }))
      .catch((error: unknown) => { if (!ClusterError.is(error, 'CLUSTER_MOVED')) throw error; });
    const session = shortName(turn.key);
    const attributes = change === undefined ? [] : [...change.set.keys(), ...change.remove];
    if (place === undefined) {
      this.engine.events.emit('conflict', { session, attributes, label: turn.label, outcome: 'dropped' });
      return undefined;
    }
    this.#attach(turn, place);
    const touched = touchedMeanwhile(turn.state, place.held.copy.attributes);
    if (touched.length > 0 && change !== undefined) {
      const outcome = this.options.onConflict === 'merge' ? 'merged' : 'refused';
      this.engine.events.emit('conflict', { session, attributes: touched, label: turn.label, outcome });
      if (outcome === 'refused') {
        await this.finding.unlock(place);
        throw new ClusterError('CLUSTER_CONFLICT', `session ${session}: ${touched.map((name) => `'${name}'`).join(', ')} changed since this request read it; nothing was stored; retry the request`);
      }
    }
    return { change: change && onTopOf(place.held.copy.attributes, change) };
  }

  async #sendNew(turn: Turn, change: Change | undefined, deadlineMs: number, goesOn: boolean): Promise<void> {
    if (change === undefined || change.set.size === 0) return;
    const place = await this.records.create(turn.key, change.set, this.lifetimes.of(0), deadlineMs, goesOn);
    turn.state.stored = true;
    this.unknownIds.delete(turn.key);
    turn.state.rebase(change.set, false);
    turn.access = 'exclusive';
    this.#attach(turn, place);
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
    if (change !== undefined) this.records.checkSize(turn.key, applied(held.copy.attributes, change));
    else this.lifetimes.touchLater(held, turn.key);
    await this.engine.send(slot, held, change, this.lifetimes.ofHeld(held), deadlineMs, goesOn);
    if (goesOn) turn.state.rebase(held.copy.attributes, false);
  }

  #attach(turn: Turn, place: Place): void {
    turn.place = place;
    turn.access = 'exclusive';
    this.#exclusive.add(turn);
    place.slot.removed = () => {
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

}

const ended = (key: string, why: string): ClusterError =>
  new ClusterError('CLUSTER_SESSION_ENDED', `session ${shortName(key)}: this handle has ended, it was ${why}; find the session again`);

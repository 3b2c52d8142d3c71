import { applied, onTopOf, touchedMeanwhile } from './conflict.js';
import type { Change, Encoded } from '../drivers/session-table.js';
import { ClusterError } from '../errors.js';
import { OWN_IDLE } from '../idle-timeout.js';
import type { ResolvedManagerOptions } from '../options.js';
import { OrderOfUse } from '../order-of-use.js';
import { handleOf, SessionState, stateOf, type Session } from '../session.js';
import { newSessionId, shortName } from '../session-id.js';
import type { Engine } from './engine.js';
import { Finding } from './finding.js';
import { Lifetimes } from './lifetimes.js';
import { closeScope, fill } from './nesting.js';
import type { Slot } from './ownership.js';
import { Records, type Place } from './records.js';
import { Sharing } from './sharing.js';
import { Turn } from './turn.js';
import type { UnknownIds } from './unknown-ids.js';

/** Where a session went that has a fresh id. */
export interface Moved extends Place {
  readonly content: ReadonlyMap<string, Encoded>;
}

const DONE = Promise.resolve();
const NO_CHANGE: Change = { set: new Map(), remove: [], whole: false };

/** Begins and ends turns: what a handle shows, what is published, and when the lock is given on. */
export class Turns {
  /** Those that have a place. */
  readonly #running = new OrderOfUse<Turn>();
  readonly finding: Finding;
  readonly lifetimes: Lifetimes;
  readonly records: Records;

  constructor(
    private readonly engine: Engine, private readonly options: ResolvedManagerOptions,
    private readonly keyOf: (id: string) => string, private readonly unknownIds: UnknownIds, private readonly ready: () => Promise<void>,
  ) {
    this.lifetimes = new Lifetimes(engine, options);
    this.records = new Records(engine, options.maxRecordBytes);
    this.finding = new Finding(engine, options, this.lifetimes, this.records, unknownIds);
    engine.touches.onBeat = () => {
      for (let turn = this.#running.oldest; turn?.place !== undefined; turn = turn.newer) {
        this.lifetimes.touchLater(turn.place.held, turn.key);
        engine.touches.inUse(turn.place.held.lifetimeMs);
      }
    };
  }

  /** Turns that have a session locked. */
  get running(): number { return this.#running.size; }

  create(label: string | undefined): Session {
    const id = newSessionId(this.engine.clock);
    const state = new SessionState(id, true, this.options.codec);
    return handleOf(new Turn(this, this.keyOf(id), state, label, 'new').state);
  }

  openExclusive(id: string, { slot, held }: Place, label: string | undefined, content = held.copy.attributes): Session {
    const turn = new Turn(this, slot.key, new SessionState(id, false, this.options.codec, content), label, 'exclusive');
    this.#attach(turn, { slot, held });
    return handleOf(turn.state);
  }

  openSnapshot(id: string, key: string, attributes: ReadonlyMap<string, Encoded>, label: string | undefined): Session {
    return handleOf(new Turn(this, key, new SessionState(id, false, this.options.codec, attributes), label, 'snapshot').state);
  }

  /** Joins those that share the session, or begins to share it. */
  openShared(id: string, place: Place, label: string | undefined): Session {
    const { slot, held } = place;
    const others = slot.user instanceof Sharing ? slot.user : undefined;
    const sharing = others ?? new Sharing(place, () => { this.engine.leave(slot); });
    const first = sharing.first?.state;
    const turn = new Turn(this, slot.key, new SessionState(id, false, this.options.codec, first?.base ?? held.copy.attributes, first), label, 'shared');
    this.#run(turn, place);
    sharing.join(turn);
    if (others === undefined) this.#share(slot, sharing);
    else others.arrived();
    if (sharing.dropped !== undefined) this.end(turn, sharing.dropped.why);
    return handleOf(turn.state);
  }

  /** Lets those in that wait first in the queue and share the session too. */
  #share(slot: Slot, sharing: Sharing): void {
    slot.user = sharing;
    for (let next = slot.queue.takeShared(); next !== undefined; next = slot.queue.takeShared()) {
      sharing.expect();
      next.admit();
    }
    // Another instance is due before those that still wait.
    slot.queue.hear();
    this.engine.holdLimit.watch(slot);
  }

  /** Publishes and, unless `goesOn`, ends the turn; at once where nothing is to be said to the store. */
  send(turn: Turn, goesOn: boolean): Promise<void> {
    if (turn.failure !== undefined) return this.#sendFailed(turn, turn.failure);
    if (turn.sharing !== undefined) return this.#sendShared(turn, turn.sharing, goesOn);
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
    if (!goesOn) this.#close(turn, 'sent');
    return this.#send(turn, change, goesOn);
  }

  /** Of a turn that was ended from outside; without a change there is nothing to refuse. */
  #sendFailed(turn: Turn, failure: ClusterError): Promise<void> {
    if (turn.state.changes() === undefined) return DONE;
    this.#failed(turn, failure);
    return Promise.reject(failure);
  }

  async #sendShared(turn: Turn, sharing: Sharing, goesOn: boolean): Promise<void> {
    this.#begin(turn);
    if (!goesOn) this.#close(turn, 'sent');
    try {
      await sharing.publish(turn, goesOn, async (isLast) => {
        const change = turn.state.changes();
        if (change !== undefined || isLast) await this.#sendExclusive(turn, change, this.finding.endBy(), goesOn || !isLast);
      });
    } catch (error) {
      sharing.fail(turn, error);
      this.#failed(turn, error);
      throw error;
    }
    turn.isSending = false;
    if (!goesOn || turn.state.ended !== undefined) this.end(turn, 'sent');
  }

  // No async function, here and below where a write on a held session comes along: each costs about a microsecond.
  #send(turn: Turn, change: Change | undefined, goesOn: boolean): Promise<void> {
    try {
      return this.#publish(turn, change, this.finding.endBy(), goesOn).then(() => {
        turn.isSending = false;
        // Removed while it was saved: nobody else would leave the slot.
        if (!goesOn || turn.state.ended !== undefined) this.end(turn, 'sent');
      }, (error: unknown) => {
        this.#failed(turn, error);
        throw error;
      });
    } catch (error) {
      this.#failed(turn, error);
      return Promise.reject(error);
    }
  }

  #publish(turn: Turn, change: Change | undefined, deadlineMs: number, goesOn: boolean): Promise<void> {
    if (turn.access === 'new') return this.#sendNew(turn, change, goesOn);
    if (turn.access === 'exclusive') return this.#sendExclusive(turn, change, deadlineMs, goesOn);
    return change === undefined ? DONE : this.#sendSnapshot(turn, change, deadlineMs, goesOn);
  }

  #failed(turn: Turn, error: unknown): void {
    this.engine.events.emit('sendFailed', { session: shortName(turn.key), label: turn.label, error });
    this.end(turn, 'sent');
  }

  /** Whether an unchanged turn ends without a word to the store: nobody waits, and the lock stays here. */
  #endsNow({ access, place, key }: Turn): boolean {
    if (access !== 'exclusive') return true;
    if (!this.#isHeld(place) || !place.slot.queue.isEmpty || !this.engine.keeps(place.held.fromPeer)) return false;
    this.lifetimes.touchLater(place.held, key);
    return true;
  }

  /** The session under a fresh id; `move` brings a stored one there. The given turn ends. */
  async changeId(turn: Turn, move: (key: string, deadlineMs: number) => Promise<Moved>): Promise<Session> {
    this.#begin(turn);
    try {
      if (turn.access === 'new') {
        const session = this.create(turn.label);
        const next = stateOf(session);
        next.adopt(turn.state);
        if (next.turn !== undefined) next.turn.isReentrant = turn.isReentrant;
        return session;
      }
      this.#close(turn, 'moved to another id');
      if (turn.sharing !== undefined) await turn.sharing.publish(turn, true, () => { turn.sharing?.drop(turn, 'moved to another id', idChanged(turn.key)); return DONE; });
      const id = newSessionId(this.engine.clock);
      const moved = await move(this.keyOf(id), this.finding.endBy());
      const session = this.openExclusive(id, moved, turn.label, moved.content);
      this.#passScope(turn, stateOf(session).turn, session);
      return session;
    } finally {
      this.end(turn, 'moved to another id');
    }
  }

  /** Finds in the context of the turn come back to another one. */
  #passScope(turn: Turn, next: Turn | undefined, session: Session): void {
    const { scope } = turn;
    if (scope === undefined || next === undefined) return;
    turn.scope = undefined;
    scope.key = next.key;
    fill(scope, next, session);
  }

  /** Shared, it shows the last state already, and what the others have not published yet. */
  async reload(turn: Turn): Promise<void> {
    this.#begin(turn);
    turn.isSending = false;
    if (turn.sharing !== undefined) return;
    if (turn.access === 'snapshot') {
      const found = await this.finding.contentAgain(turn.key);
      if ('kind' in found) throw ended(turn.key, found.gone ?? 'removed');
      turn.state.rebase(found);
    } else {
      turn.state.rebase(turn.place?.held.copy.attributes ?? turn.state.base);
    }
  }

  /** Ends a turn without publishing, at once if it has no lock; the lock is given on. */
  async release(turn: Turn): Promise<void> {
    const { place } = turn;
    if (turn.state.ended !== undefined || turn.isSending) return;
    turn.isSending = true;
    this.#close(turn, 'released');
    try {
      if (turn.sharing !== undefined) await turn.sharing.publish(turn, false, (isLast) => (isLast && this.#isHeld(place) ? this.finding.unlock(place) : DONE));
      else if (this.#isHeld(place)) await this.finding.unlock(place);
    } finally {
      this.end(turn, 'released');
    }
  }

  #isHeld(place: Place | undefined): place is Place { return place !== undefined && place.slot.held === place.held; }

  /** From the moment at which its changes are taken the handle accepts none, and finds in its context do not come back to it. */
  #close(turn: Turn, why: string): void {
    turn.state.ended ??= why;
    if (turn.scope !== undefined) turn.scope.session = undefined;
  }

  /** The handle takes no more changes; a slot that nobody else uses is left. */
  end(turn: Turn, why: string): void {
    this.#close(turn, why);
    turn.isSending = false;
    closeScope(turn.scope);
    const { place } = turn;
    if (place !== undefined) this.#running.take(turn);
    turn.place = undefined;
    if (turn.sharing !== undefined) turn.sharing.left(turn);
    else if (place !== undefined) this.engine.leave(place.slot);
  }

  /** Others have waited too long for what the turn has locked. */
  cutOff(turn: Turn): void {
    const { key, label } = turn;
    const session = shortName(key);
    const heldMs = Math.round(this.engine.now() - turn.sinceMs);
    const fate = turn.sharing === undefined ? 'what it changed was not stored' : 'what it changed is stored only if others that share the session send it';
    turn.failure = new ClusterError('CLUSTER_FENCED', `session ${session}: this request had it locked for ${heldMs} ms while others waited, and was cut off (lockHoldMs: ${this.options.lockHoldMs}); `
      + `${fate}; release the session before slow work, or raise lockHoldMs`);
    this.engine.events.emit('cutOff', { session, label, heldMs });
    this.end(turn, 'cut off, since others waited for it');
  }

  /** @throws ClusterError CLUSTER_BAD_OPTION for a handle of another manager */
  turnOf(state: SessionState): Turn {
    const { turn } = state;
    if (turn?.owner !== this) throw new ClusterError('CLUSTER_BAD_OPTION', 'session: expected a handle of this manager, found one of another');
    return turn;
  }

  /** Makes a snapshot turn exclusive, if what it saw is still so; see onConflict. Resolves to its change, undefined if the session is gone. */
  async promote(turn: Turn, change: Change | undefined): Promise<{ readonly change: Change | undefined } | undefined> {
    const place = await this.finding.lock(turn.key, this.finding.asking(turn.label === undefined ? {} : { label: turn.label }, 'wait'))
      .catch((error: unknown) => { if (!ClusterError.is(error, 'CLUSTER_MOVED')) throw error; });
    const session = shortName(turn.key);
    if (place === undefined) {
      this.engine.events.emit('conflict', { session, attributes: change === undefined ? [] : [...change.set.keys(), ...change.remove], label: turn.label, outcome: 'dropped' });
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

  async #sendNew(turn: Turn, change: Change | undefined, goesOn: boolean): Promise<void> {
    // A time-out alone is nothing to keep.
    if (change === undefined || change.set.size === (change.set.has(OWN_IDLE) ? 1 : 0)) return;
    const place = await this.ready().then(() => this.records.create(turn.key, change.set, this.lifetimes.ofContent(0, change.set), this.finding.endBy(), goesOn));
    turn.state.stored = true;
    this.unknownIds.delete(turn.key);
    turn.state.rebase(change.set, change);
    turn.access = 'exclusive';
    this.#attach(turn, place);
  }

  async #sendSnapshot(turn: Turn, change: Change, deadlineMs: number, goesOn: boolean): Promise<void> {
    const promoted = await this.promote(turn, change);
    if (promoted !== undefined) await this.#sendExclusive(turn, promoted.change, deadlineMs, goesOn, change);
  }

  /** @param made the turn's own change, of which the store may have a part already */
  #sendExclusive(turn: Turn, change: Change | undefined, deadlineMs: number, goesOn: boolean, made = change ?? NO_CHANGE): Promise<void> {
    const { place } = turn;
    if (!this.#isHeld(place)) {
      if (change === undefined) return DONE;
      // While it waited for others that publish first.
      if (turn.isRemoved) throw ended(turn.key, 'removed');
      this.engine.events.emit('fenced', { session: shortName(turn.key), label: turn.label });
      throw new ClusterError('CLUSTER_FENCED', `session ${shortName(turn.key)}: this instance lost the lock while the request ran; the change was not stored; retry the request`);
    }
    const { slot, held } = place;
    const changed = change && { change, content: applied(held.copy.attributes, change) };
    if (changed !== undefined) this.records.checkSize(turn.key, changed.content);
    else this.lifetimes.touchLater(held, turn.key);
    const sent = this.engine.send(slot, held, changed, this.lifetimes.ofHeld(held, changed?.content), deadlineMs, goesOn);
    return goesOn ? sent.then(() => { turn.state.rebase(held.copy.attributes, made); }) : sent;
  }

  #attach(turn: Turn, place: Place): void {
    turn.access = 'exclusive';
    this.#run(turn, place);
    place.slot.user = turn;
    place.slot.label = turn.label;
    this.engine.holdLimit.watch(place.slot);
  }

  #run(turn: Turn, place: Place): void {
    if (turn.place === undefined) this.#running.append(turn);
    turn.place = place;
    turn.sinceMs = this.engine.now();
    this.engine.touches.inUse(place.held.lifetimeMs);
  }

  #begin(turn: Turn): void {
    if (turn.state.ended !== undefined) throw ended(turn.key, turn.state.ended);
    if (turn.isSending) throw new ClusterError('CLUSTER_SESSION_ENDED', `session ${shortName(turn.key)}: this handle is being sent already; await that first`);
    turn.isSending = true;
  }

}

const idChanged = (key: string): ClusterError =>
  new ClusterError('CLUSTER_SESSION_ENDED', `session ${shortName(key)}: another request that shares it changed its id; what this one changed was not stored; repeat it under the new id`);

const ended = (key: string, why: string): ClusterError =>
  new ClusterError('CLUSTER_SESSION_ENDED', `session ${shortName(key)}: this handle has ended, it was ${why}; find the session again`);

import { sameStamp } from '../drivers/record-steps.js';
import type { Change, Claim, Committed, Encoded, Stamp, Then } from '../drivers/session-table.js';
import { ClusterError } from '../errors.js';
import { shortName } from '../session-id.js';
import { unavailable } from './acquisition.js';
import type { Changed } from './conflict.js';
import type { Engine } from './engine.js';
import { copyOf, pause, type Held, type Slot } from './ownership.js';
import { refused, retryInMs, RETRY_MS } from './store-calls.js';

/** What a re-grant showed of a commit: it is there; it is not, and the record has this earlier stamp of the content; or neither is certain. */
type Resolved = 'done' | Stamp | 'unknown';

/** What was answered to a commit, or why nothing was. */
type Outcome = Committed | { readonly kind: 'unanswered'; readonly cause: unknown };

/** What one `publish` sends, as often as it takes. */
interface Sending {
  readonly slot: Slot;
  readonly held: Held;
  readonly changed: Changed;
  readonly lifetimeMs: number;
  readonly then: Then;
  readonly deadlineMs: number;
}

/** Publishes changes under the grant of a held session, and finds out what became of those that were not answered. */
export class Commit {
  constructor(private readonly engine: Engine) {}

  /**
   * One change (or none) and what becomes of the lock, in one step. Resolves when acknowledged; the slot then holds the new
   * content, or has let it go.
   * @throws ClusterError CLUSTER_FENCED or CLUSTER_SESSION_ENDED: certainly not stored; CLUSTER_UNKNOWN_OUTCOME; or the store's refusal
   */
  publish(slot: Slot, held: Held, changed: Changed | undefined, lifetimeMs: number, then: Then, deadlineMs: number): Promise<void> {
    slot.committing = true;
    const published = changed === undefined ? this.#unlock(slot, held, lifetimeMs, then, Infinity)
      : this.#store({ slot, held, changed, lifetimeMs, then, deadlineMs }, held.copy.stamp);
    const over = () => { slot.committing = false; };
    // Before whoever waits for what is returned.
    published.then(over, over);
    return published;
  }

  /**
   * The held session under a new grant, after the store may have rolled back; what it lost is written back whole.
   * Resolves to false if the session is no longer this instance's with the content that it had.
   */
  async regrant(slot: Slot, held: Held, lifetimeMs: number, deadlineMs: number): Promise<boolean> {
    slot.committing = true;
    try {
      const found = await this.#resolve(slot, held, undefined, deadlineMs);
      if (typeof found === 'string') return false;
      if (!sameStamp(found, held.copy.stamp)) {
        const content = held.copy.attributes;
        await this.#store({ slot, held, changed: { change: wholeOf(content), content }, lifetimeMs, then: 'keep', deadlineMs }, found);
      }
      return true;
    } catch (error) {
      if (ClusterError.is(error, 'CLUSTER_FENCED') || ClusterError.is(error, 'CLUSTER_SESSION_ENDED')) return false;
      held.suspect = true;
      throw error;
    } finally {
      slot.committing = false;
    }
  }

  async #unlock(slot: Slot, held: Held, lifetimeMs: number, then: Then, untilMs: number): Promise<void> {
    const { calls } = this.engine;
    try {
      const answer = await calls.commit(slot.key, held.claim.grant, undefined, { change: undefined, lifetimeMs }, then, untilMs);
      if (answer.kind === 'fenced') {
        if (slot.held === held) slot.forget();
      } else {
        held.touchedMs = this.engine.now();
        held.lifetimeMs = lifetimeMs;
        if (then !== 'keep' && slot.held === held) slot.letGo();
      }
    } catch {
      // Nothing was to be stored. Whether the lock is free will show: under a grant that nobody knows it is an orphan.
      if (slot.held === held) slot.letGo();
    }
  }

  /** `base`: the stamp that the record has by now, to which the change applies. */
  #store(sending: Sending, base: Stamp): Promise<void> {
    const { grant } = sending.held.claim;
    // Nearly always one message is all: no async function, of which each costs about a microsecond.
    return this.#commit(sending, grant, base, sending.changed.change).then(
      (answer) => (answer.kind === 'done' ? this.#stored(sending, { grant, version: base.version + 1 }) : this.#findOut(sending, base, answer)),
      (error: unknown) => {
        if (refused(error)) throw error;
        return this.#findOut(sending, base, { kind: 'unanswered', cause: error });
      });
  }

  #commit({ slot, lifetimeMs, then, deadlineMs }: Sending, grant: string, base: Stamp, change: Change): Promise<Committed> {
    return this.engine.calls.commit(slot.key, grant, base, { change, lifetimeMs }, then, deadlineMs);
  }

  #stored(sending: Sending, stamp: Stamp): void {
    const { slot, held, then } = sending;
    this.#took(sending, stamp);
    if (then !== 'keep' && slot.held === held) slot.letGo();
  }

  /** After an answer to the first message that was not `done`: finds out what became of it, and sends again what the record lacks. */
  async #findOut(sending: Sending, base: Stamp, outcome: Outcome): Promise<void> {
    const { slot, held, changed: { change, content }, lifetimeMs, then, deadlineMs } = sending;
    if (outcome.kind === 'fenced') throw this.#fenced(slot, held, outcome.gone);
    for (let first = true; ; first = false) {
      const { grant } = held.claim;
      const resolved = await this.#resolve(slot, held, base, deadlineMs);
      if (resolved === 'done') {
        this.#took(sending, { grant, version: base.version + 1 });
        if (then !== 'keep') await this.#unlock(slot, held, lifetimeMs, then, deadlineMs);
        return;
      }
      if (resolved === 'unknown') throw this.#unknown(slot);
      base = resolved;
      // The re-grant fenced what failed, for ever where the store never rolls back.
      if (outcome.kind === 'unanswered' && this.engine.now() + RETRY_MS >= deadlineMs) {
        throw this.engine.calls.capabilities.rollback ? this.#unknown(slot) : unavailable(outcome.cause);
      }
      if (!first) await pause(this.engine.clock, retryInMs(this.engine.now(), deadlineMs));
      const next = { grant: held.claim.grant, version: base.version + 1 };
      outcome = await this.#commit(sending, next.grant, base, sameStamp(base, held.copy.stamp) ? change : wholeOf(content))
        .catch((cause: unknown) => ({ kind: 'unanswered' as const, cause }));
      if (outcome.kind === 'done') {
        this.#stored(sending, next);
        return;
      }
    }
  }

  /**
   * Acquires the session under a new grant, from the old one: everything still on its way under the old one is fenced by then,
   * and the record shows whether the stamp that follows `base` is there; undefined: nothing was sent. The same new grant on every retry.
   */
  async #resolve(slot: Slot, held: Held, base: Stamp | undefined, deadlineMs: number): Promise<Resolved> {
    const { engine } = this;
    if (engine.isPlain || held.claim.incarnation !== engine.lease.incarnation) return this.#lost(slot, held);
    const before = held.claim;
    const mine = held.copy.stamp;
    const claim: Claim = { incarnation: before.incarnation, grant: engine.clock.randomHex(16) };
    slot.claim = claim;
    let from = before.grant;
    while (engine.now() < deadlineMs) {
      const answer = await engine.calls.acquire(slot.key, claim, from, mine, deadlineMs).catch(() => undefined);
      if (slot.held !== held || claim.incarnation !== engine.lease.incarnation) return this.#lost(slot, held);
      if (answer?.kind === 'granted') {
        slot.claim = undefined;
        held.claim = claim;
        held.suspect = false;
        const { stamp } = answer.record;
        if (base !== undefined && sameStamp(stamp, { grant: before.grant, version: base.version + 1 })) return 'done';
        // Older, and its own: nobody has written since the store rolled back.
        const isOlder = stamp.version < mine.version && (stamp.grant === mine.grant || held.formerGrants.includes(stamp.grant));
        if (isOlder || sameStamp(stamp, mine)) return stamp;
        slot.forget();
        engine.acquisition.hold(slot, claim, answer.record, false);
        return 'unknown';
      }
      if (answer?.kind === 'busy' && answer.holder.incarnation === claim.incarnation) from = answer.holder.grant;
      else if (answer !== undefined) return this.#lost(slot, held);
      await pause(engine.clock, retryInMs(engine.now(), deadlineMs));
    }
    return this.#lost(slot, held);
  }

  #lost(slot: Slot, held: Held): 'unknown' {
    slot.claim = undefined;
    if (slot.held === held) slot.forget();
    return 'unknown';
  }

  #took({ slot, held, changed, lifetimeMs }: Sending, stamp: Stamp): void {
    const before = held.copy.stamp.grant;
    if (before !== stamp.grant && !held.formerGrants.includes(before)) held.formerGrants = [...held.formerGrants, before];
    held.copy = copyOf(stamp, changed.content);
    // It would bring back a longer lifetime than what was committed.
    this.engine.touches.drop(slot.key);
    held.touchedMs = this.engine.now();
    held.lifetimeMs = lifetimeMs;
  }

  #fenced(slot: Slot, held: Held, gone: 'removed' | 'moved' | undefined): ClusterError {
    if (slot.held === held) slot.forget();
    const session = shortName(slot.key);
    if (gone !== undefined) return new ClusterError('CLUSTER_SESSION_ENDED', `session ${session} was ${gone} meanwhile; the change was not stored; begin anew`);
    this.engine.events.emit('fenced', { session, label: slot.label });
    return new ClusterError('CLUSTER_FENCED', `session ${session}: this instance lost the lock before the change arrived; it was not stored; retry the request`);
  }

  #unknown(slot: Slot): ClusterError {
    return new ClusterError('CLUSTER_UNKNOWN_OUTCOME',
      `session ${shortName(slot.key)}: the store did not say whether the change was stored, and it could not be found out; read the session before repeating it`);
  }
}

const wholeOf = (attributes: ReadonlyMap<string, Encoded>): Change => ({ set: attributes, remove: [], whole: true });

import type { Claim, Encoded, SessionRecord } from '../drivers/session-table.js';
import { ClusterError } from '../errors.js';
import { shortName } from '../session-id.js';
import type { Engine } from './engine.js';
import { encodeSignal, instanceOf } from './messages.js';
import { copyOf, NO_FORMER_GRANTS, pause, type Copy, type Held, type Slot } from './ownership.js';
import type { Patience } from './patience.js';
import { refused } from './store-calls.js';
import { locked } from './waiting.js';

/** What a request brings along when it asks for a session. Times by the monotonic clock. */
export interface Asking {
  readonly arrivedMs: number;
  /** Until when it waits for the lock. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly label?: string | undefined;
  /** `shared`: it can use the session together with others of its kind. `nobody`: no request waits for it. */
  readonly kind: 'request' | 'shared' | 'nobody';
  /** What it does about a lock; without it waits until the deadline. */
  readonly patience?: Patience;
}

export type Gotten = Held | { readonly kind: 'absent'; readonly gone?: 'removed' | 'moved' };

const POLLS_MS = [25, 50, 100, 200];
const ASK_AGAIN_MS = 25;
// Quiet counts from the beat seen last: who does not look sees a late beat late, and one that somebody else ended.
const LOOK_AGAIN_MS = 100;
const JITTER = 0.25;
// Taking over from an own grant is answered at once; more rounds than this mean that something else is at it too.
const OWN_ROUNDS = 8;
const MOST_KEPT = 10_000;

/** What the rounds of one acquisition have shown so far. */
interface Past {
  /** The grant to take over from, in the next round. */
  from: string | undefined;
  /** The holder that was asked last. */
  asked: Claim | undefined;
  takenFrom: { readonly holder: Claim; readonly evidence: Evidence } | undefined;
  failingSinceMs: number | undefined;
  /** Why the request waits no longer, since it is known who has the session. */
  refusal: { readonly error: unknown } | undefined;
}

type Evidence = 'dead' | 'disconnected' | 'silence';

/** Takes sessions from the store, and from their holders: asks live ones, ends the leases of dead ones. */
export class Acquisition {
  /** Incarnations whose lease is ended for good. */
  readonly #ended = new Set<string>();
  /** When the lapse of an incarnation is worth another look, when its quiet time would be over, and for which quiet time that was said. */
  readonly #looks = new Map<string, { readonly againMs: number; readonly overMs: number; readonly quietMs: number }>();
  /** Incarnations whose instance answered that it is another one. */
  readonly #notMe = new Set<string>();

  constructor(private readonly engine: Engine) {}

  /** Leases that were ended may go on. */
  rolledBack(): void {
    this.#ended.clear();
    this.#looks.clear();
  }

  /** Whether the incarnation's lease is known to be ended. */
  hasEnded(incarnation: string): boolean { return this.#ended.has(incarnation); }

  notMe(incarnation: string): void {
    if (this.#notMe.size >= MOST_KEPT) this.#notMe.clear();
    this.#notMe.add(incarnation);
  }

  /**
   * The session of a busy slot, granted to this instance under `slot.claim`; or what says that there is none.
   * @throws ClusterError CLUSTER_LOCKED at the deadline, CLUSTER_UNAVAILABLE after storeTimeoutMs without an answer, or the abort reason
   */
  async acquire(slot: Slot, asking: Asking): Promise<Gotten> {
    const past: Past = { from: undefined, asked: undefined, takenFrom: undefined, failingSinceMs: undefined, refusal: undefined };
    slot.heard = () => {
      try {
        asking.patience?.meet(slot, asking);
      } catch (error) {
        past.refusal = { error };
        slot.wakeUp();
      }
    };
    try {
      return await this.#acquire(slot, asking, past);
    } finally {
      slot.heard = undefined;
    }
  }

  async #acquire(slot: Slot, asking: Asking, past: Past): Promise<Gotten> {
    const { engine } = this;
    if (slot.isPassedOn) {
      slot.isPassedOn = false;
      past.asked = slot.holder?.claim;
      await this.#pause(slot, POLLS_MS.length, asking);
    }
    for (let round = 0; ; round += 1) {
      engine.assertRunning();
      if (past.refusal !== undefined) throw past.refusal.error;
      if (!engine.lease.isMade) await leaseMade(engine, engine.now() + engine.settings.storeTimeoutMs, slot, asking.signal);
      const claim = this.#claim(slot);
      const have = slot.standby;
      const sentMs = engine.now();
      const answer = await engine.calls.acquire(slot.key, claim, past.from, have?.stamp, this.#untilMs(asking)).catch((error: unknown) => {
        past.failingSinceMs ??= sentMs;
        const now = engine.now();
        if (refused(error) || now >= asking.deadlineMs || now - past.failingSinceMs >= engine.settings.storeTimeoutMs) throw unavailable(error);
      });
      if (claim.incarnation !== engine.lease.incarnation || slot.claim !== claim) continue;
      if (answer === undefined) {
        await this.#pause(slot, round, asking);
        continue;
      }
      past.failingSinceMs = undefined;
      // The request for which it is acquired ahead has been counted.
      const isFirst = round === 0 && asking.kind !== 'nobody';
      if (answer.kind === 'absent') {
        slot.claim = undefined;
        slot.forget();
        return answer;
      }
      if (answer.kind === 'granted') {
        if (isFirst) engine.countAffinity(answer.record.last);
        this.#report(slot, asking, past, answer.record.last);
        return this.hold(slot, claim, answer.record, past.asked !== undefined, have);
      }
      if (isFirst) engine.countAffinity(answer.holder.incarnation);
      await this.#askFor(slot, answer.holder, claim, asking, past, round);
    }
  }

  /** What a busy session needs before the next acquire: an own grant to go on from, an ended lease, or time. */
  async #askFor(slot: Slot, holder: Claim, claim: Claim, asking: Asking, past: Past, round: number): Promise<void> {
    past.from = undefined;
    past.takenFrom = undefined;
    const isLate = round > 0 && this.engine.now() >= asking.deadlineMs;
    if (this.engine.lease.owns(holder.incarnation)) {
      past.from = holder.grant;
      if (round < OWN_ROUNDS) return;
      if (isLate) throw locked(this.engine, slot, asking);
      await this.#pause(slot, round, asking);
      return;
    }
    // Whoever may go elsewhere asks first, and takes no place in the holder's queue that it would leave at once.
    const onlyAsks = asking.patience?.isOpen === true && past.asked?.grant !== holder.grant;
    past.asked = holder;
    slot.queue.dropRemotes((other) => other.grant === holder.grant);
    if (slot.holder?.claim.grant !== holder.grant) slot.holder = { claim: holder, says: undefined, isBusy: false };
    if (isLate) throw locked(this.engine, slot, asking);
    // An idle one would have given it on by now.
    if (round > 0) slot.holderIsBusy();
    if (past.refusal !== undefined) throw past.refusal.error;
    const evidence = holder.incarnation === '' ? undefined : await this.#dispossess(slot, holder, claim, asking, onlyAsks);
    if (evidence !== undefined) {
      slot.queue.dropRemotes((other) => other.incarnation === holder.incarnation);
      past.takenFrom = { holder, evidence };
      past.from = holder.grant;
      return;
    }
    if (this.engine.now() >= asking.deadlineMs) throw locked(this.engine, slot, asking);
    await this.#pause(slot, round, asking, holder.incarnation);
  }

  /** Makes a granted record this instance's; `have` is the copy whose stamp the store was told. */
  hold(slot: Slot, claim: Claim, record: SessionRecord, fromPeer: boolean, have?: Copy): Held {
    const now = this.engine.now();
    const copy = record.attributes === undefined && have !== undefined ? have : copyOf(record.stamp, record.attributes ?? new Map<string, Encoded>());
    slot.held = {
      claim, copy, formerGrants: NO_FORMER_GRANTS, fromPeer, suspect: false, lifetimeMs: this.engine.lifetimeOf(record.lifetimeMs, copy.ownIdleMs),
      createdMs: now - record.ageMs, touchedMs: now - record.idleMs,
    };
    slot.standby = undefined;
    slot.claim = undefined;
    slot.holder = undefined;
    slot.isWoken = false;
    slot.busySinceMs = now;
    slot.queue.hear();
    return slot.held;
  }

  /** Whether the lease of an incarnation is known to be ended, or could be ended on the present evidence. */
  async lapsed(incarnation: string, evidence: Evidence, untilMs = Infinity): Promise<boolean> {
    if (this.#ended.has(incarnation)) return true;
    const { engine } = this;
    const quietMs = evidence === 'dead' ? 0 : evidence === 'disconnected' ? engine.lease.disconnectedMs : engine.lease.leaseMs;
    const look = this.#looks.get(incarnation);
    if (look !== undefined && look.quietMs <= quietMs && engine.now() < look.againMs) return false;
    const waitMs = await engine.calls.lapse(incarnation, quietMs, untilMs).catch(() => undefined);
    if (waitMs === undefined) return false;
    if (waitMs > 0) {
      if (this.#looks.size >= MOST_KEPT) this.#looks.clear();
      const now = engine.now();
      this.#looks.set(incarnation, { againMs: now + Math.min(waitMs, LOOK_AGAIN_MS), overMs: now + waitMs, quietMs });
      return false;
    }
    this.#looks.delete(incarnation);
    if (this.#ended.size >= MOST_KEPT) this.#ended.clear();
    this.#ended.add(incarnation);
    return true;
  }

  /** Sends a message to an incarnation's instance; resolves to what the delivery says about it. */
  async tell(incarnation: string, message: string, signal?: AbortSignal, untilMs = Infinity): Promise<Evidence> {
    const { engine } = this;
    const instance = instanceOf(incarnation);
    const { gone } = engine.calls.capabilities;
    if (await engine.calls.signal(instance, message, untilMs)) return this.#notMe.has(incarnation) ? 'disconnected' : 'silence';
    if (gone === 'dead') return 'dead';
    if (gone === 'unknown') return 'silence';
    // One "nobody listens" may be a reconnecting instance; two, 25 ms apart, are evidence.
    await pause(engine.clock, ASK_AGAIN_MS, undefined, signal);
    return await engine.calls.signal(instance, message, untilMs) ? 'silence' : 'disconnected';
  }

  /** Asks the holder for the session; resolves to the evidence on which its lease was ended, if it was. */
  async #dispossess(slot: Slot, holder: Claim, claim: Claim, asking: Asking, onlyAsks: boolean): Promise<Evidence | undefined> {
    if (this.#ended.has(holder.incarnation)) return 'silence';
    const revoke = encodeSignal({ type: 'revoke', key: slot.key, holder, claim, waitedMs: this.engine.now() - asking.arrivedMs, ...(onlyAsks ? { onlyAsks } : {}) });
    const untilMs = this.#untilMs(asking);
    const evidence = await this.tell(holder.incarnation, revoke, asking.signal, untilMs);
    return await this.lapsed(holder.incarnation, evidence, untilMs) ? evidence : undefined;
  }

  /** When a request's begin must have ended. */
  #untilMs(asking: Asking): number { return asking.deadlineMs + this.engine.settings.storeTimeoutMs; }

  #claim(slot: Slot): Claim {
    const { incarnation } = this.engine.lease;
    if (slot.claim?.incarnation !== incarnation) slot.claim = { incarnation, grant: this.engine.clock.randomHex(16) };
    return slot.claim;
  }

  async #pause(slot: Slot, round: number, asking: Asking, holder?: string): Promise<void> {
    const { engine } = this;
    const polled = POLLS_MS[Math.min(round, POLLS_MS.length - 1)] ?? 0;
    const spread = 1 - JITTER + (2 * JITTER * Number.parseInt(engine.clock.randomHex(2), 16)) / 0xffff;
    const look = holder === undefined ? undefined : this.#looks.get(holder);
    // Whoever is gone is asked twice before the lease is looked at again.
    const dueMs = look === undefined ? Infinity : Math.max(1, look.overMs - ASK_AGAIN_MS - engine.now());
    const ms = Math.min(polled * spread, dueMs, Math.max(0, asking.deadlineMs - engine.now()));
    await pause(engine.clock, ms, slot, asking.signal);
    asking.signal?.throwIfAborted();
  }

  #report(slot: Slot, asking: Asking, { asked, takenFrom }: Past, last: string | undefined): void {
    const session = shortName(slot.key);
    const waitedMs = this.engine.now() - asking.arrivedMs;
    if (takenFrom !== undefined) {
      this.engine.events.emit('takeover', { session, from: takenFrom.holder.incarnation, evidence: takenFrom.evidence, sinceMs: waitedMs });
    } else if (asked !== undefined) {
      this.engine.events.emit('handover', { session, direction: 'in', peer: last ?? asked.incarnation, waitedMs });
    }
  }
}

/** After a lapse: waits until the store has acknowledged the next incarnation. */
export async function leaseMade(engine: Engine, untilMs: number, slot?: Slot, signal?: AbortSignal): Promise<void> {
  while (!engine.lease.isMade) {
    const leftMs = untilMs - engine.now();
    if (leftMs <= 0) throw new ClusterError('CLUSTER_UNAVAILABLE', 'this instance lost its lease, and the store has not acknowledged a new one; retry');
    // A clock may not tell less than a millisecond apart.
    await pause(engine.clock, Math.max(1, Math.min(ASK_AGAIN_MS, leftMs)), slot, signal);
    signal?.throwIfAborted();
  }
}

export const unavailable = (cause: unknown): ClusterError => (ClusterError.is(cause) && cause.code !== 'CLUSTER_UNKNOWN_OUTCOME' ? cause
  : new ClusterError('CLUSTER_UNAVAILABLE', 'the store did not answer; check that it can be reached, and retry', { cause }));

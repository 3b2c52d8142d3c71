import { shortName } from '../session-id.js';
import type { Commit } from './commit.js';
import type { Engine } from './engine.js';
import { encodeHandover, instanceOf } from './messages.js';
import type { Held, Slot } from './ownership.js';
import type { RemoteWaiter } from './request-queue.js';

/** What the lock becomes when nothing is written that says otherwise: the lifetime and last use stay as they are. */
const AS_IT_IS_MS = 0;
const RELEASED_AT_ONCE = 64;

/** Gives sessions that no request here uses to the instance that waits longest, or back to the store. */
export class Giving {
  constructor(private readonly engine: Engine, private readonly commit: Commit) {}

  /** An idle session for which another instance waits goes there now. */
  handOverIfDue(slot: Slot): boolean {
    if (slot.busy || slot.held === undefined || slot.queue.dueRemote === undefined) return false;
    this.engine.occupy(slot, undefined, 'nobody');
    void this.#finish(slot, slot.held);
    return true;
  }

  async #finish(slot: Slot, held: Held): Promise<void> {
    const { engine } = this;
    try {
      await engine.send(slot, held, undefined, AS_IT_IS_MS, engine.now() + engine.settings.storeTimeoutMs);
    } catch (cause) {
      engine.events.emit('warning', { message: `session ${shortName(slot.key)} could not be handed on; its lock is given up`, cause });
      slot.forget();
    } finally {
      engine.leave(slot);
    }
  }

  async giveBack(slot: Slot): Promise<void> {
    const { engine, commit } = this;
    const { held } = slot;
    if (held === undefined || slot.busy) return;
    engine.occupy(slot, undefined, 'nobody');
    // What the store lost in a rollback is written back first.
    const isMine = !(held.suspect || engine.isUnsure) || await commit.regrant(slot, held, AS_IT_IS_MS, engine.now() + engine.settings.storeTimeoutMs).catch(() => false);
    if (isMine) await commit.publish(slot, held, undefined, AS_IT_IS_MS, 'release', engine.now());
    engine.leave(slot);
  }

  /** Every idle one. */
  async giveAllBack(): Promise<void> {
    const idle = [...this.engine.slots].filter((slot) => slot.isIdle && slot.held !== undefined);
    for (let from = 0; from < idle.length; from += RELEASED_AT_ONCE) {
      await Promise.all(idle.slice(from, from + RELEASED_AT_ONCE).filter((slot) => slot.isIdle).map((slot) => this.giveBack(slot)));
    }
  }

  /** The store has been told: the next holder learns of it, and of the rest of the queue with one claim for those who wait here. */
  gaveOn(slot: Slot, to: RemoteWaiter): void {
    const { engine } = this;
    const rest = slot.queue.takeRemotes().filter((other) => other.claim !== to.claim);
    const local = slot.queue.oldestLocal;
    if (local !== undefined) {
      slot.claim = { incarnation: engine.lease.incarnation, grant: engine.clock.randomHex(16) };
      slot.holder = { claim: to.claim, says: undefined, isBusy: false };
      slot.isPassedOn = true;
      rest.push({ claim: slot.claim, sinceMs: local.sinceMs, askedMs: engine.now() });
      rest.sort((a, b) => a.sinceMs - b.sinceMs);
    }
    this.wake(slot.key, to, rest);
    engine.events.emit('handover', { session: shortName(slot.key), direction: 'out', peer: to.claim.incarnation, waitedMs: engine.now() - to.sinceMs });
  }

  /** Tells the oldest waiter that it is next, or that asking again is worthwhile. */
  wake(key: string, to: RemoteWaiter, rest: readonly RemoteWaiter[]): void {
    const { engine } = this;
    const now = engine.now();
    const queue = rest.map(({ claim, sinceMs }) => [claim, Math.round(now - sinceMs)] as const);
    void engine.calls.signal(instanceOf(to.claim.incarnation), encodeHandover(key, to.claim, queue));
  }
}

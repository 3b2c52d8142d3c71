import type { FindOptions } from '../cluster-store.js';
import { ClusterError, type LockHolder } from '../errors.js';
import { isLockAnswer, shown, type LockAnswer, type OnLocked } from '../options.js';
import { shortName } from '../session-id.js';
import type { Asking } from './acquisition.js';
import type { Engine } from './engine.js';
import type { Slot } from './ownership.js';
import { holderOf, locked, LONG_WAIT_MS } from './waiting.js';

/** What one request does about the locks that it meets: waits on, fails, or goes to the instance that has the session. */
export class Patience {
  /** Undefined: a function that was not asked yet. */
  #answer: LockAnswer | undefined;
  #isTold = false;

  constructor(private readonly engine: Engine, private readonly onLocked: OnLocked, private readonly redirect: NonNullable<FindOptions['redirect']> = true) {
    // Without a function `error` is a wait of 0 ms.
    if (typeof onLocked !== 'function') this.#answer = onLocked === 'redirect' ? 'redirect' : 'wait';
  }

  /** Whether what the holder answers may end the wait. */
  get isOpen(): boolean { return this.#answer === undefined || (this.#answer === 'redirect' && this.redirect !== false); }

  /**
   * To be called whenever it is known who has the session that the request waits for.
   * @throws ClusterError CLUSTER_LOCKED if it is to wait no longer, CLUSTER_BAD_OPTION if the function does not say
   */
  meet(slot: Slot, asking: Asking): void {
    const { engine } = this;
    const holder = holderOf(engine, slot);
    if (holder === undefined || (!holder.isHere && slot.holder?.isBusy !== true)) return;
    const lock = { session: shortName(slot.key), label: asking.label, waitedMs: Math.round(engine.now() - asking.arrivedMs), holder };
    this.#answer ??= this.#ask(lock);
    if (this.#answer === 'error') throw locked(engine, slot, asking);
    if (this.#answer === 'redirect' && this.#leadsElsewhere(holder)) throw locked(engine, slot, asking, holder.publicUrl);
    // While the holder itself waits for the store it is that which keeps others waiting.
    if (this.#isTold || lock.waitedMs < LONG_WAIT_MS || slot.committing) return;
    this.#isTold = true;
    engine.events.emit('waiting', lock);
  }

  /** An address that is this instance's own leads back here. */
  #leadsElsewhere({ isHere, publicUrl }: LockHolder): boolean {
    if (isHere || publicUrl === undefined || publicUrl === this.engine.settings.publicUrl) return false;
    return typeof this.redirect === 'function' ? this.redirect(publicUrl) : this.redirect;
  }

  #ask(lock: Parameters<Exclude<OnLocked, string>>[0]): LockAnswer {
    const expected = "onLocked: expected 'wait', 'error' or 'redirect' from the function";
    let answer: unknown;
    try {
      answer = typeof this.onLocked === 'function' ? this.onLocked(lock) : this.onLocked;
    } catch (cause) {
      throw new ClusterError('CLUSTER_BAD_OPTION', `${expected}; it threw`, { cause });
    }
    if (!isLockAnswer(answer)) throw new ClusterError('CLUSTER_BAD_OPTION', `${expected}, found ${shown(answer)}`);
    return answer;
  }
}

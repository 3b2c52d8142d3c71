import { ClusterError } from '../errors.js';
import { shortName } from '../session-id.js';
import type { User } from './ownership.js';
import type { Place } from './records.js';
import type { Turn } from './turn.js';

const DONE = Promise.resolve();

/**
 * Requests of this instance that use one session at once, as servlets do: one live object, and the end of each request
 * publishes what has changed by then. If that fails the object is dropped, and every request on it fails.
 */
export class Sharing implements User {
  readonly #turns = new Set<Turn>();
  /** Places of requests that were admitted and are about to join. */
  #expected = 0;
  #isClosing = false;
  /** Why those that were let in, but had not joined by then, cannot publish. */
  dropped: { readonly why: string; readonly failure: ClusterError } | undefined;
  #publishing: Promise<void> = DONE;

  constructor(readonly place: Place, private readonly leave: () => void) {}

  /** When the oldest of them joined. */
  get sinceMs(): number {
    const [oldest] = this.#turns;
    return oldest?.sinceMs ?? Infinity;
  }

  get label(): string | undefined { return this.first?.label; }

  /** Whether a request may join; the last one that publishes closes the object. */
  get isOpen(): boolean { return !this.#isClosing && this.place.slot.held === this.place.held; }

  /** It gives the lock on as soon as the store answers. */
  get isEnding(): boolean { return this.#isClosing; }

  /** Any of its turns: all of them show the same attributes. */
  get first(): Turn | undefined {
    const [first] = this.#turns;
    return first;
  }

  expect(): void { this.#expected += 1; }

  join(turn: Turn): void {
    turn.sharing = this;
    if (this.dropped !== undefined) turn.failure = this.dropped.failure;
    this.#turns.add(turn);
  }

  /** One that was expected has joined, or goes its own way. */
  arrived(): void {
    this.#expected -= 1;
    this.#settle();
  }

  /** The turn has ended; the last one leaves the slot. */
  left(turn: Turn): void {
    if (this.#turns.delete(turn)) this.#settle();
  }

  #settle(): void {
    if (this.#turns.size > 0 || this.#expected > 0) return;
    this.#isClosing = true;
    this.leave();
  }

  /**
   * One at a time publishes. `isLast`: nobody else uses the object, and nobody may join any more.
   * @throws ClusterError why the object was dropped before
   */
  publish(turn: Turn, goesOn: boolean, work: (isLast: boolean) => Promise<void>): Promise<void> {
    const run = this.#publishing.then(async () => {
      if (turn.failure !== undefined) throw turn.failure;
      const isLast = !goesOn && this.#turns.size === 1 && this.#expected === 0;
      if (isLast) this.#isClosing = true;
      await work(isLast);
      for (const other of this.#turns) other.state.base = turn.state.base;
    });
    this.#publishing = run.catch(() => undefined);
    return run;
  }

  /** All but one of them end without publishing. */
  drop(except: Turn, why: string, failure: ClusterError): void {
    this.#isClosing = true;
    this.dropped ??= { why, failure };
    for (const turn of [...this.#turns]) {
      if (turn === except) continue;
      turn.failure ??= failure;
      turn.state.ended ??= why;
      // One that waits to publish finds out by itself.
      if (!turn.isSending) turn.owner.end(turn, why);
    }
  }

  /** Publishing failed: nobody knows any more what the object should be. */
  fail(turn: Turn, error: unknown): void {
    const failure = ClusterError.is(error) ? error
      : new ClusterError('CLUSTER_UNKNOWN_OUTCOME', `session ${shortName(turn.key)}: another request on it failed to publish; nothing that this one changed was stored`, { cause: error });
    this.drop(turn, 'dropped, since a request that shares it could not publish', failure);
  }

  removed(): void { for (const turn of [...this.#turns]) turn.removed(); }

  cutOff(beforeMs: number): void { for (const turn of [...this.#turns]) turn.cutOff(beforeMs); }
}

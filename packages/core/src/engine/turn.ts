import type { ClusterError } from '../errors.js';
import type { Linked } from '../order-of-use.js';
import type { SessionState } from '../session.js';
import type { Scope } from './nesting.js';
import type { User } from './ownership.js';
import type { Place } from './records.js';
import type { Sharing } from './sharing.js';
import type { Turns } from './turns.js';

/** How a turn uses its session; a `new` one has nothing in the store yet. */
export type TurnAccess = 'new' | 'exclusive' | 'snapshot' | 'shared';

/** One request's use of a session, from find to send. */
export class Turn implements User, Linked<Turn> {
  /** Where an exclusive or shared turn has the lock, and since when. */
  place: Place | undefined;
  /** Those that had their lock before and after it, while it has one. */
  older: Turn | undefined;
  newer: Turn | undefined;
  sinceMs = 0;
  isSending = false;
  /** The session was removed under it. */
  isRemoved = false;
  /** The others that use the same live object. */
  sharing: Sharing | undefined;
  /** Finds in its own asynchronous context that have come back to it and not ended yet. */
  holds = 0;
  scope: Scope | undefined;
  /** Of a request: finds in its context come back to it as soon as it has the lock. */
  isReentrant = false;
  /** Why nothing that it changed can be stored any more. */
  failure: ClusterError | undefined;

  constructor(
    readonly owner: Turns, readonly key: string, readonly state: SessionState, readonly label: string | undefined, public access: TurnAccess,
  ) {
    state.turn = this;
  }

  removed(): void {
    this.isRemoved = true;
    this.state.ended ??= 'removed';
    // A send that is under way finds out by itself, and leaves the slot.
    if (!this.isSending) this.owner.end(this, 'removed');
  }

  cutOff(beforeMs: number): void {
    if (!this.isSending && this.sinceMs <= beforeMs) this.owner.cutOff(this);
  }
}

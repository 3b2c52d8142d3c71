import type { Json } from './messages.js';
import type { Address } from './tcp-proxy.js';

/** A store that is served by something that listens on ports, and what can be done to that. */
export interface StoreServer {
  /** Where it listens now: at one address, or at those of its nodes, always as many and in the same order. */
  address(): Address | readonly Address[] | Promise<Address | readonly Address[]>;
  /** What `createStore` is given so that the store connects to these addresses instead, one for each of `address()`. */
  config(...addresses: readonly Address[]): Json | Promise<Json>;
  /** Ends it at once, as kill -9 does. */
  kill?(): Promise<void> | void;
  /** Starts what was killed over what it had on its disk; resolves when it can be used again. */
  start?(): Promise<void> | void;
  /** Keeps it from doing anything, as SIGSTOP does. */
  freeze?(): Promise<void> | void;
  /** Lets it go on, as SIGCONT does. */
  thaw?(): Promise<void> | void;
  /** For how long it stands still; default 8,000. */
  readonly frozenMs?: number;
  /** From now on it refuses to change anything, as one does that is full. */
  refuseWrites?(): Promise<void> | void;
  takeWrites?(): Promise<void> | void;
}

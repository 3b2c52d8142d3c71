import { EventEmitter } from 'node:events';
import type { LockHolder } from './errors.js';

/** What a manager reports. `session` is the first 12 digits of the id's digest, never the id. */
export interface ManagerEvents {
  /** A snapshot request changed what somebody else changed meanwhile; `dropped`: the session was gone, nothing was stored. */
  conflict: { readonly session: string; readonly attributes: readonly string[]; readonly label: string | undefined; readonly outcome: 'merged' | 'refused' | 'dropped' };
  /** The lock came from a lapsed incarnation. `sinceMs`: since the request that got it came. */
  takeover: { readonly session: string; readonly from: string; readonly evidence: 'dead' | 'disconnected' | 'silence'; readonly sinceMs: number };
  /** The lock came from, or was given to, another live instance. */
  handover: { readonly session: string; readonly direction: 'in' | 'out'; readonly peer: string; readonly waitedMs: number };
  /** A request has waited for a second, and waits on. `label`: its own; `holder.label`: of the request that has the session. Once per request, and not while that one waits for the store itself. */
  waiting: { readonly session: string; readonly label: string | undefined; readonly waitedMs: number; readonly holder: LockHolder };
  /** This instance lost its lease and goes on as a new incarnation. */
  lapsed: { readonly incarnation: string; readonly next: string; readonly held: number };
  /** A change was refused since the lock had been lost. */
  fenced: { readonly session: string; readonly label: string | undefined };
  /** A request had the lock for longer than `lockHoldMs` while others waited, and lost it. */
  cutOff: { readonly session: string; readonly label: string | undefined; readonly heldMs: number };
  /** What a request changed was not stored, or it is unknown whether it was; the request got this error. */
  sendFailed: { readonly session: string; readonly label: string | undefined; readonly error: unknown };
  /** The store's timeline changed: it may have rolled back. */
  generation: { readonly before: string; readonly after: string };
  /**
   * Something failed in the background; nothing acknowledged is lost by it. Of beats and touches, which are tried until they are
   * acknowledged, it is told once per cause and minute until then, and without a `cause` when they are again.
   */
  warning: { readonly message: string; readonly cause?: unknown };
}

/** Typed events whose listeners cannot break the engine: what one throws is rethrown outside of the caller. */
export class Events {
  readonly #emitter = new EventEmitter();

  on<E extends keyof ManagerEvents>(event: E, listener: (event: ManagerEvents[E]) => void): void {
    this.#emitter.on(event, listener);
  }

  off<E extends keyof ManagerEvents>(event: E, listener: (event: ManagerEvents[E]) => void): void {
    this.#emitter.off(event, listener);
  }

  emit<E extends keyof ManagerEvents>(event: E, value: ManagerEvents[E]): void {
    // Only `on` above adds listeners.
    for (const listener of this.#emitter.listeners(event) as ((event: ManagerEvents[E]) => void)[]) {
      try {
        listener(value);
      } catch (error) {
        process.nextTick(() => { throw error; });
      }
    }
  }
}

import type { Encoded } from './drivers/session-table.js';
import { ClusterError } from './errors.js';

/**
 * Under which name a session's own idle time-out stands among its attributes. Reserved, so that no application has it;
 * it is that of the cookie, whose age is what HTTP makes of it.
 */
export const OWN_IDLE = 'cookie';

/** `null`: none, said explicitly; `undefined`: nothing was said. Both count as the manager's. */
export type OwnIdleTimeout = number | null | undefined;

// Text whatever the codec, since the engine reads it, and has none.
export const encodedIdle = (ownMs: number | null): string => String(ownMs);

export function ownIdleTimeoutMs(attributes: ReadonlyMap<string, Encoded>): OwnIdleTimeout {
  const encoded = attributes.get(OWN_IDLE);
  if (encoded === undefined) return undefined;
  const ms = typeof encoded === 'string' ? Number(encoded) : 0;
  return Number.isSafeInteger(ms) && ms > 0 ? ms : null;
}

const MAX_WINDOW_MS = 60_000;

/** For how long after a use further ones need not be reported. */
export const touchWindowMs = (idleTimeoutMs: number): number => Math.min(MAX_WINDOW_MS, idleTimeoutMs / 10);

/**
 * The lifetime of a record with such an idle time-out of its own. The store may say a longer one, where the time-out was shortened:
 * a touch by an instance that knew the one before may have come later.
 */
export const lifetimeByOwn = (lifetimeMs: number, ownMs: OwnIdleTimeout): number =>
  (typeof ownMs === 'number' ? Math.min(lifetimeMs, Math.ceil(ownMs + touchWindowMs(ownMs))) : lifetimeMs);

/** @throws ClusterError CLUSTER_BAD_OPTION */
export function checkOwnIdle(ownMs: OwnIdleTimeout): void {
  if (ownMs === null || ownMs === undefined || (Number.isSafeInteger(ownMs) && ownMs > 0)) return;
  throw new ClusterError('CLUSTER_BAD_OPTION', `idle time-out of a session: expected a whole number of ms from 1 up, null or undefined, found ${String(ownMs)}`);
}

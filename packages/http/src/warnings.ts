import { debuglog } from 'node:util';

/** Why a visitor has no session, or a new one, although the application may expect otherwise. */
export const warnings = {
  BAD_SIGNATURE: 'a session cookie has no valid signature and is not used. If `secret` was changed, give the old one too: secret: [new, old].',
  MALFORMED_COOKIE: 'a session cookie is malformed or too long and is not used. Another application may use the same cookie name: see `name`.',
  DOUBLED_COOKIE: 'a request carries two session cookies of one name; the first that is valid is used. They differ in path or domain: see `cookie`.',
  SECURE_OVER_HTTP: 'the session cookie is marked Secure, but the request came over plain http: browsers drop it unless a proxy in front ends TLS.',
  INSECURE_COOKIE: 'the session cookie is not marked Secure, since the request came over plain http, and has what browsers take only with it (SameSite=None, Partitioned, or a name with __Host- or __Secure-): they drop it. With a proxy that ends TLS, set cookie.secure to true.',
  MOVED: "a request changed a session whose id had been changed meanwhile (a login in another tab, most likely); the change was dropped.",
  NOT_LOOKED_UP: 'an OPTIONS request changed its session; it has none, and the change was dropped.',
  STORE_DOWN: "a request changed its session while the store could not be reached (onStoreError: 'anonymous'); the change was dropped.",
} as const;

export type Reason = keyof typeof warnings;

/** Warns once per reason. */
export type Warn = (reason: Reason) => void;

export function warnOnce(): Warn {
  const warned = new Set<Reason>();
  return (reason) => {
    debug('warning %s', reason);
    if (warned.has(reason)) return;
    warned.add(reason);
    process.emitWarning(`session: ${warnings[reason]} (said once)`, { type: 'ClusterWarning', code: `CLUSTER_HTTP_${reason}` });
  };
}

/** One line per decision, with NODE_DEBUG=cluster. */
export const debug = debuglog('cluster');

const MOST_NOT_STORED = 100;

/** Warns once per code and message; neither names a path, which may hold ids and tokens. */
export type WarnNotStored = (code: string, message: string) => void;

/** For a change that could not be stored because of what the application put into the session. */
export function warnNotStoredOnce(): WarnNotStored {
  const told = new Set<string>();
  return (code, message) => {
    const reason = `${code} ${message}`;
    if (told.has(reason) || told.size >= MOST_NOT_STORED) return;
    told.add(reason);
    process.emitWarning(`session: ${message} (said once)`, { type: 'ClusterWarning', code });
  };
}

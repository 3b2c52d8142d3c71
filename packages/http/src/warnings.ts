import type { IncomingMessage } from 'node:http';
import { debuglog } from 'node:util';
import { ClusterError, type ManagerEvents } from '@cluster/core';
import { labelOf } from './access.js';

/** Why a visitor has no session, or a new one, although the application may expect otherwise; the source of the table in the docs. */
export const warnings = {
  UNKNOWN_ID: {
    meaning: 'a request named a session that is not in the store. It has timed out (idleTimeoutMs, absoluteTimeoutMs) or was ended, or it is in another store or context; the store does not say which.',
    remedy: 'If it meets a visitor who comes back late, there is nothing to do. If it meets every visitor, see whether all instances use the same store and context.',
  },
  BAD_SIGNATURE: {
    meaning: 'a session cookie has no valid signature and is not used.',
    remedy: 'If `secret` was changed, give the old one too, for as long as cookies live: secret: [new, old].',
  },
  MALFORMED_COOKIE: {
    meaning: 'a session cookie is no session id, or longer than 600 characters, and is not used.',
    remedy: 'Another application may use the same cookie name: set `name`.',
  },
  MALFORMED_ID: {
    meaning: 'what `transport.read` found is no session id and is not used.',
    remedy: 'An id is a string of up to 512 letters, digits, _ and -, as `transport.write` got it. See what the client sends.',
  },
  DOUBLED_COOKIE: {
    meaning: 'a request carried two session cookies of one name; the first that is valid is used.',
    remedy: 'They differ in path or domain: agree on `cookie.path` and `cookie.domain`.',
  },
  SECURE_OVER_HTTP: {
    meaning: 'the session cookie is marked Secure, but the request came over plain http: browsers drop it unless a proxy in front ends TLS.',
    remedy: "Behind such a proxy set `trustProxy`, in Express `trust proxy`; else use cookie.secure 'auto'.",
  },
  PROXY_NOT_TRUSTED: {
    meaning: 'a request came over plain http and says X-Forwarded-Proto: https, which is not believed of its address, so the session cookie is not marked Secure.',
    remedy: 'If a proxy of yours ends TLS, set `trustProxy`, in Express `trust proxy`.',
  },
  INSECURE_COOKIE: {
    meaning: 'the session cookie is not marked Secure, since the request came over plain http, and has what browsers take only with it (SameSite=None, Partitioned, or a name with __Host- or __Secure-): they drop it.',
    remedy: 'Behind a proxy that ends TLS set `trustProxy`, in Express `trust proxy`, or cookie.secure to true.',
  },
  LATE_CHANGE: {
    meaning: 'a request changed its session after the first bytes of its response had left; the change threw CLUSTER_SESSION_ENDED and was not stored.',
    remedy: 'Change the session before the response begins, or later by manager.update(id, …).',
  },
  LONG_WAIT: {
    meaning: 'a request has waited for its session for more than a second, since another one had it. The warning names both routes, once each pair: method and path, with * for what may be an id.',
    remedy: "Let the one that has it call `req.session.release()` as soon as it has changed what it wants, or give it access 'snapshot'.",
  },
  REDIRECT_WITHOUT_COOKIE: {
    meaning: 'a request waited for its session instead of being redirected to the instance that has it: the session cookie would not have been sent there.',
    remedy: 'Set `cookie.domain` so that it covers the host of every `publicUrl`, and make that https where the cookie is Secure.',
  },
  MOVED: {
    meaning: 'a request changed a session whose id had been changed meanwhile (a login in another tab, most likely); the change was dropped.',
    remedy: 'After a login in another tab there is nothing to do: the next request of the first tab has the new session, and a login there starts one of its own.',
  },
  NOT_LOOKED_UP: {
    meaning: 'an OPTIONS request changed its session; it has none, and the change was dropped.',
    remedy: 'Change it in a request of another method.',
  },
  STORE_DOWN: {
    meaning: "a request changed its session while the store could not be reached; the change was dropped.",
    remedy: "See why the store cannot be reached. To refuse such requests instead, set `onStoreError: 'error'`.",
  },
  STORE_FAILED: {
    meaning: 'a request was answered 503 after its handler had run, since the store refused its change or did not answer in time.',
    remedy: "See why the store fails. `await sessions.start()` before listening tells what is wrong at once; each such error is told by the event `sendFailed` of the manager, and by NODE_DEBUG=cluster.",
  },
} as const satisfies Record<string, { readonly meaning: string; readonly remedy: string }>;

const debug = debuglog('cluster');

/** A line with NODE_DEBUG=cluster about what becomes of a request. */
export function explain(req: IncomingMessage, text: string, ...values: unknown[]): void {
  if (debug.enabled) debug(`%s: ${text}`, labelOf(req), ...values);
}

export type Reason = Exclude<keyof typeof warnings, 'LONG_WAIT'>;

const MOST_SAID = 100;

// Of the process, since an application may make any number of session layers, one per request by mistake.
const said = new Set<string>();

function sayOnce(text: string, code: string, once = '', kind = text): void {
  if (said.has(kind)) return;
  said.add(kind);
  process.emitWarning(`session: ${text}${once} (said once)`, { type: 'ClusterWarning', code });
}

/**
 * Warns once per reason and process, with what the first `error` said. Neither text nor code names an id or a path; of a long wait,
 * `warnWaiting` names the routes.
 */
export function warn(reason: Reason, error?: ClusterError): void {
  if (debug.enabled) debug('warning %s', reason);
  const { meaning, remedy } = warnings[reason];
  sayOnce(`${meaning} ${remedy}`, `CLUSTER_HTTP_${reason}`, error === undefined ? '' : ` This time: ${error.code}: ${error.message}`);
}

/** Of the second after which a wait is told: the half. */
const LEAST_HELD_MS = 500;

// No digit and nothing that is long: what stays reads like a word of a route.
const WORD = /^(?:[a-z]+(?:[-_.][a-z]+)*|v\d{1,2})$/i;
const MAX_WORD = 24;
const MAX_WORDS = 8;

/** `POST /users/17/cart` with `*` for the 17. What is no method and path stays. */
export function routeOf(label: string): string {
  const [, method, path] = /^([A-Z]+) \/(.*)$/.exec(label) ?? [];
  if (method === undefined || path === undefined) return label;
  const words = path.split('/').map((word) => (word === '' || (word.length <= MAX_WORD && WORD.test(word)) ? word : '*'));
  return `${method} /${words.slice(0, MAX_WORDS).join('/')}${words.length > MAX_WORDS ? '/...' : ''}`;
}

/** Once per pair of routes. */
export function warnWaiting({ label, holder }: ManagerEvents['waiting']): void {
  // What kept the request waiting was the store, or many before it: an earlier release would change nothing.
  if (said.size >= MOST_SAID || (holder.heldMs !== undefined && holder.heldMs < LEAST_HELD_MS)) return;
  const waits = label === undefined ? 'a request' : routeOf(label);
  const told = `${waits} has waited for more than a second for its session, which`;
  if (holder.label === undefined) {
    sayOnce(`${told} ${holder.isHere ? 'another request' : 'another instance'} had, without saying for which route. It may be paused, cut off or dead.`, 'CLUSTER_HTTP_LONG_WAIT');
    return;
  }
  const has = routeOf(holder.label);
  sayOnce(`${told} ${has} had. Let ${has} call req.session.release() as soon as it has changed what it wants, or give it access 'snapshot'.`, 'CLUSTER_HTTP_LONG_WAIT');
}

/** What is the same of a message whatever the session and the figures are. */
const kindOf = (code: string, text: string) => `${code} ${text.replace(/\bsession [0-9a-f]{12}\b/g, 'session *').replace(/\d+/g, '#')}`;

/** Once per code and message, numbers and sessions aside, for a change that could not be stored. The message names no path, which may hold ids and tokens. */
export function warnNotStored(error: unknown): void {
  if (said.size >= MOST_SAID) return;
  const code = ClusterError.is(error) ? error.code : 'CLUSTER_HTTP_ERROR';
  const text = ClusterError.is(error) ? error.message.replace(/^session: /, '') : String(error);
  sayOnce(text, code, '', kindOf(code, text));
}

/** For tests: everything may be said again, as in a new process. */
export function forgetWarnings(): void {
  said.clear();
}


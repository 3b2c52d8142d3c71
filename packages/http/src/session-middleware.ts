import type { IncomingMessage, ServerResponse } from 'node:http';
import { ClusterError, type Health, type Manager } from '@cluster/core';
import { answerError } from './answer.js';
import type { HttpSession } from './http-session.js';
import { resolveSessionOptions, type SessionOptions } from './options.js';
import { SessionCookie } from './session-cookie.js';
import { cookieFace } from './session-methods.js';
import { Turn, turnOf, type Site } from './turn.js';
import { warnNotStoredOnce, warnOnce } from './warnings.js';

/** Gives every request its session: `app.use(sessions)` with Connect and Express, `await sessions.open(req, res)` with node:http. */
export interface SessionMiddleware {
  /** `req.session` is there when `next` is called; with an error if it could not be looked up. */
  (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void): void;
  /**
   * For node:http: the session of the request. Undefined: the request has been answered with the error, 503 when the store
   * is down, or its client has left.
   */
  open(req: IncomingMessage, res: ServerResponse): Promise<HttpSession | undefined>;
  readonly manager: Manager;
  /** Optional: the first request starts. Call it to fail at boot. */
  start(): Promise<void>;
  /** Hands idle sessions over and goes on serving; to be called between SIGTERM and the last request. */
  drain(): Promise<void>;
  /** Waits for running requests and ends what `session` made. A manager that was passed in is not stopped. */
  stop(): Promise<void>;
  health(): Health;
  [Symbol.asyncDispose](): Promise<void>;
}

// Shared by all requests; `this` is the request.
const sessionProperty: PropertyDescriptor & ThisType<IncomingMessage> = {
  configurable: true, enumerable: true,
  get() { return turnOf(this)?.session; },
  set(value: unknown) { turnOf(this)?.assign(value); },
};
const idProperty: PropertyDescriptor & ThisType<IncomingMessage> = {
  // Not enumerable: a logger that copies the request would look at the session, and print its id.
  configurable: true, enumerable: false, get() { return turnOf(this)?.session.id; },
};

const nothing = () => { /* the client has left, and nobody waits for the answer */ };

/** The turn of the request, made if it is its first; undefined: it has passed here before. */
function newTurn(site: Site, req: IncomingMessage, res: ServerResponse): Turn | undefined {
  if (turnOf(req) !== undefined) return undefined;
  const turn = new Turn(site, req, res);
  Object.defineProperty(req, 'session', sessionProperty);
  Object.defineProperty(req, 'sessionID', idProperty);
  return turn;
}

function open(site: Site, req: IncomingMessage, res: ServerResponse): Promise<HttpSession | undefined> {
  const turn = newTurn(site, req, res);
  if (turn === undefined) return Promise.resolve(turnOf(req)?.session);
  return new Promise((resolve) => {
    turn.open((error) => {
      if (error === undefined) {
        resolve(turn.session);
      } else {
        answerError(res, error);
        resolve(undefined);
      }
    }, () => { resolve(undefined); });
  });
}

/**
 * Sessions for the requests of one application.
 * @throws ClusterError CLUSTER_BAD_OPTION naming every option that is wrong
 */
export function session(options: SessionOptions): SessionMiddleware {
  const settings = resolveSessionOptions(options);
  const { manager, owned, clock, access, onStoreError, cookie } = settings;
  const warn = warnOnce();
  const site: Site = { manager, clock, access, onStoreError, warn, warnNotStored: warnNotStoredOnce(), jar: new SessionCookie(settings, warn), cookieFace: cookieFace(cookie) };
  const stop = async () => { if (owned) await manager.stop(); };

  function middleware(req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void): void {
    if (typeof next !== 'function') throw new ClusterError('CLUSTER_BAD_OPTION', 'session: next: expected a function; without one use `await sessions.open(req, res)`');
    const turn = newTurn(site, req, res);
    if (turn === undefined) next();
    else turn.open(next, nothing);
  }
  return Object.assign(middleware, {
    manager, stop,
    open: (req: IncomingMessage, res: ServerResponse) => open(site, req, res),
    start: () => manager.start(),
    drain: () => manager.drain(),
    health: () => manager.health(),
    [Symbol.asyncDispose]: stop,
  });
}

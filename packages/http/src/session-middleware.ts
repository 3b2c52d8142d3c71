import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Health, Manager } from '@cluster/core';
import { answerError } from './answer.js';
import type { HttpSession } from './http-session.js';
import { resolveSessionOptions, type SessionOptions } from './options.js';
import { SessionCookie } from './session-cookie.js';
import { cookieFace } from './session-methods.js';
import { Turn, turnOf, type Site } from './turn.js';
import { warnOnce } from './warnings.js';

/** Gives every request its session. For Connect and Express, and by its promise for plain node:http. */
export interface SessionMiddleware {
  /** For node:http: resolves with the session, or with undefined when the request has been answered (store down) or its client has left. */
  (req: IncomingMessage, res: ServerResponse): Promise<HttpSession | undefined>;
  /** For Connect and Express: `req.session` is there when `next` is called. */
  (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void): void;
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
const properties: PropertyDescriptorMap & ThisType<IncomingMessage> = {
  session: {
    configurable: true, enumerable: true,
    get() { return turnOf(this)?.session; },
    set(value: unknown) { turnOf(this)?.assign(value); },
  },
  sessionID: { configurable: true, enumerable: true, get() { return turnOf(this)?.session.id; } },
};

function opened(turn: Turn): Promise<HttpSession | undefined> {
  return new Promise((resolve) => {
    turn.open((error) => {
      if (error === undefined) {
        resolve(turn.session);
      } else {
        answerError(turn.res, error);
        resolve(undefined);
      }
    }, () => { resolve(undefined); });
  });
}

const nothing = () => { /* the client has left, and nobody waits for the answer */ };

/**
 * Sessions for the requests of one application.
 * @throws ClusterError CLUSTER_BAD_OPTION naming every option that is wrong
 */
export function session(options: SessionOptions): SessionMiddleware {
  const settings = resolveSessionOptions(options);
  const { manager, owned, clock, access, onStoreError, cookie } = settings;
  const warn = warnOnce();
  const site: Site = { manager, clock, access, onStoreError, warn, jar: new SessionCookie(settings, warn), cookieFace: cookieFace(cookie) };
  const stop = async () => { if (owned) await manager.stop(); };

  function middleware(req: IncomingMessage, res: ServerResponse): Promise<HttpSession | undefined>;
  function middleware(req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void): void;
  function middleware(req: IncomingMessage, res: ServerResponse, next?: (error?: unknown) => void): Promise<HttpSession | undefined> | undefined {
    const known = turnOf(req);
    if (known !== undefined) {
      // Mounted twice: the first one has done it.
      if (next === undefined) return Promise.resolve(known.session);
      next();
      return undefined;
    }
    const turn = new Turn(site, req, res);
    Object.defineProperties(req, properties);
    if (next === undefined) return opened(turn);
    turn.open(next, nothing);
    return undefined;
  }
  return Object.assign(middleware, {
    manager, stop,
    start: () => manager.start(),
    drain: () => manager.drain(),
    health: () => manager.health(),
    [Symbol.asyncDispose]: stop,
  });
}

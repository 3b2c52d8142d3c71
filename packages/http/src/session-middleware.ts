import { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import type { Duplex } from 'node:stream';
import { ClusterError, type Health, type Manager } from '@cluster/core';
import { answerError } from './answer.js';
import { shareClass } from './hidden-class.js';
import type { HttpSession } from './http-session.js';
import { resolveSessionOptions, type SessionOptions } from './options.js';
import { Redirects } from './redirects.js';
import { SessionCookie } from './session-cookie.js';
import type { Site } from './site.js';
import { OwnTransport } from './transport.js';
import { Turn, turnOf } from './turn.js';
import { isResponse, refuseUpgrade } from './upgrade.js';
import { warnWaiting } from './warnings.js';

type Request = IncomingMessage | Http2ServerRequest;
type Response = ServerResponse | Http2ServerResponse;

/** Gives every request its session: `app.use(sessions)` with Connect and Express, `await sessions.open(req, res)` with node:http. */
export interface SessionMiddleware {
  /** `req.session` is there when `next` is called; with an error if it could not be looked up. */
  (req: Request, res: Response, next: (error?: unknown) => void): void;
  /**
   * For node:http and node:http2: the session of the request. Undefined: the request has been answered with the error, 503 when
   * the store is down, or with a redirect, or its client has left. With the socket of an upgrade in place of a response the session is there to be
   * read; `manager.update` changes it.
   */
  open(req: Request, res: Response | Duplex): Promise<HttpSession | undefined>;
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

const SITE = Symbol('site');

/** @throws ClusterError CLUSTER_BAD_OPTION for anything but what `session` has made */
export function siteOf(sessions: SessionMiddleware): Site {
  const site: unknown = typeof sessions === 'function' ? Reflect.get(sessions, SITE) : undefined;
  // Nobody else has the symbol.
  if (site !== undefined) return site as Site;
  throw new ClusterError('CLUSTER_BAD_OPTION', `sessions: expected what session({...}) of this copy of @cluster/http has made, found a value of type ${typeof sessions}`);
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

const nothing = () => { /* the client has left or was sent elsewhere: nobody waits for more */ };

/**
 * The turn of the request, made if it is its first; undefined: it has passed here before. An upgrade has no response.
 * @throws ClusterError CLUSTER_BAD_OPTION if it has the session of another `session`
 */
function newTurn(site: Site, req: IncomingMessage, res: ServerResponse | undefined): Turn | undefined {
  const before = turnOf(req);
  // To go on with the session of the other would take a visitor's cookie for the header that an API asks for.
  if (before !== undefined && before.site !== site) {
    throw new ClusterError('CLUSTER_BAD_OPTION', 'session: expected one session({...}) per request, found that another one has given this request its session before; let the path decide which of them it passes');
  }
  if (before !== undefined) return undefined;
  shareClass(req, IncomingMessage.prototype);
  if (res !== undefined) shareClass(res, ServerResponse.prototype);
  const turn = new Turn(site, req, res);
  Object.defineProperty(req, 'session', sessionProperty);
  Object.defineProperty(req, 'sessionID', idProperty);
  return turn;
}

function openRequest(site: Site, req: IncomingMessage, res: ServerResponse): Promise<HttpSession | undefined> {
  return opened(req, () => newTurn(site, req, res), (error) => { answerError(res, error); });
}

async function openUpgrade(site: Site, req: IncomingMessage, socket: Duplex): Promise<HttpSession | undefined> {
  // Nobody else listens yet, and an error that nobody hears ends the process. It means that the client has left.
  socket.on('error', nothing);
  const session = await opened(req, () => newTurn(site, req, undefined), (error) => { refuseUpgrade(req, error); });
  if (session !== undefined) socket.off('error', nothing);
  return socket.destroyed ? undefined : session;
}

/** Undefined: the request was refused, or nobody waits for its answer. */
function opened(req: IncomingMessage, begin: () => Turn | undefined, refuse: (error: unknown) => void): Promise<HttpSession | undefined> {
  return new Promise((resolve) => {
    const gone = () => { resolve(undefined); };
    const refused = (error: unknown) => { refuse(error); gone(); };
    try {
      const turn = begin();
      if (turn === undefined) resolve(turnOf(req)?.session);
      else turn.open((error) => { if (error === undefined) resolve(turn.session); else refused(error); }, gone);
    } catch (error) {
      refused(error);
    }
  });
}

/**
 * Sessions for the requests of one application.
 * @throws ClusterError CLUSTER_BAD_OPTION naming every option that is wrong
 */
export function session(options: SessionOptions): SessionMiddleware {
  const settings = resolveSessionOptions(options);
  const { manager, owned, clock, access, reentrant, onStoreError, cookie } = settings;
  const transport = settings.transport === undefined ? new SessionCookie(settings) : new OwnTransport(settings.transport);
  const redirects = settings.transport === undefined ? new Redirects(settings) : undefined;
  // Once per manager, however many layers it has.
  manager.off('waiting', warnWaiting).on('waiting', warnWaiting);
  const site: Site = { manager, clock, access, reentrant, onStoreError, transport, redirects, cookie };
  const stop = async () => { if (owned) await manager.stop(); };

  function middleware(request: Request, res: Response, next: (error?: unknown) => void): void {
    // What is used of a request and a response is in HTTP/2's compatible API as well, though its types are others.
    const req = request as IncomingMessage;
    if (typeof next !== 'function') throw new ClusterError('CLUSTER_BAD_OPTION', 'session: next: expected a function; without one use `await sessions.open(req, res)`');
    let turn: Turn | undefined;
    try {
      turn = newTurn(site, req, isResponse(res) ? res : undefined);
    } catch (error) {
      next(error);
      return;
    }
    if (turn === undefined) next();
    else turn.open(next, nothing);
  }
  return Object.assign(middleware, {
    [SITE]: site, manager, stop,
    open: (req: Request, res: Response | Duplex) => (isResponse(res) ? openRequest(site, req as IncomingMessage, res) : openUpgrade(site, req as IncomingMessage, res as Duplex)),
    start: () => manager.start(),
    drain: () => manager.drain(),
    health: () => manager.health(),
    [Symbol.asyncDispose]: stop,
  });
}

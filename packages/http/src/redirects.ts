import type { IncomingMessage, ServerResponse } from 'node:http';
import { ClusterError } from '@cluster/core';
import { serialize } from 'cookie';
import type { Settings } from './options.js';
import { isOverTls } from './proxies.js';
import { explain, warn } from './warnings.js';

/** How long a client that was sent on is not sent on again. */
const MARKED_S = 10;

const withoutDot = (domain: string) => domain.replace(/^\./, '').toLowerCase();

/**
 * Sends requests to the instance that has their session, one hop each: a cookie beside that of the session marks the client for
 * some seconds, and a request that carries the mark waits wherever it arrives.
 */
export class Redirects {
  readonly #mark: string;
  readonly #marked: string;

  constructor(private readonly settings: Settings) {
    this.#mark = `${settings.name}-hop`;
    this.#marked = `${this.#mark}=`;
  }

  /** Whether the request may be sent on. One with a cookie whose name merely ends like the mark's waits, which does no harm. */
  isOpenTo(req: IncomingMessage): boolean {
    return req.headers.cookie?.includes(this.#marked) !== true;
  }

  /**
   * Sends the client on, where the error of its find says so. `stay`: nothing is answered, since it would arrive there without
   * its session; undefined: the error is about something else.
   */
  answer(error: unknown, req: IncomingMessage, res: ServerResponse | undefined): 'sent' | 'stay' | undefined {
    const to = ClusterError.is(error) ? error.redirectTo : undefined;
    if (to === undefined) return undefined;
    return res !== undefined && this.#send(req, res, to) ? 'sent' : 'stay';
  }

  #send(req: IncomingMessage, res: ServerResponse, origin: string): boolean {
    // Express and Connect keep the whole address here while a router shortens `url`. A proxy's request names a host in it, and goes nowhere.
    const url = (req as { originalUrl?: string }).originalUrl ?? req.url ?? '';
    if (res.headersSent || !url.startsWith('/')) return false;
    const { cookie, trusts } = this.settings;
    const overTls = isOverTls(req, trusts);
    const secure = cookie.secure === 'auto' ? overTls : cookie.secure;
    if (!this.#reaches(req, new URL(origin), secure || overTls)) {
      warn('REDIRECT_WITHOUT_COOKIE');
      return false;
    }
    explain(req, 'is sent to %s, whose request has its session', origin);
    const { path, domain, sameSite, partitioned = false } = cookie;
    res.statusCode = 307;
    res.setHeader('Location', origin + url);
    res.setHeader('Cache-Control', 'no-store');
    res.setHeader('Content-Length', 0);
    res.appendHeader('Set-Cookie', serialize(this.#mark, '1', { path, sameSite, partitioned, secure, httpOnly: true, maxAge: MARKED_S, ...(domain !== undefined && { domain }) }));
    res.end();
    return true;
  }

  /** Whether the browser will send the session cookie there. */
  #reaches(req: IncomingMessage, { protocol, hostname }: URL, needsTls: boolean): boolean {
    if (needsTls && protocol !== 'https:') return false;
    const { domain } = this.settings.cookie;
    if (domain !== undefined) return `.${hostname}`.endsWith(`.${withoutDot(domain)}`);
    const host = req.headers.host ?? req.headers[':authority'];
    return typeof host === 'string' && URL.canParse(`http://${host}`) && new URL(`http://${host}`).hostname === hostname;
  }
}

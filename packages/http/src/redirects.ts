import type { IncomingMessage, ServerResponse } from 'node:http';
import { ClusterError } from '@cluster/core';
import { serialize } from 'cookie';
import { urlOf } from './access.js';
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

  /**
   * Which addresses the request may be sent to: those where it will arrive with its session. Not twice in a row: one with the mark
   * waits, and so does one with a cookie whose name merely ends like the mark's, which does no harm.
   */
  open(req: IncomingMessage, res: ServerResponse | undefined): false | ((origin: string) => boolean) {
    if (res === undefined || req.headers.cookie?.includes(this.#marked) === true) return false;
    return (origin) => {
      // A proxy's request names a host in its address, and goes nowhere.
      if (res.headersSent || !urlOf(req).startsWith('/')) return false;
      const overTls = isOverTls(req, this.settings.trusts);
      if (this.#reaches(req, new URL(origin), this.#isSecure(overTls) || overTls)) return true;
      warn('REDIRECT_WITHOUT_COOKIE');
      return false;
    };
  }

  /** Sends the client on, where the error of its find says so; false: the error is about something else. */
  answer(error: unknown, req: IncomingMessage, res: ServerResponse | undefined): boolean {
    const origin = ClusterError.is(error) ? error.redirectTo : undefined;
    if (origin === undefined || res === undefined) return false;
    explain(req, 'is sent to %s, whose request has its session', origin);
    const { path, domain, sameSite, partitioned = false } = this.settings.cookie;
    const secure = this.#isSecure(isOverTls(req, this.settings.trusts));
    res.statusCode = 307;
    res.setHeader('Location', origin + urlOf(req));
    res.setHeader('Cache-Control', 'no-store');
    res.setHeader('Content-Length', 0);
    res.appendHeader('Set-Cookie', serialize(this.#mark, '1', { path, sameSite, partitioned, secure, httpOnly: true, maxAge: MARKED_S, ...(domain !== undefined && { domain }) }));
    res.end();
    return true;
  }

  #isSecure(overTls: boolean): boolean {
    const { secure } = this.settings.cookie;
    return secure === 'auto' ? overTls : secure;
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

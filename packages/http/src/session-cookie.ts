import type { IncomingMessage, ServerResponse } from 'node:http';
import { parse, serialize, type SerializeOptions } from 'cookie';
import { sign, unsign } from 'cookie-signature';
import type { Clock } from '@cluster/core/driver';
import { ageOf } from './cookie-view.js';
import type { Settings } from './options.js';
import { isOverTls, saysHttps, type Trusts } from './proxies.js';
import { ID, type Found, type OwnAge, type Transport } from './transport.js';
import { warn } from './warnings.js';

// 512 for the id, as core takes it, and room for the time and a signature.
const MAX_VALUE_LENGTH = 600;
// The id, and when the cookie was sent: base 36, since it is read by nobody else. Ids have no dots.
const ID_AND_TIME = /^([\w-]{1,512})\.([0-9a-z]{1,8})$/;

// Browsers keep no cookie for longer, whatever its age.
const MOST_KEPT_S = 400 * 24 * 3_600;

/** Whether nothing but blanks stands between `at` and the semicolon, or the begin, before it. */
function beginsPair(header: string, at: number): boolean {
  let before = at - 1;
  while (before >= 0 && (header[before] === ' ' || header[before] === '\t')) before -= 1;
  return before < 0 || header[before] === ';';
}

/** Reads and writes the session cookie of one `session`. Never throws for what a request holds. */
export class SessionCookie implements Transport {
  readonly #name: string;
  readonly #prefix: string;
  readonly #secrets: readonly string[];
  readonly #cookie: Settings['cookie'];
  readonly #attributes: SerializeOptions;
  /** Browsers drop it without Secure. */
  readonly #needsSecure: boolean;
  readonly #trusts: Trusts;
  readonly #clock: Clock;

  constructor({ name, secrets, cookie, trusts, clock }: Settings) {
    this.#name = name;
    this.#prefix = `${name}=`;
    this.#secrets = secrets;
    this.#cookie = cookie;
    this.#needsSecure = cookie.sameSite === 'none' || cookie.partitioned || /^__(?:Host|Secure)-/i.test(name);
    // Who has the age sets it beside these.
    this.#attributes = { ...cookie, secure: false };
    delete this.#attributes.maxAge;
    this.#trusts = trusts;
    this.#clock = clock;
  }

  /** The first cookie of the name that is well formed and verifies. */
  read(req: IncomingMessage): Found | undefined {
    const header = req.headers.cookie;
    if (header === undefined) return undefined;
    const prefix = this.#prefix;
    let values = 0;
    let found: Found | undefined;
    // Only the pairs of this name are parsed: a request may carry many others.
    for (let at = header.indexOf(prefix); at >= 0; at = header.indexOf(prefix, at + prefix.length)) {
      if (!beginsPair(header, at)) continue;
      values += 1;
      if (found !== undefined) continue;
      const end = header.indexOf(';', at);
      found = this.#verified(parse(end < 0 ? header.slice(at) : header.slice(at, end))[this.#name] ?? '');
    }
    if (values > 1) warn('DOUBLED_COOKIE');
    return found;
  }

  /** Whether less than half of the cookie's age is left, or it has none and should. */
  isDue(sentS: number | undefined, own: OwnAge): boolean {
    const maxAge = ageOf(own, this.#cookie);
    return maxAge !== undefined && (sentS === undefined || this.#nowS() - sentS > Math.min(maxAge / 1000, MOST_KEPT_S) / 2);
  }

  write(req: IncomingMessage, res: ServerResponse, id: string, own: OwnAge): void { res.appendHeader('Set-Cookie', this.#header(req, id, own)); }

  clear(req: IncomingMessage, res: ServerResponse): void { res.appendHeader('Set-Cookie', this.#cleared(req)); }

  /** The Set-Cookie header that gives the browser this id. */
  #header(req: IncomingMessage, id: string, own: OwnAge): string {
    const secure = this.#isSecure(req);
    if (!secure && this.#needsSecure) warn('INSECURE_COOKIE');
    const maxAge = ageOf(own, this.#cookie);
    const age = maxAge === undefined ? {} : { maxAge: Math.floor(maxAge / 1000), expires: new Date(Date.now() + maxAge) };
    return this.#line(id, maxAge, { ...this.#attributes, secure, ...age });
  }

  sentBack(id: string, own: OwnAge): string { return this.#line(id, ageOf(own, this.#cookie), {}); }

  #line(id: string, maxAge: number | undefined, attributes: SerializeOptions): string {
    const value = maxAge === undefined ? id : `${id}.${this.#nowS().toString(36)}`;
    const [secret] = this.#secrets;
    return serialize(this.#name, secret === undefined ? value : sign(value, secret), attributes);
  }

  /** The Set-Cookie header that makes the browser forget it. */
  #cleared(req: IncomingMessage): string {
    return serialize(this.#name, '', { ...this.#attributes, secure: this.#isSecure(req), maxAge: 0, expires: new Date(0) });
  }

  #nowS(): number { return Math.floor(this.#clock.wallMs() / 1000); }

  #isSecure(req: IncomingMessage): boolean {
    const overTls = isOverTls(req, this.#trusts);
    const { secure } = this.#cookie;
    if (secure === 'auto') {
      if (!overTls && saysHttps(req)) warn('PROXY_NOT_TRUSTED');
      return overTls;
    }
    if (secure && !overTls) warn('SECURE_OVER_HTTP');
    return secure;
  }

  #verified(raw: string): Found | undefined {
    const value = raw.length > MAX_VALUE_LENGTH ? '' : this.#unsigned(raw);
    if (value === undefined) {
      warn('BAD_SIGNATURE');
      return undefined;
    }
    if (ID.test(value)) return { id: value, sentS: undefined };
    const [, id, time] = ID_AND_TIME.exec(value) ?? [];
    if (id !== undefined && time !== undefined) return { id, sentS: parseInt(time, 36) };
    warn('MALFORMED_COOKIE');
    return undefined;
  }

  #unsigned(raw: string): string | undefined {
    if (this.#secrets.length === 0) return raw;
    for (const secret of this.#secrets) {
      const value = unsign(raw, secret);
      if (value !== false) return value;
    }
    return undefined;
  }
}

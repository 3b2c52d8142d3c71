import { inspect, types } from 'node:util';
import { ClusterError } from '@cluster/core';
import type { Behind } from '@cluster/core/driver';
import type { SessionMethods } from './http-session.js';
import type { Settings } from './options.js';
import type { OwnAge } from './transport.js';

/** What the cookie of one session is made of. */
export interface OwnCookie {
  readonly behind: Behind;
  readonly options: Settings['cookie'];
  /** The session has another age from here on. */
  aged(): void;
}

const MIN_AGE_MS = 1_000;
/** A hundred years: everything that is computed with it stays a date. */
const MAX_AGE_MS = 3_155_760_000_000;

export const isCookieAge = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) >= MIN_AGE_MS && (value as number) <= MAX_AGE_MS;
export const COOKIE_AGE = `a whole number of ms from ${MIN_AGE_MS} to ${MAX_AGE_MS}`;

/** How long a browser keeps the cookie: what its session says, or else the options. Undefined: until its own session ends. */
export const ageOf = (own: OwnAge, options: Settings['cookie']): number | undefined => (own === undefined ? options.maxAge : own ?? undefined);

const OWN = Symbol('own');
interface CookieView { readonly [OWN]: OwnCookie }

const presentAge = ({ [OWN]: { behind, options } }: CookieView) => ageOf(behind.ownIdleTimeoutMs, options);

function setAge({ [OWN]: own }: CookieView, name: string, ms: unknown, given = ms): void {
  const { behind, options } = own;
  const present = behind.ownIdleTimeoutMs;
  if (ms === null || ms === undefined) {
    if (present === null || ageOf(present, options) === undefined) return;
    behind.ownIdleTimeoutMs = null;
  } else if (isCookieAge(ms)) {
    if (present === ms) return;
    behind.ownIdleTimeoutMs = ms;
  } else {
    const expected = name === 'expires' ? 'a Date, from a second to a hundred years ahead' : COOKIE_AGE;
    throw new ClusterError('CLUSTER_BAD_OPTION', `session.cookie.${name}: expected ${expected}, or null for a cookie that ends with the browser's session, `
      + `found ${inspect(given, { depth: 0 }).slice(0, 60)}; to end the session call session.destroy()`);
  }
  own.aged();
}

function setExpires(view: CookieView, at: unknown): void {
  const ahead = types.isDate(at) ? at.getTime() - Date.now() : NaN;
  // In whole seconds, as in the header: the same age counted from some milliseconds later is no change.
  setAge(view, 'expires', at === null || at === undefined || at === false ? null : Math.ceil(ahead / 1000) * 1000, at);
}

const ageProperties: PropertyDescriptorMap & ThisType<CookieView> = {
  maxAge: { enumerable: true, get() { return presentAge(this); }, set(ms: unknown) { setAge(this, 'maxAge', ms); } },
  originalMaxAge: { enumerable: true, get() { return presentAge(this) ?? null; }, set(ms: unknown) { setAge(this, 'originalMaxAge', ms); } },
  expires: {
    enumerable: true,
    get() {
      const maxAge = presentAge(this);
      return maxAge === undefined ? null : new Date(Date.now() + maxAge);
    },
    set(at: unknown) { setExpires(this, at); },
  },
};

const optionProperties: PropertyDescriptorMap = {};
for (const name of ['path', 'domain', 'httpOnly', 'secure', 'sameSite', 'partitioned', 'priority'] as const) {
  const property: PropertyDescriptor & ThisType<CookieView> = {
    enumerable: true,
    get() { return this[OWN].options[name]; },
    set() {
      throw new ClusterError('CLUSTER_BAD_OPTION', `session.cookie.${name}: one session cannot have its own, only maxAge and expires can be set; set it in the options of session()`);
    },
  };
  optionProperties[name] = property;
}

/** `req.session.cookie`: shows the options, and the session's own age, which can be set. */
export function cookieView(own: OwnCookie): SessionMethods['cookie'] {
  const view = Object.defineProperties({}, { [OWN]: { value: own }, ...optionProperties, ...ageProperties });
  // Its properties are those of the interface, made by the tables above.
  return Object.preventExtensions(view) as SessionMethods['cookie'];
}

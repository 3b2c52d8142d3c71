import { IncomingMessage } from 'node:http';
import { Http2ServerRequest } from 'node:http2';
import { ClusterError, DistributedManager, MemoryStore, type ClusterStore, type Manager, type ManagerOptions } from '@cluster/core';
import { Clock, hasMethods, isClusterStore, managerOptions, oneOf, resolveOptions, shown, type OptionSpec, type OptionSpecs } from '@cluster/core/driver';
import { COOKIE_AGE, isCookieAge } from './cookie-view.js';
import { hints } from './hints.js';
import { isTrustProxy, trustsOf, type TrustProxy, type Trusts } from './proxies.js';
import type { TransportOptions } from './transport.js';

/** Attributes of the session cookie. */
export interface CookieOptions {
  /** Default `/`. */
  readonly path?: string;
  /** Default: the host that answered. Set `foo.com` to share a session between `www1.foo.com` and `www2.foo.com`. */
  readonly domain?: string;
  /** Default true: scripts in the page cannot read it. */
  readonly httpOnly?: boolean;
  /** `auto` (default): if the client spoke TLS, to this process or to a proxy that is trusted; in Express, if `req.secure`. */
  readonly secure?: boolean | 'auto';
  /** Default `lax`. */
  readonly sameSite?: 'lax' | 'strict' | 'none';
  readonly partitioned?: boolean;
  readonly priority?: 'low' | 'medium' | 'high';
  /**
   * Milliseconds, at most `idleTimeoutMs`. Default: the cookie ends with the browser's session. Re-sent when less than half of it
   * is left. A session can have its own: `req.session.cookie.maxAge`.
   */
  readonly maxAge?: number;
}

export type Access = 'auto' | 'exclusive' | 'snapshot' | 'shared';

interface OwnOptions {
  /** The name of the cookie; default `sid`. */
  readonly name?: string;
  /** Signs the cookie. Of an array the first signs and every one verifies. Default: no signature; ids are 192 random bits. */
  readonly secret?: string | readonly string[];
  readonly cookie?: CookieOptions;
  /** How the id travels, in place of a cookie: by a header, for instance. `secret` signs cookies, so it does not go with this. */
  readonly transport?: TransportOptions;
  /**
   * For node:http and Connect: which proxies are believed when they say X-Forwarded-Proto. `true`: whoever connects; a number of
   * hops; or their addresses: IP addresses, CIDR ranges, `loopback`, `linklocal`, `uniquelocal`. Default false. Express has its own, `trust proxy`.
   */
  readonly trustProxy?: boolean | number | string | readonly string[];
  /**
   * Whether a request has its session to itself. `auto` (default): GET and HEAD work on a snapshot and wait for nobody, OPTIONS
   * has no session, every other method is exclusive. `shared`: requests on one instance use one live object at once, as servlets do.
   */
  readonly access?: Access | ((req: IncomingMessage) => Access);
  /**
   * Whether the application may ask the manager, inside a request, for the session that the request has: it gets the request's own
   * handle then. Default true. `false`: it waits for itself until `lockTimeoutMs`, and requests that write cost less CPU up to Node.js 22.
   */
  readonly reentrant?: boolean;
  /** When a session cannot be looked up: `error` (default) answers 503; `anonymous` goes on with an empty session that is not stored. */
  readonly onStoreError?: 'error' | 'anonymous';
}

type OneSource =
  | ({ readonly store: ClusterStore; readonly manager?: undefined } & ManagerOptions)
  | ({ readonly manager: Manager; readonly store?: undefined } & { readonly [K in keyof ManagerOptions]?: undefined });

/** Options of `session`: a `store` with the options of its manager beside it, or a `manager` that the application owns. */
export type SessionOptions = OwnOptions & OneSource;

const option = <T>(fallback: T, expected: string, accepts: (value: unknown) => boolean, meaning: string): OptionSpec<T> =>
  ({ default: fallback, expected, accepts, meaning });

const bool = (fallback: boolean, meaning: string) =>
  option<boolean>(fallback, 'true or false', (value) => typeof value === 'boolean', meaning);

const isText = (pattern: RegExp) => (value: unknown) => typeof value === 'string' && pattern.test(value);

const cookieOptions = {
  'cookie.path': option<string>('/', "a path that begins with '/'", isText(/^\/[\x20-\x3a\x3c-\x7e]*$/), 'The part of the site that gets the cookie.'),
  'cookie.domain': option<string | undefined>(undefined, 'a domain name', isText(/^\.?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/i),
    'The domain whose hosts share the cookie; default: the answering host alone.'),
  'cookie.httpOnly': bool(true, 'Scripts in the page cannot read the cookie.'),
  'cookie.secure': option<boolean | 'auto'>('auto', "true, false or 'auto'", (value) => value === 'auto' || typeof value === 'boolean',
    'Sent over TLS alone; `auto`: if the client spoke TLS, see `trustProxy`.'),
  'cookie.sameSite': oneOf(['lax', 'strict', 'none'], 'Whether requests that other sites cause carry the cookie.'),
  'cookie.partitioned': bool(false, 'Kept apart per embedding site.'),
  'cookie.priority': option<'low' | 'medium' | 'high' | undefined>(undefined, "one of 'low', 'medium', 'high'", isText(/^(low|medium|high)$/),
    'Which cookies a browser drops first.'),
  'cookie.maxAge': option<number | undefined>(undefined, COOKIE_AGE, isCookieAge,
    "How long the browser keeps the cookie, at most `idleTimeoutMs`; default: its own session. A session can have its own."),
} as const satisfies OptionSpecs;

/** Stores of other libraries may have the same name. */
const shownStore = (value: unknown): string =>
  `${shown(value)}${hasMethods('get', 'set', 'destroy')(value) ? ', a store for another session library; take one of @cluster/store-*' : ''}`;

/** The options of `session` beside those of its manager. */
export const sessionOptions = {
  store: {
    ...option<ClusterStore | undefined>(undefined, 'a ClusterStore', isClusterStore,
      'Where sessions are kept. `session` makes a manager for it and stops it.'),
    shown: shownStore,
  },
  manager: option<Manager | undefined>(undefined, 'a Manager', hasMethods('createSession', 'findSession', 'sendSession', 'changeSessionId', 'on', 'off'),
    'A manager that the application owns, in place of `store`.'),
  name: option<string>('sid', 'a cookie name: letters, digits and !#$%&\'*+-.^_`|~', isText(/^[\w!#$%&'*+.^`|~-]{1,100}$/), 'The name of the cookie.'),
  secret: {
    ...option<string | readonly string[] | undefined>(undefined, 'a string that is not empty, or an array of such strings',
      (value) => [value].flat().length > 0 && [value].flat().every((one) => typeof one === 'string' && one !== ''),
      'Signs the cookie; of an array the first signs and every one verifies.'),
    secret: true,
  },
  cookie: option<CookieOptions>({}, 'an object { path, domain, httpOnly, secure, sameSite, partitioned, priority, maxAge }', () => false, 'Attributes of the cookie.'),
  ...cookieOptions,
  access: option<Access | ((req: IncomingMessage) => Access)>('auto', "'auto', 'exclusive', 'snapshot', 'shared' or a function of the request",
    (value) => typeof value === 'function' || isAccess(value), 'Whether a request has its session to itself.'),
  reentrant: bool(true,
    'Whether the application may ask the manager, inside a request, for the session that the request has. false: it waits for itself, and requests that write cost less CPU up to Node.js 22.'),
  onStoreError: oneOf(['error', 'anonymous'], 'When a session cannot be looked up: answer 503, or go on with an empty one that is not stored.'),
  transport: option<TransportOptions | undefined>(undefined, 'an object of three functions { read(req), write(res, id), clear(res) }',
    hasMethods('read', 'write', 'clear'), 'How the id travels, in place of a cookie.'),
  trustProxy: option<TrustProxy>(false, "true, false, a number of hops, or an array of addresses: IP addresses, CIDR ranges, 'loopback', 'linklocal', 'uniquelocal'",
    isTrustProxy, 'Which proxies are believed when they say X-Forwarded-Proto. Express goes by its own `trust proxy`.'),
} as const satisfies OptionSpecs;

const accesses: ReadonlySet<unknown> = new Set<Access>(['auto', 'exclusive', 'snapshot', 'shared']);

export const isAccess = (value: unknown): value is Access => accesses.has(value);

/** What `session` works with: every default filled in. */
export interface Settings {
  readonly manager: Manager;
  /** The manager was made here, so that `stop` ends it. */
  readonly owned: boolean;
  readonly clock: Clock;
  readonly name: string;
  readonly secrets: readonly string[];
  readonly cookie: CookieOptions & { readonly path: string; readonly secure: boolean | 'auto'; readonly sameSite: 'lax' | 'strict' | 'none' };
  readonly access: Access | ((req: IncomingMessage) => Access);
  readonly reentrant: boolean;
  readonly onStoreError: 'error' | 'anonymous';
  readonly transport: TransportOptions | undefined;
  readonly trusts: Trusts;
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null && !Array.isArray(value);

/** `{ cookie: { path } }` as `{ 'cookie.path' }`, so that one check names every problem. */
function flattened(given: object): { own: object; forManager: object } {
  const own: Record<string, unknown> = {};
  const forManager: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(given)) {
    if (key === 'cookie' && isObject(value)) {
      for (const [name, one] of Object.entries(value)) own[`cookie.${name}`] = one as unknown;
    } else if (Object.hasOwn(managerOptions, key)) {
      if (value !== undefined) forManager[key] = value as unknown;
    } else {
      own[key] = value as unknown;
    }
  }
  return { own, forManager };
}

/** What no single option can tell: the source of sessions, how ids travel, and a cookie that browsers would refuse. */
function contradictions(options: ReturnType<typeof resolveOwn>, own: object, forManager: object): string[] {
  const problems: string[] = [];
  if (options.store === undefined && options.manager === undefined) problems.push('store: expected a ClusterStore here, or a Manager as `manager`, found neither');
  if (options.store !== undefined && options.manager !== undefined) problems.push('store, manager: expected one of the two, found both');
  if (options.manager !== undefined) {
    for (const key of Object.keys(forManager)) problems.push(`${key}: expected beside \`store\` only; a manager passed in has its own`);
  }
  if (options.transport !== undefined) {
    for (const [key, value] of Object.entries(own)) {
      if (value !== undefined && /^(name|secret|cookie(\..*)?)$/.test(key)) problems.push(`transport, ${key}: expected one of the two, found both; ${key} is about the cookie that transport replaces`);
    }
  }
  const { idleTimeoutMs = managerOptions.idleTimeoutMs.default } = forManager as ManagerOptions;
  const { 'cookie.maxAge': maxAge } = options;
  if (maxAge !== undefined && options.manager === undefined && maxAge > idleTimeoutMs) {
    problems.push(`cookie.maxAge: expected at most idleTimeoutMs (${idleTimeoutMs}), after which the session is gone, found ${maxAge}; raise idleTimeoutMs, or set req.session.cookie.maxAge of the sessions that are to live longer`);
  }
  const { name, 'cookie.secure': secure, 'cookie.path': path, 'cookie.domain': domain } = options;
  const needSecure = [
    options['cookie.sameSite'] === 'none' && "sameSite 'none'", options['cookie.partitioned'] && 'partitioned',
    /^__(Secure|Host)-/i.test(name) && `the name ${name}`,
  ].filter((one) => one !== false);
  if (secure === false && needSecure.length > 0) problems.push(`cookie.secure: expected true or 'auto' because of ${needSecure.join(', ')}, found false`);
  if (/^__Host-/i.test(name) && (path !== '/' || domain !== undefined)) problems.push(`name: expected cookie.path '/' and no cookie.domain with ${name}`);
  return problems;
}

const known = [...Object.keys(sessionOptions), ...Object.keys(managerOptions)];

const resolveOwn = (own: object) => resolveOptions('session', sessionOptions, own, { known, hints });

/** Runs a check and keeps the text of what it refuses. */
function collect<T>(problems: string[], check: () => T): T | undefined {
  try {
    return check();
  } catch (error) {
    if (!ClusterError.is(error, 'CLUSTER_BAD_OPTION')) throw error;
    problems.push(error.message.replace(/^(?:session|DistributedManager): /, ''));
    return undefined;
  }
}

/** What is passed in place of options by those who begin; every name in it would be an unknown option. */
function assertOptions(given: unknown): void {
  const isRequest = given instanceof IncomingMessage || given instanceof Http2ServerRequest;
  if (!isRequest && !hasMethods('findSession')(given)) return;
  throw new ClusterError('CLUSTER_BAD_OPTION', `session: expected an object of options, found ${isRequest ? 'a request; mount what it returns: app.use(session({ store }))' : 'a store or a manager; write session({ store }) or session({ manager })'}`);
}

/** @throws ClusterError CLUSTER_BAD_OPTION naming every option that is wrong */
export function resolveSessionOptions(given: SessionOptions): Settings {
  assertOptions(given);
  const problems: string[] = [];
  const { own, forManager } = isObject(given) ? flattened(given) : { own: given as object, forManager: {} };
  const options = collect(problems, () => resolveOwn(own));
  if (options !== undefined) problems.push(...contradictions(options, own, forManager));
  const store = options?.store;
  // Without a good store the manager's options are checked all the same, on a manager that nobody starts.
  const made = options?.manager === undefined
    ? collect(problems, () => new DistributedManager(store ?? new MemoryStore(), forManager)) : undefined;
  const manager = options?.manager ?? made;
  if (problems.length > 0 || options === undefined || manager === undefined) {
    throw new ClusterError('CLUSTER_BAD_OPTION', `session: ${problems.join('; ')}`);
  }
  const { 'cookie.domain': domain, 'cookie.priority': priority, 'cookie.maxAge': maxAge } = options;
  return {
    manager, owned: options.manager === undefined,
    clock: 'clock' in forManager ? forManager.clock as Clock : Clock.system,
    name: options.name,
    secrets: options.secret === undefined ? [] : [options.secret].flat(),
    cookie: {
      path: options['cookie.path'], httpOnly: options['cookie.httpOnly'], secure: options['cookie.secure'],
      sameSite: options['cookie.sameSite'], partitioned: options['cookie.partitioned'],
      ...(domain !== undefined && { domain }), ...(priority !== undefined && { priority }), ...(maxAge !== undefined && { maxAge }),
    },
    access: options.access, reentrant: options.reentrant, onStoreError: options.onStoreError,
    transport: options.transport, trusts: trustsOf(options.trustProxy),
  };
}

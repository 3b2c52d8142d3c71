import { hasMethods, name, shown, type OptionSpec, type OptionSpecs } from '@cluster/core/driver';

// Types of nats do not stand here: an application that checks its libraries with exactOptionalPropertyTypes cannot compile them.

/** A connection of nats: what its `connect` resolves to. */
export interface NatsClient {
  isClosed(): boolean;
  getServer(): string;
  status(): AsyncIterable<object>;
}

/** Options of nats' `connect`. Who needs others connects by himself and gives the `client`. */
export interface NatsConnect {
  /** `host`, `host:port` or a URL, which may have `user:password@` or `token@`, percent-encoded. */
  readonly servers: string | string[];
  readonly name?: string;
  readonly user?: string;
  readonly pass?: string;
  readonly token?: string;
  /** What nats' `credsAuthenticator` and its like make. */
  readonly authenticator?: object;
  readonly tls?: object | null;
  readonly inboxPrefix?: string;
  readonly ignoreClusterUpdates?: boolean;
  readonly noRandomize?: boolean;
}

const isText = (value: unknown): boolean => typeof value === 'string';
const isFlag = (value: unknown): boolean => typeof value === 'boolean';
/** Else nats waits in vain for a server to let it in, or does without. */
const OTHERS: Readonly<Record<string, (value: unknown) => boolean>> = {
  name: isText, user: isText, pass: isText, token: isText,
  authenticator: (value) => [value].flat().every((each) => typeof each === 'function'),
  tls: (value) => typeof value === 'object' && !Array.isArray(value),
  inboxPrefix: isText, ignoreClusterUpdates: isFlag, noRandomize: isFlag,
};

/** Of what may be secret. */
const kindOf = (value: unknown): string =>
  (value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value === 'object' ? 'an object' : `a ${typeof value}`);

/** A server as a URL, also where it is given without a scheme. */
const urlOf = (server: string): string => (server.includes('://') ? server : `nats://${server}`);

/** Also percent-encoded as it must be. Not `tls://`: what nats takes from a URL is its host, so it would go without TLS. */
const isServer = (value: unknown): value is string => typeof value === 'string' && URL.canParse(urlOf(value))
  && /^nats:\/\/./.test(urlOf(value)) && !/%(?![\da-f]{2})/i.test(value);

const meantBy = (key: string): string => (/^(server|url|host)s?$/i.test(key) ? '; did you mean servers?' : '');

function shownServer(server: string): string {
  const advice = server.startsWith('tls://') ? '; for TLS give nats:// and tls: {}' : server.includes('@') ? '; user and password must be percent-encoded' : '';
  return `${shown(server.replace(/^.*@/s, '***@'))}${advice}`;
}

/** The first entry that is not as expected; of a server nothing that stands before the `@`. Undefined: nothing. */
function wrongIn(connect: unknown): string | undefined {
  if (typeof connect !== 'object' || connect === null || Array.isArray(connect)) return kindOf(connect);
  for (const [key, value] of Object.entries(connect)) {
    if (key === 'servers') continue;
    const accepts = Object.hasOwn(OTHERS, key) ? OTHERS[key] : undefined;
    if (accepts === undefined) return `an unknown '${key}'${meantBy(key)}`;
    if (value !== undefined && !accepts(value)) return `${kindOf(value)} as ${key}`;
  }
  if (!('servers' in connect)) return 'no servers';
  const servers: readonly unknown[] = Array.isArray(connect.servers) ? connect.servers : [connect.servers];
  if (servers.length === 0) return 'an empty list of servers';
  if (servers.includes(undefined)) return 'no servers';
  const wrong = servers.find((server) => !isServer(server));
  return wrong === undefined ? undefined : `the server ${typeof wrong === 'string' ? shownServer(wrong) : shown(wrong)}`;
}

/** The options of a NATS store. */
export const natsStoreOptions = {
  client: {
    default: undefined, expected: 'a connection of the package nats 2 (where yours is of @nats-io/*, give connect its options in place of client)',
    accepts: hasMethods('request', 'subscribe', 'status', 'isClosed', 'jetstream', 'jetstreamManager'),
    meaning: "A connection of the application's own; it is used, and never closed. Either this or `connect`.",
  } satisfies OptionSpec<NatsClient | undefined> as OptionSpec<NatsClient | undefined>,
  connect: {
    default: undefined, expected: `the options of nats' connect: servers ('nats://a:4222' or a list of such), and of the others ${Object.keys(OTHERS).join(', ')}`,
    accepts: (value) => wrongIn(value) === undefined, shown: (value) => wrongIn(value) ?? '',
    meaning: "What nats' `connect` is given: `{ servers: ['nats://a:4222', 'nats://b:4222'], user, pass, tls }`. Either this or `client`.",
  } satisfies OptionSpec<NatsConnect | undefined> as OptionSpec<NatsConnect | undefined>,
  bucket: {
    default: 'cluster', expected: '1 to 64 of the characters A-Z a-z 0-9 _ -', accepts: (value) => typeof value === 'string' && /^[\w-]{1,64}$/.test(value),
    meaning: 'The key-value bucket; made if it is not there, else it must be as the options say. Contexts may share one.',
  } satisfies OptionSpec<string> as OptionSpec<string>,
  replicas: {
    default: 1, expected: '1, 3 or 5', accepts: (value) => value === 1 || value === 3 || value === 5,
    meaning: 'How many servers keep the bucket. In a cluster of NATS servers 3 or 5, as 1 is refused there; they must be of 2.11 or later.',
  } satisfies OptionSpec<number> as OptionSpec<number>,
  storage: {
    default: 'file', expected: "'file' or 'memory'", accepts: (value) => value === 'file' || value === 'memory',
    meaning: "Where those servers keep it; with `'memory'` what is acknowledged does not survive them.",
  } satisfies OptionSpec<'file' | 'memory'> as OptionSpec<'file' | 'memory'>,
  instanceId: name(undefined, 'Name of this instance in locks and signals. Default: a random one.'),
} as const satisfies OptionSpecs;

/** Options of a NATS store: `client` or `connect` is required. */
export type NatsStoreOptions = {
  readonly bucket?: string;
  readonly replicas?: number;
  readonly storage?: 'file' | 'memory';
  readonly instanceId?: string;
} & ({ readonly client: NatsClient } | { readonly connect: NatsConnect });

/** The same for nats itself, which ignores who stands in a URL. */
export function addressed({ servers, ...others }: NatsConnect): NatsConnect {
  const urls = (typeof servers === 'string' ? [servers] : servers).map((server) => new URL(urlOf(server)));
  const { username = '', password = '' } = urls.find((url) => url.username !== '') ?? {};
  const [user, pass] = [decodeURIComponent(username), decodeURIComponent(password)];
  const who = username === '' ? {} : password === '' ? { token: user } : { user, pass };
  const given = Object.fromEntries(Object.entries<unknown>({ ...others }).filter(([, value]) => value !== undefined));
  return { ...who, ...given, servers: urls.map(({ host }) => host) };
}

import type { Cluster, Redis } from 'ioredis';
import { hasMethods, name, shown, type OptionSpec, type OptionSpecs } from '@cluster/core/driver';

const isClient = hasMethods('duplicate', 'evalsha', 'callBuffer');
/** Of the package `redis`, since its version 4 and before. */
const isOfNodeRedis = (value: unknown): boolean => hasMethods('evalSha')(value) || hasMethods('evalsha', 'duplicate')(value);

const shownClient = (value: unknown): string => (isOfNodeRedis(value)
  ? 'a client of node-redis (the package redis); make one of ioredis with the same settings, or give its address as url' : shown(value));

/** What ioredis can take apart: its errors about other ones show them, passwords included. */
function isAddress(value: unknown): boolean {
  if (typeof value !== 'string' || !/^rediss?:\/\/./.test(value) || !URL.canParse(value) || !/^\/?\d*$/.test(new URL(value).pathname)) return false;
  try {
    decodeURIComponent(value);
    return true;
  } catch {
    return false;
  }
}

/** Without any of it that may be a password. */
function shownUrl(value: unknown): string {
  if (typeof value !== 'string') return shown(value);
  const [scheme] = /^[a-z]+:\/\//i.exec(value) ?? [];
  if (scheme === undefined) return value === '' ? 'an empty text' : 'one without redis:// at its begin';
  if (!/^rediss?:\/\//.test(value)) return `one that begins with ${scheme}`;
  return URL.canParse(value) && !/^\/?\d*$/.test(new URL(value).pathname) ? 'one whose path is no number' : 'one that cannot be taken apart';
}

/** The options of a Redis store. */
export const redisStoreOptions = {
  client: {
    default: undefined, expected: 'a Redis or Cluster of ioredis', accepts: isClient, shown: shownClient,
    meaning: 'Whose settings are used: connections of the store\'s own are made like it. It is neither used nor closed. Either this or `url`.',
  } satisfies OptionSpec<Redis | Cluster | undefined> as OptionSpec<Redis | Cluster | undefined>,
  url: {
    default: undefined, shown: shownUrl,
    expected: 'a URL that begins with redis:// or rediss://, with user and password percent-encoded, and no path but the number of a database',
    accepts: isAddress,
    meaning: 'Where Redis is, with user, password and number of the database: `rediss://user:password@host:6379/0`. Either this or `client`.',
  } satisfies OptionSpec<string | undefined> as OptionSpec<string | undefined>,
  prefix: {
    default: 'cluster:', expected: 'a text of up to 100 characters, without { and }',
    accepts: (value) => typeof value === 'string' && value.length <= 100 && !/[{}]/.test(value),
    meaning: 'Begins the name of each key and channel; the context follows.',
  } satisfies OptionSpec<string> as OptionSpec<string>,
  instanceId: name(undefined, 'Name of this instance in locks and signals. Default: a random one.'),
} as const satisfies OptionSpecs;

/** Options of a Redis store: `client` or `url` is required. */
export type RedisStoreOptions = {
  readonly prefix?: string;
  readonly instanceId?: string;
} & ({ readonly client: Redis | Cluster } | { readonly url: string });

import type { Cluster, Redis } from 'ioredis';
import { name, type OptionSpec, type OptionSpecs } from '@cluster/core/driver';

const isClient = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && ['duplicate', 'evalsha'].every((method) => typeof Reflect.get(value, method) === 'function');

/** What ioredis can take apart: its errors about other ones show them, passwords included. */
function isAddress(value: unknown): boolean {
  if (typeof value !== 'string' || !/^rediss?:\/\/./.test(value) || !URL.canParse(value)) return false;
  try {
    decodeURIComponent(value);
    return true;
  } catch {
    return false;
  }
}

/** The options of a Redis store. */
export const redisStoreOptions = {
  client: {
    default: undefined, expected: 'a Redis or Cluster of ioredis', accepts: isClient,
    meaning: 'Whose settings are used: connections of the store\'s own are made like it. It is neither used nor closed. Either this or `url`.',
  } satisfies OptionSpec<Redis | Cluster | undefined> as OptionSpec<Redis | Cluster | undefined>,
  url: {
    default: undefined, secret: true, expected: 'a URL that begins with redis:// or rediss://, with user and password percent-encoded',
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

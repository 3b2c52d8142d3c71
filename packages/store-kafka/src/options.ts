import { count, milliseconds, name, resolveOptions, shown, type OptionSpec, type OptionSpecs, type ResolvedOptions } from '@cluster/core/driver';
import type { KafkaPort } from './port.js';

// Types of kafkajs do not stand here: an application that checks its libraries with exactOptionalPropertyTypes cannot compile them.

/** Options of kafkajs' `Kafka`. */
export interface KafkaConnect {
  readonly brokers: readonly string[] | (() => readonly string[] | Promise<readonly string[]>);
  readonly clientId?: string;
  /** True, or what node:tls takes. */
  readonly ssl?: boolean | object;
  /** `{ mechanism: 'scram-sha-512', username, password }`, or what else kafkajs takes. */
  readonly sasl?: object;
  readonly connectionTimeout?: number;
  readonly authenticationTimeout?: number;
  readonly reauthenticationThreshold?: number;
  readonly requestTimeout?: number;
  /** Makes a socket; a function as kafkajs takes it. */
  readonly socketFactory?: (address: { host: string; port: number; ssl: never; onConnect: () => void }) => unknown;
}

/** kafkajs cuts at the first colon. */
const isBroker = (value: unknown): boolean => typeof value === 'string' && /^[\w.-]+:\d{1,5}$/.test(value);

/** Of a list the first entry that is wrong; of an address nothing that stands before the `@`. */
function wrongBroker(value: unknown): string {
  const wrong: unknown = Array.isArray(value) && value.length > 0 ? value.find((each) => !isBroker(each)) : value;
  return shown(typeof wrong === 'string' && !wrong.includes('://') ? wrong.replace(/^.*@/s, '***@') : wrong);
}

const isFilled = (value: unknown): boolean => typeof value === 'string' && value !== '';

const SASL: Readonly<Record<string, readonly string[]>> = {
  'plain': ['username', 'password'], 'scram-sha-256': ['username', 'password'], 'scram-sha-512': ['username', 'password'],
  'aws': ['authorizationIdentity', 'accessKeyId', 'secretAccessKey'], 'oauthbearer': ['oauthBearerProvider'],
};

/** Undefined: nothing. No value is shown but the mechanism. */
function wrongInSasl(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return value === null ? 'null' : `a ${typeof value}`;
  const { mechanism, authenticationProvider, ...rest } = value as Readonly<Record<string, unknown>>; // any object has such
  if (typeof mechanism !== 'string') return 'no mechanism';
  if (typeof authenticationProvider === 'function') return undefined;
  const missing = SASL[mechanism.toLowerCase()]?.filter((field) => !(field.endsWith('Provider') ? typeof rest[field] === 'function' : isFilled(rest[field])));
  if (missing === undefined) return `the mechanism ${shown(mechanism)}`;
  return missing.length === 0 ? undefined : `'${mechanism}' without ${missing.join(' and ')}`;
}

/** What kafkajs is given to connect with. */
export const kafkaConnectOptions = {
  brokers: {
    default: [], required: true, expected: "a list of addresses, 'host:port' each, or a function that makes one", shown: wrongBroker,
    accepts: (value) => typeof value === 'function' || (Array.isArray(value) && value.length > 0 && value.every(isBroker)),
    meaning: 'Some of the brokers; the others are learned from them.',
  } satisfies OptionSpec<KafkaConnect['brokers']> as OptionSpec<KafkaConnect['brokers']>,
  clientId: { default: 'cluster', expected: 'a name', accepts: isFilled, meaning: "Names this application in the brokers' logs and quotas." } satisfies OptionSpec<string>,
  ssl: {
    default: undefined, secret: true, expected: 'true, false, or what node:tls takes', accepts: (value) => typeof value === 'boolean' || (typeof value === 'object' && value !== null),
    meaning: 'TLS: true, or an object with `ca`, `cert`, `key`.',
  } satisfies OptionSpec<boolean | object | undefined> as OptionSpec<boolean | object | undefined>,
  sasl: {
    default: undefined, shown: (value) => wrongInSasl(value) ?? '', accepts: (value) => wrongInSasl(value) === undefined,
    expected: "{ mechanism: 'plain', 'scram-sha-256' or 'scram-sha-512', username, password }, or what kafkajs takes for 'aws', 'oauthbearer' or an authenticationProvider",
    meaning: "The user: `{ mechanism: 'scram-sha-512', username, password }`.",
  } satisfies OptionSpec<object | undefined> as OptionSpec<object | undefined>,
  connectionTimeout: milliseconds(2_000, 'How long a connection may take.', 1),
  authenticationTimeout: milliseconds(2_000, 'How long the user may take to be recognized.', 1),
  reauthenticationThreshold: milliseconds(10_000, 'So long before it is over the recognition of the user is renewed.'),
  requestTimeout: milliseconds(2_000, 'How long an answer may take.', 1),
  socketFactory: {
    default: undefined, expected: "a function, as kafkajs' socketFactory", accepts: (value) => typeof value === 'function', meaning: 'Makes the sockets.',
  } satisfies OptionSpec<KafkaConnect['socketFactory']> as OptionSpec<KafkaConnect['socketFactory']>,
} as const satisfies OptionSpecs;

/** With every default filled in. */
export type Connection = ResolvedOptions<typeof kafkaConnectOptions>;

const OWN = "leave it out: with others than the store's own, acknowledged changes can be lost";

/** @throws ClusterError CLUSTER_BAD_OPTION naming each entry that is not as expected, and no secret */
export const connectionOf = (connect: KafkaConnect): Connection =>
  resolveOptions('KafkaStore: connect', kafkaConnectOptions, connect, { hints: { retry: OWN, idempotent: OWN, transactionalId: OWN, acks: OWN } });

/** The options of a Kafka store. */
export const kafkaStoreOptions = {
  connect: {
    default: undefined, secret: true, expected: "an object, the options of kafkajs' Kafka", accepts: (value) => typeof value === 'object' && value !== null,
    meaning: "What kafkajs' `Kafka` is given, the `KafkaConnectOptions`: `{ brokers: ['a:9092', 'b:9092'], ssl, sasl }`. Either this or `client`.",
  } satisfies OptionSpec<KafkaConnect | undefined> as OptionSpec<KafkaConnect | undefined>,
  client: {
    default: undefined, expected: 'a function that makes a client of Kafka as the store needs it',
    accepts: (value) => typeof value === 'function',
    meaning: 'Makes another client than kafkajs, a `KafkaPort`; called at each start, and what it made is closed by `stop`. Either this or `connect`.',
  } satisfies OptionSpec<(() => KafkaPort) | undefined> as OptionSpec<(() => KafkaPort) | undefined>,
  topic: {
    default: 'cluster', expected: '1 to 64 of the characters A-Z a-z 0-9 . _ -', accepts: (value) => typeof value === 'string' && /^[\w.-]{1,64}$/.test(value) && !/^\.+$/.test(value),
    meaning: 'The topic; made if it is not there, else it must be as the options say. Contexts may share one, and read each other\'s records then.',
  } satisfies OptionSpec<string> as OptionSpec<string>,
  partitions: count(1, 'How many partitions it has, for ever. Each instance reads all of them, so more of them share no load.', 1),
  replicas: count(3, 'How many brokers keep it; most of them must have a change before it is acknowledged. 1 on a single broker.', 1),
  maxBytes: count(1_073_741_824, 'At so many bytes of sessions in memory no new ones are taken (`CLUSTER_FULL`); every instance has all of them.', 1),
  instanceId: name(undefined, 'Name of this instance in locks and signals. Default: a random one.'),
} as const satisfies OptionSpecs;

/** Options of a Kafka store: `connect` or `client` is required. */
export type KafkaStoreOptions = {
  readonly topic?: string;
  readonly partitions?: number;
  readonly replicas?: number;
  readonly maxBytes?: number;
  readonly instanceId?: string;
} & ({ readonly connect: KafkaConnect } | { readonly client: () => KafkaPort });

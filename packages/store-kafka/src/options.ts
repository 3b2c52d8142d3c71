import { count, name, type OptionSpec, type OptionSpecs } from '@cluster/core/driver';
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

const CONNECT = [
  'brokers', 'clientId', 'ssl', 'sasl', 'connectionTimeout', 'authenticationTimeout', 'reauthenticationThreshold', 'requestTimeout', 'socketFactory',
];

/** The options of a Kafka store. */
export const kafkaStoreOptions = {
  connect: {
    default: undefined, secret: true,
    expected: `the options of kafkajs' Kafka, of which ${CONNECT.join(', ')} (no retry, idempotent, transactionalId or acks: with others than the store's own, acknowledged changes can be lost)`,
    accepts: (value) => typeof value === 'object' && value !== null && !Array.isArray(value) && 'brokers' in value && Object.keys(value).every((key) => CONNECT.includes(key)),
    meaning: "What kafkajs' `Kafka` is given: `{ brokers: ['a:9092', 'b:9092'], ssl, sasl }`. Either this or `client`.",
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

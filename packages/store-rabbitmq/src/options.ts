import { count, name, shown, type OptionSpec, type OptionSpecs } from '@cluster/core/driver';

const isUrl = (value: unknown): value is string => typeof value === 'string' && /^amqps?:\/\//.test(value) && URL.canParse(value);

/** Without any of it that may be a password. */
function shownUrl(value: unknown): string {
  if (typeof value !== 'string') return shown(value);
  const [scheme] = /^[a-z]+:\/\//i.exec(value) ?? [];
  if (scheme === undefined) return 'a text without amqp:// at its begin';
  return /^amqps?:\/\/$/.test(scheme) ? 'one that cannot be taken apart (are user and password percent-encoded?)' : `one that begins with ${scheme}`;
}

function shownUrls(value: unknown): string {
  if (!Array.isArray(value)) return typeof value === 'string' ? 'a text' : shown(value);
  const at = value.findIndex((each) => !isUrl(each));
  return at < 0 ? 'an empty list' : `as urls[${at}] ${shownUrl(value[at])}`;
}

const LEAST_BYTES = 1_048_576;
/** A segment of the stream is 9/8 of it (rabbit-log.ts), and RabbitMQ takes 3 GB at most. */
const MOST_BYTES = 2_666_666_666;

/** The options of a RabbitMQ store. */
export const rabbitStoreOptions = {
  urls: {
    default: [], required: true, shown: shownUrls, expected: "a list of amqp:// or amqps:// URLs, such as ['amqp://user:password@a:5672/vhost']",
    accepts: (value) => Array.isArray(value) && value.length > 0 && value.every(isUrl),
    meaning: "Nodes of the broker, as `['amqp://user:password@a:5672/vhost']`; the next one is tried when one cannot be reached.",
  } satisfies OptionSpec<readonly string[]> as OptionSpec<readonly string[]>,
  socket: {
    default: {}, expected: "an object, as amqplib's connect takes it, without recovery", shown: (value) => (typeof value === 'string' ? 'a text' : shown(value)),
    accepts: (value) => typeof value === 'object' && value !== null && !Array.isArray(value) && !('recovery' in value),
    meaning: "What amqplib's `connect` takes beside the URL: `ca`, `cert`, `key`, `servername`, `credentials`. Without its `recovery`: the store has its own.",
  } satisfies OptionSpec<object> as OptionSpec<object>,
  stream: {
    default: 'cluster', expected: '1 to 64 of the characters A-Z a-z 0-9 . _ -', accepts: (value) => typeof value === 'string' && /^[\w.-]{1,64}$/.test(value),
    meaning: 'Each context has a stream of its own, `<stream>.<context>`; made if it is not there, else it must be as the options say.',
  } satisfies OptionSpec<string> as OptionSpec<string>,
  replicas: count(1, 'How many nodes keep it; most of them must have a change before it is acknowledged. In a cluster 3, and no more than it has nodes.', 1),
  maxBytes: {
    default: 268_435_456, expected: `a whole number from ${LEAST_BYTES} to ${MOST_BYTES}`,
    accepts: (value) => Number.isInteger(value) && (value as number) >= LEAST_BYTES && (value as number) <= MOST_BYTES, // an integer is a number
    meaning: 'At so many bytes of sessions no new ones are taken (`CLUSTER_FULL`): every instance has all of them in memory. The stream takes up to nine times as many on the disk. To change it, delete the stream: all sessions end.',
  } satisfies OptionSpec<number> as OptionSpec<number>,
  instanceId: name(undefined, 'Name of this instance in locks and signals. Default: a random one.'),
} as const satisfies OptionSpecs;

/** Options of a RabbitMQ store: `urls` is required. */
export interface RabbitStoreOptions {
  readonly urls: readonly string[];
  readonly socket?: object;
  readonly stream?: string;
  readonly replicas?: number;
  readonly maxBytes?: number;
  readonly instanceId?: string;
}

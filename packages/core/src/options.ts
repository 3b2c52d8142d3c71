import { inspect } from 'node:util';
import { systemClock, type Clock } from './clock.js';
import { textCodec, type Codec } from './codec.js';
import { ClusterError } from './errors.js';
import type { ManagerEvents } from './events.js';
import { nearest } from './nearest.js';

/** One option: its default, what it accepts (in words and as a test), and what it does. Tables in the docs are made of these. */
export interface OptionSpec<T> {
  /** Undefined where there is none. */
  readonly default: T;
  /** What is accepted, in words: completes "expected …". */
  readonly expected: string;
  readonly accepts: (value: unknown) => boolean;
  readonly meaning: string;
  readonly required?: boolean;
  /** The value is a secret: errors do not show it. */
  readonly secret?: boolean;
  /** How errors show the value, where parts of it may be secret. */
  readonly shown?: (value: unknown) => string;
}

// `never` would reject every spec; the value types are recovered by ResolvedOptions.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type OptionSpecs = Readonly<Record<string, OptionSpec<any>>>;

/** The options with every default filled in. */
export type ResolvedOptions<S extends OptionSpecs> = { readonly [K in keyof S]: S[K] extends OptionSpec<infer T> ? T : never };

/** A value as an error shows it: of an object its class or the names in it, of an address nothing that stands before the `@`; at most 60 characters. */
export function shown(value: unknown): string {
  const text = typeof value === 'string' ? inspect(value.includes('://') ? masked(value) : value) : typeof value === 'object' && value !== null ? outlineOf(value) : inspect(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** What stood before the last `@` of an address may be a name and a password. */
const masked = (text: string) => text.replace(/^([^@]*:\/\/)?.*@/s, '$1***@');

function outlineOf(value: object): string {
  if (Array.isArray(value)) return `an array of ${value.length}`;
  const { constructor } = value as { readonly constructor?: unknown };
  if (typeof constructor === 'function' && constructor !== Object) return constructor.name;
  const names = Object.keys(value);
  return names.length === 0 ? '{}' : `{ ${names.join(', ')} }`;
}

/** What was given in place of options: an address, a client. */
function shownInPlace(given: unknown): string {
  if (typeof given === 'string') return shown(masked(given));
  return hasClass(given) && !Array.isArray(given) ? `an object of the class ${shown(given)}` : shown(given);
}

/** What a value is, where errors must not show it. */
function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (value === '') return 'an empty string';
  return Array.isArray(value) ? 'an array' : typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

const shownAddress = (value: unknown) => (typeof value === 'string' ? shown(masked(value)) : kindOf(value));

/** What stands in errors about what is no option. */
interface OtherNames {
  /** The least that there can be, as an example for who gave a client or an address in place of an object. */
  readonly like?: string;
  /** Which there are; default: those of the specs. */
  readonly known?: readonly string[];
  /** What to do in place of options that other libraries have. */
  readonly hints?: Readonly<Record<string, string>>;
}

const MOST_LISTED = 10;

function noSuchOption(name: string, known: readonly string[], hints: Readonly<Record<string, string>>): string {
  const hint = Object.hasOwn(hints, name) ? hints[name] : undefined;
  const near = nearest(name, known);
  const advice = hint ?? (near !== undefined ? `did you mean ${near}?` : known.length <= MOST_LISTED ? `known are ${known.join(', ')}` : 'see the table of options in the documentation');
  return `${name}: no such option; ${advice}`;
}

/** Whether it is an object, and no plain one: the class of those has the same name in every realm. */
const hasClass = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && typeof value.constructor === 'function' && value.constructor.name !== 'Object';

/** Whether it can be an object of options; of a class, such as a client, only with one of their names. */
const areOptions = (given: unknown, known: readonly string[]): given is object =>
  typeof given === 'object' && given !== null && (!hasClass(given) || Object.keys(given).some((name) => known.includes(name)));

/**
 * Fills in defaults and checks every option at once. An explicit `undefined` counts as left out.
 * @throws ClusterError CLUSTER_BAD_OPTION naming each unknown, missing or unacceptable option, with what was expected and found
 */
export function resolveOptions<S extends OptionSpecs>(
  owner: string, specs: S, given: object | undefined, { like, known = Object.keys(specs), hints = {} }: OtherNames = {},
): ResolvedOptions<S> {
  const problems: string[] = [];
  const resolved: Record<string, unknown> = {};
  if (given !== undefined && !areOptions(given, known)) {
    throw new ClusterError('CLUSTER_BAD_OPTION', `${owner}: expected an object of options${like === undefined ? '' : `, such as ${like}`}, found ${shownInPlace(given)}`);
  }
  const values = new Map<string, unknown>(Object.entries(given ?? {}).filter(([, value]) => value !== undefined));
  for (const [name, spec] of Object.entries<OptionSpec<unknown>>(specs)) {
    const value = values.get(name);
    if (!values.has(name)) {
      if (spec.required === true) problems.push(`${name} is required: expected ${spec.expected}`);
      resolved[name] = spec.default;
    } else if (spec.accepts(value)) {
      resolved[name] = value;
    } else {
      problems.push(`${name}: expected ${spec.expected}, found ${spec.secret === true ? kindOf(value) : (spec.shown ?? shown)(value)}`);
    }
    values.delete(name);
  }
  for (const unknown of values.keys()) problems.push(noSuchOption(unknown, known, hints));
  if (problems.length > 0) throw new ClusterError('CLUSTER_BAD_OPTION', `${owner}: ${problems.join('; ')}`);
  // Each key was checked by its own spec above, which the compiler cannot follow.
  return Object.freeze(resolved) as ResolvedOptions<S>;
}

const MAX_TIMER_MS = 2_147_483_647;
/** A hundred years: for what no timer counts. */
const MAX_LIFE_MS = 3_155_760_000_000;

/** A whole number of milliseconds from `min` up, as timers can count them unless `max` says otherwise. */
export function milliseconds(defaultMs: number, meaning: string, min = 0, max = MAX_TIMER_MS): OptionSpec<number> {
  return {
    default: defaultMs, meaning, expected: `a whole number of ms from ${min} to ${max}`,
    accepts: (value) => Number.isInteger(value) && (value as number) >= min && (value as number) <= max,
  };
}

/** A whole number from `min` up. */
export function count(defaultCount: number, meaning: string, min = 0): OptionSpec<number> {
  return {
    default: defaultCount, meaning, expected: `a whole number from ${min} up`,
    accepts: (value) => Number.isSafeInteger(value) && (value as number) >= min,
  };
}

/** One of the given words. */
export function oneOf<const T extends string>(words: readonly [T, ...T[]], meaning: string): OptionSpec<T> {
  return {
    default: words[0], meaning, expected: `one of ${words.map((word) => `'${word}'`).join(', ')}`,
    accepts: (value) => (words as readonly unknown[]).includes(value),
  };
}

/** A name that may stand in keys and addresses. */
export function name(defaultName: string, meaning: string): OptionSpec<string>;
export function name(defaultName: undefined, meaning: string): OptionSpec<string | undefined>;
export function name(defaultName: string | undefined, meaning: string): OptionSpec<string | undefined> {
  return {
    default: defaultName, meaning, expected: '1 to 64 of the characters A-Z a-z 0-9 _ -',
    accepts: (value) => typeof value === 'string' && /^[A-Za-z0-9_-]{1,64}$/.test(value),
  };
}

/** Whether a value is an object with these methods. */
export const hasMethods = (...methods: string[]) => (value: unknown) =>
  typeof value === 'object' && value !== null && methods.every((method) => typeof Reflect.get(value, method) === 'function');

export type LockAnswer = 'wait' | 'error' | 'redirect';
export type OnLocked = LockAnswer | ((lock: ManagerEvents['waiting']) => LockAnswer);

export const isLockAnswer = (value: unknown): value is LockAnswer => value === 'wait' || value === 'error' || value === 'redirect';

/** The address of an instance as `scheme://host[:port]`; undefined for anything that is more or less than that. */
export function originOf(value: unknown): string | undefined {
  // URL itself mends what is not quite an address: 'http:x.com', blanks, a lone '#'.
  return typeof value === 'string' && /^https?:\/\/[^\s/\\?#@]+\/?$/i.test(value) && URL.canParse(value) ? new URL(value).origin : undefined;
}

interface InMemory { readonly sessions?: number; readonly bytes?: number }

export const defaultBounds = { sessions: 100_000, bytes: 268_435_456 } as const;

/** The options of a manager; `session({...})` takes them flat. */
export const managerOptions = {
  context: name('default', 'The application whose sessions these are. Two contexts never see each other\'s.'),
  idleTimeoutMs: milliseconds(1_800_000, 'A session ends this long after its last use.', 1, MAX_LIFE_MS),
  absoluteTimeoutMs: milliseconds(0, 'A session ends this long after its creation, used or not; 0: never.', 0, MAX_LIFE_MS),
  lockTimeoutMs: milliseconds(15_000, 'How long a request waits for a session that another one has.'),
  lockHoldMs: milliseconds(30_000, 'A request that has had a session locked for this long while others wait is cut off: it can change nothing more. 0: never.'),
  onLocked: {
    default: 'wait', expected: "'wait', 'error', 'redirect' or a function of the lock",
    accepts: (value) => typeof value === 'function' || isLockAnswer(value),
    meaning: 'When another request has the session: `wait`: up to `lockTimeoutMs`; `error`: fail at once; `redirect`: wait, but go to the instance whose request has it if that names a `publicUrl`; a function answers one of these, once per request.',
  } satisfies OptionSpec<OnLocked> as OptionSpec<OnLocked>,
  publicUrl: {
    default: undefined, expected: "an http or https address without path, query or credentials, like 'https://www2.example.com'",
    accepts: (value) => value === undefined || originOf(value) !== undefined,
    shown: shownAddress,
    meaning: 'Where browsers reach this instance alone; the others redirect to it.',
  } satisfies OptionSpec<string | undefined> as OptionSpec<string | undefined>,
  onConflict: oneOf(['merge', 'error'], 'When a snapshot request changed what somebody else changed meanwhile: `merge`: the attributes it wrote win, and an event names them; `error`: nothing is stored.'),
  affinity: oneOf(['auto', 'keep', 'release'], 'Whether an instance keeps a lock between two requests: `auto` goes by where requests arrive.'),
  leaseMs: milliseconds(10_000, 'An instance that is silent for this long loses what it holds. The same on all instances; to change it stop all of them for three times as long.', 100),
  readLeaseMs: milliseconds(200, 'How long after a beat an instance may answer from memory; 0: ask the store each time. The same on all instances, as `leaseMs`.'),
  storeTimeoutMs: milliseconds(2_000, 'How long one call to the store may take before its outcome counts as unknown. A new session that is not stored by then is given up.', 1),
  maxWaiting: count(64, 'How many requests may wait for one session on one instance.'),
  maxRecordBytes: count(1_048_576, 'How large the encoded content of one session may be.', 1),
  maxInMemory: {
    default: defaultBounds as InMemory,
    expected: 'an object { sessions?, bytes? } of whole numbers from 1 up',
    accepts: (value) => typeof value === 'object' && value !== null
      && Object.entries(value).every(([key, limit]) => (key === 'sessions' || key === 'bytes') && Number.isSafeInteger(limit) && (limit as number) > 0),
    meaning: 'Bounds of what one instance keeps of idle sessions; the least recently used leave first.',
  } satisfies OptionSpec<InMemory> as OptionSpec<InMemory>,
  onUnreadable: oneOf(['error', 'absent'], 'When a stored record cannot be read: `error`: the request fails; `absent`: the session counts as gone.'),
  codec: {
    default: textCodec, expected: 'a codec { name, encode(value), decode(encoded) }',
    accepts: (value) => hasMethods('encode', 'decode')(value) && typeof Reflect.get(value as object, 'name') === 'string',
    meaning: 'How attribute values are encoded. The default is text that people can read.',
  } satisfies OptionSpec<Codec> as OptionSpec<Codec>,
  clock: {
    default: systemClock, expected: 'a Clock', accepts: hasMethods('monotonicMs', 'wallMs', 'timer', 'randomHex'),
    meaning: 'Where time and chance come from; another one only in tests.',
  } satisfies OptionSpec<Clock> as OptionSpec<Clock>,
} as const satisfies OptionSpecs;

/** Options of a manager, each with its default. */
export type ManagerOptions = { readonly [K in keyof typeof managerOptions]?: ResolvedOptions<typeof managerOptions>[K] };
export type ResolvedManagerOptions = ResolvedOptions<typeof managerOptions>;

/** @throws ClusterError CLUSTER_BAD_OPTION naming every option that is not as expected, or does not go with another one */
export function resolveManagerOptions(given: ManagerOptions): ResolvedManagerOptions {
  const options = resolveOptions('DistributedManager', managerOptions, given);
  const { leaseMs, readLeaseMs, onLocked, publicUrl } = options;
  const problems: string[] = [];
  if (readLeaseMs * 2 > leaseMs) problems.push(`readLeaseMs: expected at most half of leaseMs (${leaseMs}), found ${readLeaseMs}`);
  if (onLocked === 'redirect' && publicUrl === undefined) problems.push(`publicUrl is required with onLocked 'redirect': expected ${managerOptions.publicUrl.expected}, of this instance alone`);
  if (problems.length > 0) throw new ClusterError('CLUSTER_BAD_OPTION', `DistributedManager: ${problems.join('; ')}`);
  return options;
}

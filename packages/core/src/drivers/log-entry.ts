import { ClusterError } from '../errors.js';

/** Version of the layout below. */
const FORMAT = 1;

/**
 * What a record of a session log says. All times are those of the partition's clock.
 *
 * - `put`: the whole content of a key. `n` is one more than that of the content it was made of.
 * - `touch`: the key's content lives for `forMs` more, if no other put began its lifetime anew since `era`.
 * - `barrier`: nothing; its writer waits to read it.
 * - `message`: a signal.
 * - `begin`, `kept`, `end`: a snapshot, for who begins to read in the middle (log-snapshots.ts).
 */
export type LogEntry =
  | {
    readonly kind: 'put'; readonly n: number; readonly text: string;
    /** It is void if it gets into the log later. */
    readonly byMs: number;
    /** It expires so long after it got into the log. */
    readonly forMs: number;
    /** `n` of the put that began the present lifetime. */
    readonly era: number;
    /** When the session got into the log; left out by the put that makes it. */
    readonly bornMs?: number | undefined;
  }
  | { readonly kind: 'touch'; readonly byMs: number; readonly forMs: number; readonly era: number }
  | { readonly kind: 'barrier'; readonly serial: number }
  | { readonly kind: 'message'; readonly text: string }
  | {
    readonly kind: 'begin'; readonly id: string;
    /** The position up to which its writer had read, and the latest time of a record up to there. */
    readonly after: number; readonly nowMs: number;
  }
  | KeptEntry
  | { readonly kind: 'end'; readonly id: string; /** So many were kept. */ readonly count: number };

/** The content that a key had where the snapshot begins, with the times that it had. */
export interface KeptEntry {
  readonly kind: 'kept'; readonly id: string;
  readonly n: number; readonly era: number; readonly text: string; readonly bornMs: number; readonly timeMs: number; readonly untilMs: number;
  /** If it was touched since its lifetime began. */
  readonly touched?: { readonly usedMs: number; readonly untilMs: number } | undefined;
}

const END_OF_KEY = '#';

/**
 * Under which key an entry stands in the log: one of its own, so that the log removes it only when it is told to. What it removed
 * by itself, the older of two, might be the one that counts.
 */
export const logKey = (key: string, own: string): string => `${key}${END_OF_KEY}${own}`;

/** The key that an entry is about. */
export function keyOf(written: string): string {
  const end = written.indexOf(END_OF_KEY);
  return end < 0 ? written : written.slice(0, end);
}

/** A head in JSON, a line's end, and the text as it is: who folds a log needs the head alone. */
export function writeEntry(entry: LogEntry): string {
  const { text, ...head } = { text: '', ...entry };
  return `${JSON.stringify({ format: FORMAT, ...head })}\n${text}`;
}

/** @throws ClusterError CLUSTER_UNREADABLE or CLUSTER_FOREIGN_VERSION; messages never quote the content */
export function readEntry(value: string): LogEntry {
  const end = value.indexOf('\n');
  const head = parsed(end < 0 ? value : value.slice(0, end));
  if (head.format !== FORMAT) {
    throw new ClusterError('CLUSTER_FOREIGN_VERSION', `a record of the session log: expected format ${FORMAT}, found ${String(head.format)}`);
  }
  const kind = String(head.kind);
  const numbers = NUMBERS[kind];
  if (numbers === undefined) throw unreadable('its kind is not known');
  if (numbers.some((name) => typeof head[name] !== 'number')) throw unreadable(`one of ${numbers.join(', ')} is no number`);
  return (WITH_TEXT.has(kind) ? { ...head, text: value.slice(end + 1) } : head) as unknown as LogEntry; // its fields were just looked at
}

const NUMBERS: Readonly<Record<string, readonly string[]>> = {
  put: ['n', 'byMs', 'forMs', 'era'], touch: ['byMs', 'forMs', 'era'], barrier: ['serial'], message: [],
  begin: ['after', 'nowMs'], kept: ['n', 'era', 'bornMs', 'timeMs', 'untilMs'], end: ['count'],
};
const WITH_TEXT: ReadonlySet<string> = new Set(['put', 'message', 'kept']);

const unreadable = (what: string): ClusterError => new ClusterError('CLUSTER_UNREADABLE', `a record of the session log cannot be read: ${what}`);

function parsed(head: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(head);
    if (typeof value === 'object' && value !== null) return value as Readonly<Record<string, unknown>>; // every field is checked where it is read
  } catch {
    // said below: the parser's message would quote the content
  }
  throw unreadable('its head is not JSON');
}

import type { LogRecord, SessionLog } from '@cluster/core/driver';
import { changed } from './changed.js';
import type { NamedMutation } from './mutations.js';
import type { PlanChange } from './plan.js';

// Rules of a log's reader that are taken away by changing what the log shows it: the records are those of the table in core.

interface Stored { readonly kind: string; readonly stamp?: { readonly grant: string }; readonly holder?: { readonly grant: string } }
interface Head { readonly kind: string; readonly n: number }

const isPut = (value: string | undefined): value is string => value?.startsWith('{"format":1,"kind":"put"') === true;
const isBarrier = (key: string): boolean => key.includes('.b#');

/** Each record as `edit` has it. */
const edited = (inner: SessionLog, edit: (record: LogRecord) => LogRecord): SessionLog =>
  changed(inner, { follow: (partition, take) => inner.follow(partition, (record) => { take(edit(record)); }) });

function withHead(record: LogRecord, change: (head: Head, stored: Stored) => object): LogRecord {
  const { key, value } = record;
  if (!isPut(value) || !key.includes('.s.')) return record;
  const end = value.indexOf('\n');
  const text = value.slice(end + 1);
  const head = JSON.parse(value.slice(0, end)) as Head; // written by core's table
  return { ...record, value: `${JSON.stringify({ ...head, ...change(head, JSON.parse(text) as Stored) })}\n${text}` }; // likewise
}

const isClaim = ({ kind, stamp, holder }: Stored): boolean => kind === 'record' && holder !== undefined && holder.grant !== stamp?.grant;

/** Records of some kind count whatever they were made of. */
const countsAlways = (which: (stored: Stored) => boolean) => (inner: SessionLog): SessionLog =>
  edited(inner, (record) => withHead(record, ({ n }, stored) => ({ n: which(stored) ? record.position + 1 : n })));

/** Shows records that are not in the log, at once, and numbers what comes later accordingly. */
class Shown {
  #shift = 0;
  #last = -1;
  #timeMs = 0;

  constructor(private readonly give: (record: LogRecord) => void) {}

  get hasBegun(): boolean { return this.#last >= 0; }

  take(record: LogRecord): void {
    if (record.position <= this.#last) return;
    this.#last = record.position;
    this.#timeMs = record.timeMs;
    this.give({ ...record, position: record.position + this.#shift });
  }

  insert(key: string, value: string | undefined): void {
    this.#shift += 1;
    this.give({ key, value, timeMs: this.#timeMs, position: this.#last + this.#shift });
  }
}

function showing(inner: SessionLog, append: (shown: Shown | undefined, ...args: Parameters<SessionLog['append']>) => Promise<void>): SessionLog {
  const shown = new Map<number, Shown>();
  return changed(inner, {
    append: (partition, key, value) => append(shown.get(partition), partition, key, value),
    follow: (partition, take) => {
      const own = new Shown(take);
      shown.set(partition, own);
      return inner.follow(partition, (record) => { own.take(record); });
    },
  });
}

const acknowledgedIsDone = (inner: SessionLog): SessionLog => showing(inner, async (shown, partition, key, value) => {
  await inner.append(partition, key, value);
  if (isPut(value)) shown?.insert(key, value);
});

const barrierAside = (inner: SessionLog): SessionLog => showing(inner, async (shown, partition, key, value) => {
  if (!isBarrier(key) || shown?.hasBegun !== true) return inner.append(partition, key, value);
  await Promise.resolve();
  shown.insert(key, value);
});

/** Every record of a session under the session's own key: of two the log keeps the later one, whatever it says. */
const oneKey = (inner: SessionLog): SessionLog => changed(inner, {
  append: async (partition, key, value) => {
    if (!key.includes('.s.')) return inner.append(partition, key, value);
    if (value !== undefined) await inner.append(partition, `${key.split('#')[0] ?? ''}#`, `${value}\n${key}`);
  },
  follow: (partition, take) => inner.follow(partition, (record) => {
    const end = record.value?.lastIndexOf('\n') ?? -1;
    take(record.key.includes('.s.') ? { ...record, key: record.value?.slice(end + 1) ?? record.key, value: record.value?.slice(0, end) } : record);
  }),
});

/** A reader that does not notice that records are missing. */
const gapsUnseen = (inner: SessionLog): SessionLog => changed(inner, {
  follow: (partition, take) => {
    let last = -1;
    let count = -1;
    return inner.follow(partition, (record) => {
      if (record.position <= last) return;
      last = record.position;
      count += 1;
      take({ ...record, position: count });
    });
  },
});

/** A client that repeats what it was told is there, as it was. */
const repeatedAsItIs = (inner: SessionLog): SessionLog => changed(inner, {
  append: async (partition, key, value) => {
    await inner.append(partition, key, value);
    if (isPut(value)) inner.append(partition, key, value).catch(() => undefined);
  },
});

/** Whoever begins in the middle takes what is left for all that there was. */
const nothingBefore = (inner: SessionLog): SessionLog => changed(inner, {
  follow: (partition, take) => {
    let first: number | undefined;
    return inner.follow(partition, (record) => {
      first ??= record.position;
      take({ ...record, position: record.position - first });
    });
  },
});

/** A snapshot some of whose records did not get into the log is finished all the same. */
function snapshotWithHoles(inner: SessionLog): SessionLog {
  let missing = 0;
  return changed(inner, {
    append: async (partition, key, value) => {
      const end = value?.indexOf('\n') ?? -1;
      const head = value === undefined ? {} : JSON.parse(value.slice(0, end)) as { kind?: string; count?: number }; // written by core's table
      if (head.kind === 'begin') missing = 0;
      if (head.kind === 'kept' && key.includes('.s.') && (missing += 1) > 0) return;
      const count = (head.count ?? 0) - missing;
      await inner.append(partition, key, head.kind === 'end' ? `${JSON.stringify({ ...head, count })}\n` : value);
    },
  });
}

const neverSnapshot = (inner: SessionLog): SessionLog => changed(inner, {
  append: (partition, key, value) => (value?.includes('"kind":"begin"') === true ? Promise.reject(new Error('no snapshots')) : inner.append(partition, key, value)),
});

const log: PlanChange = { store: 'log', workload: 'mixed', instances: 3, compaction: 0.1, retainedBytes: undefined };
const losing: PlanChange = { ...log, retainedBytes: 200_000, compaction: 0.4, face: 'manager', instances: 3, episodes: { crash: 60 }, episodeEveryMs: 1_000,
  options: { affinity: 'release' } };
const eager: PlanChange = { ...log, face: 'manager', sessions: 1, clients: 6, options: { affinity: 'release' }, mix: { post: 80, get: 20 } };

export const logMutations: readonly NamedMutation[] = [
  { name: 'log: a later claim wins', mutation: { log: countsAlways(isClaim) }, change: eager, requests: 300 },
  { name: 'log: a fenced write is applied', mutation: { log: countsAlways((stored) => !isClaim(stored)) }, requests: 300,
    change: { ...eager, weather: { late: 0.1, twice: 0.1, lateMs: 500 }, episodeEveryMs: 300 } },
  { name: 'log: own results are taken from the acknowledgement', mutation: { log: acknowledgedIsDone }, change: eager, requests: 300 },
  { name: 'log: a barrier that does not go through the log', mutation: { log: barrierAside }, change: eager, requests: 300 },
  { name: 'log: keys of which compaction keeps the wrong record', mutation: { log: oneKey }, requests: 300,
    change: { ...eager, compaction: 0.4, episodes: { crash: 40, pause: 20 }, episodeEveryMs: 300 } },
  { name: 'log: a record counts however late it comes', requests: 300,
    mutation: { log: (inner) => edited(inner, (record) => withHead(record, () => ({ byMs: Number.MAX_SAFE_INTEGER }))) },
    change: { ...log, workload: 'expiry', face: 'manager', sessions: 3, clients: 6, instances: 2, atTheEdge: 0.7, episodes: { pause: 40 }, episodeEveryMs: 1_000,
      weather: { late: 0.3, lateMs: 3_000 }, options: { idleTimeoutMs: 3_000 } } },
  { name: 'log: a client repeats a record under its key', mutation: { log: repeatedAsItIs }, requests: 300,
    change: { ...eager, compaction: 0.4, instances: 6, episodes: { crash: 60 }, episodeEveryMs: 300 } },
  { name: 'log: gaps are not seen', mutation: { log: gapsUnseen }, requests: 300,
    change: { ...eager, compaction: 0.4, episodes: { pause: 60 }, episodeEveryMs: 300, weather: { slow: 0.2, wayMs: 15 } } },
  { name: 'log: who begins in the middle needs no snapshot', mutation: { log: nothingBefore }, requests: 300, change: losing },
  { name: 'log: a snapshot that has holes', mutation: { log: snapshotWithHoles }, requests: 300, change: losing },
  { name: 'log: nobody writes a snapshot', mutation: { log: neverSnapshot }, requests: 300, change: { ...losing, episodes: { pause: 60 } } },
];

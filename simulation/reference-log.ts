import type { Encoded, LogRecord } from '@cluster/core/driver';
import type { Plan } from './plan.js';
import type { Random } from './random.js';
import type { Observer } from './reference-table.js';
import type { FaultCounts } from './weather.js';

const EPOCH_MS = 1_700_000_000_000;
/** A record without a value stays so long: longer than anybody is paused while he reads. */
const REMOVALS_KEPT_MS = 60_000;
const FORGOTTEN_MS = 60_000;

/** What a record's head says; written by the table over this log. */
interface Head { readonly kind: string; readonly n: number; readonly byMs: number; readonly forMs: number; readonly era: number }
interface SnapshotHead { readonly kind: string; readonly id: string; readonly after: number; readonly count: number }
interface Content { readonly n: number; readonly era: number; readonly text: string; untilMs: number }

/** What counts, by a second opinion: whoever reads all of the log as it grows sees this, and so must everybody else. */
class Judge {
  readonly contents = new Map<string, Content>();
  #latestMs = 0;

  constructor(private readonly observe: Observer, private readonly datedByWriters: boolean) {}

  see({ key: written, value, timeMs: ownMs }: LogRecord): void {
    if (value?.includes('"kind":"kept"') !== true) this.#latestMs = Math.max(this.#latestMs, ownMs);
    const timeMs = this.datedByWriters ? this.#latestMs : ownMs;
    const end = value?.indexOf('\n') ?? -1;
    if (value === undefined || end < 0) return;
    const { kind, n, byMs, forMs, era } = JSON.parse(value.slice(0, end)) as Head; // see above
    const key = written.slice(0, written.indexOf('#'));
    const before = this.contents.get(key);
    if (timeMs >= byMs) return;
    if (kind === 'touch' && before?.era === era) before.untilMs = Math.max(before.untilMs, timeMs + forMs);
    if (kind !== 'put' || (before !== undefined && timeMs < before.untilMs + FORGOTTEN_MS && n <= before.n)) return;
    const text = value.slice(end + 1);
    this.contents.set(key, { n, era, text, untilMs: Math.max(timeMs + forMs, before?.era === era ? before.untilMs : 0) });
    if (key.includes('.s.')) this.#show(key, text);
  }

  #show(key: string, text: string): void {
    // Written by the table over this log; what else is in it is not looked at.
    const { kind, stamp, attributes } = JSON.parse(text) as { kind: string; stamp: { grant: string; version: number }; attributes: Record<string, Encoded> };
    if (kind === 'record') this.observe(key, stamp, new Map(Object.entries(attributes)));
  }
}

/** `begin`, after what is there still, then as many keys as its `end` says. */
function hasSnapshot(records: readonly LogRecord[]): boolean {
  const begun = new Map<string, Set<string>>();
  for (const { key, value } of records) {
    const { kind, id = '', after = -1, count } = value === undefined ? {} : JSON.parse(value.split('\n')[0] ?? '') as Partial<SnapshotHead>; // written by the table over this log
    if (kind === 'begin' && after >= (records[0]?.position ?? 0) && !begun.has(id)) begun.set(id, new Set());
    if (kind === 'kept') begun.get(id)?.add(key.slice(0, key.indexOf('#')));
    if (kind === 'end' && begun.get(id)?.size === count) return true;
  }
  return false;
}

/** The log that all processes of one run read and write. Compaction may come at any moment, and removes what it may. */
export class LogSpace {
  readonly #partitions: LogRecord[][];
  readonly #nexts: number[];
  readonly #judge: Judge;
  readonly followers = new Set<() => void>();

  /** Before it the log need not be read. */
  readonly #forgotten: number[];
  readonly retainedBytes: number | undefined;
  private compaction: number;

  constructor(
    private readonly nowMs: () => number, private readonly random: Random, partitions: number, { compaction, retainedBytes }: Pick<Plan, 'compaction' | 'retainedBytes'>,
    private readonly faults: FaultCounts, observe: Observer,
  ) {
    [this.compaction, this.retainedBytes] = [compaction, retainedBytes];
    this.#partitions = Array.from({ length: partitions }, () => []);
    this.#nexts = this.#partitions.map(() => 0);
    this.#forgotten = this.#partitions.map(() => 0);
    this.#judge = new Judge(observe, retainedBytes !== undefined);
  }

  /** From now on nothing is removed. */
  calmDown(): void { this.compaction = 0; }

  get partitions(): number { return this.#partitions.length; }

  /** @param timeMs where records are dated by who appends them */
  append(partition: number, key: string, value: string | undefined, timeMs: number): void {
    const records = this.#partitions[partition];
    const position = this.#nexts[partition];
    if (records === undefined || position === undefined) throw new Error(`there is no partition ${partition}`);
    this.#nexts[partition] = position + 1;
    const record = { key, value, position, timeMs: this.retainedBytes === undefined ? EPOCH_MS + this.nowMs() : timeMs };
    records.push(record);
    this.#judge.see(record);
    if (this.random.chance(this.compaction)) this.#remove(partition);
    for (const follow of [...this.followers]) follow();
  }

  /** Where somebody begins to read. */
  beginning(partition: number): number { return this.random.chance(0.7) ? this.#forgotten[partition] ?? 0 : 0; }

  forget(partition: number, before: number): void {
    this.#forgotten[partition] = Math.max(this.#forgotten[partition] ?? 0, before);
    this.faults.add('written', 'snapshots');
  }

  /** The first record from a position on. */
  next(partition: number, from: number): LogRecord | undefined {
    const records = this.#partitions[partition] ?? [];
    let [low, high] = [0, records.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((records[middle]?.position ?? Infinity) < from) low = middle + 1;
      else high = middle;
    }
    return records[low];
  }

  /** Whether what is left tells a newcomer what there is: the first record, or a whole snapshot, unless it is compacted. By a second opinion. */
  get hasBeginning(): boolean { return this.retainedBytes === undefined || this.#partitions.every((records) => (records[0]?.position ?? 0) === 0 || hasSnapshot(records)); }

  hasEnded(leaseKey: string): boolean {
    const content = this.#judge.contents.get(leaseKey);
    return content === undefined || content.text === 'ended' || content.untilMs <= EPOCH_MS + this.nowMs();
  }

  #remove(partition: number): void {
    if (this.retainedBytes === undefined) this.#compact(partition, this.random.pick([0.2, 0.5, 1]));
    else this.#loseOldest(partition, this.retainedBytes);
  }

  #loseOldest(partition: number, retainedBytes: number): void {
    const records = this.#partitions[partition] ?? [];
    let bytes = 0;
    let first = records.length;
    while (first > 0 && bytes < retainedBytes) {
      first -= 1;
      bytes += (records[first]?.key.length ?? 0) + (records[first]?.value?.length ?? 0);
    }
    if (first > 0) this.faults.add('lost', 'oldest part');
    this.#partitions[partition] = records.slice(first);
  }

  /** Removes some of the records that have a later one under their key, whatever that says. */
  #compact(partition: number, share: number): void {
    const records = this.#partitions[partition] ?? [];
    const last = new Map(records.map(({ key, position }) => [key, position]));
    const first = new Set<string>();
    const nowMs = EPOCH_MS + this.nowMs();
    this.#partitions[partition] = records.filter(({ key, position, value, timeMs }) => {
      const isOver = last.get(key) === position
        ? value === undefined && !first.has(key) && timeMs + REMOVALS_KEPT_MS < nowMs : this.random.chance(share);
      if (!isOver) first.add(key);
      else this.faults.add('removed', value === undefined ? 'removals' : 'records');
      return !isOver;
    });
  }
}

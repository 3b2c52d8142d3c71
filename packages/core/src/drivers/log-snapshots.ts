import type { Clock } from '../clock.js';
import { keyOf, logKey, writeEntry, type KeptEntry, type LogEntry } from './log-entry.js';
import type { LogReducer, Verdict } from './log-reducer.js';
import type { LogRecord, SessionLog } from './session-log.js';

/** However little is there: reading so much takes a newcomer a moment. */
const LEAST_BYTES = 1_048_576;
const AT_ONCE = 64;
/** A snapshot that did not go on for so long was left by its writer. */
const LEFT_MS = 5_000;
/** One of its records is sent again so long after the log has refused it, or was sent and it said nothing. */
const AGAIN_MS = { refused: 500, silent: 2_000 } as const;
const RECORD_BYTES = 64;
/** No key of a session, which has a context before it. */
const END = 'end';

type Kept = Omit<KeptEntry, 'kind' | 'id'>;
type Begin = Extract<LogEntry, { kind: 'begin' }>;
type Part = Extract<LogEntry, { kind: 'kept' | 'end' }>;

const aboutOf = ({ key }: LogRecord, { kind }: Part): string => (kind === 'end' ? END : keyOf(key));

/** As a newcomer sees it: what its keys had, and which of the records kept aside came after it began. */
interface Begun { readonly nowMs: number; readonly state: Map<string, Kept>; readonly from: number }

/**
 * Snapshots of one partition of a log that loses its oldest part. A snapshot is the state where its `begin` stands in the log: whoever
 * writes it takes that state down when he reads his `begin`, and puts the keys after it, then `end`. Who reads from the first record on
 * takes no notice. Who begins in the middle keeps the records after a `begin` aside until its `end` shows that nothing of the
 * snapshot is missing; they then meet the state that they met for everybody else.
 */
export class LogSnapshots {
  /** Whether the reducer has the state that everybody has. */
  isFound = false;
  #firstPosition: number | undefined;
  #lastPosition = -1;
  #nowMs = -Infinity;
  readonly #begun = new Map<string, Begun>();
  #aside: { readonly record: LogRecord; readonly entry: LogEntry | undefined }[] = [];
  #bytes = 0;
  /** Where the last complete snapshot begins, by `#bytes`. */
  #coveredBytes = 0;
  #current: { readonly id: string; readonly atBytes: number; activeMs: number } | undefined;
  #failure: unknown;
  #own: { readonly id: string; readonly after: number; readonly sinceMs: number } | undefined;
  /** Of the own one: what was sent and not answered, by the key that it is about; called when it is read. */
  readonly #unanswered = new Map<string, () => void>();

  constructor(
    private readonly log: SessionLog, private readonly retainedBytes: number, private readonly partition: number, private readonly ownKey: string,
    private readonly clock: Clock, private readonly reducer: LogReducer,
  ) {}

  /** Before all else that is done with a record, of whichever context. */
  pass(position: number): void {
    this.#lastPosition = position;
    if (this.#firstPosition !== undefined) return;
    this.#firstPosition = position;
    this.isFound = position === 0;
    this.reducer.isComplete = this.isFound;
  }

  apply(record: LogRecord, entry: LogEntry | undefined, seenMs: number): Verdict {
    if (entry?.kind === 'kept') this.#begun.get(entry.id)?.state.set(keyOf(record.key), entry);
    else if (this.isFound) return this.reducer.apply(record, entry, seenMs);
    else this.#look(record, entry, seenMs);
    return 'refused';
  }

  /** Counts a record of anybody's, and what it says of snapshots. */
  note(record: LogRecord, entry: LogEntry | undefined): void {
    this.#bytes += RECORD_BYTES + record.key.length + Buffer.byteLength(record.value ?? '');
    const nowMs = this.clock.monotonicMs();
    if ((entry?.kind === 'kept' || entry?.kind === 'end') && this.#own?.id === entry.id) this.#unanswered.get(aboutOf(record, entry))?.();
    if (entry?.kind === 'begin') this.#began(entry, nowMs);
    else if (entry?.kind === 'kept' && this.#current?.id === entry.id) this.#current.activeMs = nowMs;
    else if (entry?.kind === 'end' && this.#current?.id === entry.id) {
      this.#coveredBytes = this.#current.atBytes;
      this.#current = undefined;
      this.#failure = undefined;
    }
  }

  /** Begins one if it is time, and nobody else is at it. Others do the same: the first `begin` in the log is the one that goes on. */
  writeIfDue(): void {
    const stateBytes = this.reducer.bytes;
    // The last snapshot is among what was written since it began: one must not be a reason for the next.
    const dueBytes = Math.max(1.5 * stateBytes, Math.min(this.retainedBytes / 2, Math.max(LEAST_BYTES, 2 * stateBytes)));
    if (this.#bytes - this.#coveredBytes < dueBytes) return;
    const nowMs = this.clock.monotonicMs();
    if ((this.#own?.sinceMs ?? -Infinity) + LEFT_MS > nowMs || this.#isUnderWay(nowMs)) return;
    const own = { id: this.clock.randomHex(8), after: this.#lastPosition, sinceMs: nowMs };
    this.#own = own;
    const begin = writeEntry({ kind: 'begin', id: own.id, after: own.after, nowMs: this.reducer.nowMs });
    this.log.append(this.partition, this.#nextKey('begin'), begin).catch((error: unknown) => { this.#fail(own.id, error); });
  }

  /**
   * Undefined: there is a whole one in what the log keeps. Else the error of the last one that this instance could not write, if there was
   * one. One is begun at half of what the log keeps at the latest, and takes a quarter.
   */
  get missing(): { readonly cause: unknown } | undefined {
    return this.#bytes - this.#coveredBytes > 0.75 * this.retainedBytes ? { cause: this.#failure } : undefined;
  }

  /** Whoever writes one leaves it. */
  stop(): void { this.#own = undefined; }

  #isUnderWay(nowMs: number): boolean { return this.#current !== undefined && this.#current.activeMs + LEFT_MS > nowMs; }

  #began({ id }: Begin, nowMs: number): void {
    if (this.#current?.id === id) return;
    if (this.#isUnderWay(nowMs)) {
      this.#leave(id);
      return;
    }
    this.#current = { id, atBytes: this.#bytes, activeMs: nowMs };
    if (this.#own?.id !== id || !this.isFound) return;
    // Now: what this reads next is no part of it.
    this.#write(id, [...this.reducer.state()], this.#own.after).then(() => { this.#leave(id); }, (error: unknown) => { this.#fail(id, error); });
  }

  #leave(id: string): void { if (this.#own?.id === id) this.#own = undefined; }

  #fail(id: string, error: unknown): void {
    if (this.#own?.id !== id) return; // it was left to somebody else
    this.#failure = error;
    this.#leave(id);
  }

  /** `end` is put when all the rest is in the log. Whatever is not sure to be there leaves the snapshot without one. */
  async #write(id: string, state: readonly (readonly [string, Kept])[], after: number): Promise<void> {
    const queue = state.values();
    const worker = async () => {
      for (const [key, kept] of queue) {
        await this.#append(key, () => logKey(key, this.clock.randomHex(8)), { kind: 'kept', id, ...kept });
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    await this.#append(END, () => this.#nextKey('end'), { kind: 'end', id, count: state.length });
    // It may have been left meanwhile, for another generation.
    if (this.#own?.id === id) await this.log.forget?.(this.partition, after);
  }

  /** Again under another key, if it may not have got there: the second one changes nothing. */
  async #append(about: string, key: () => string, entry: Part): Promise<void> {
    const endMs = this.clock.monotonicMs() + LEFT_MS;
    for (;;) {
      if (this.#own?.id !== entry.id) throw new Error('left');
      if (await this.#isTaken(about, key(), entry)) return;
      if (this.clock.monotonicMs() >= endMs) throw this.#failure instanceof Error ? this.#failure : new Error('the log does not answer');
    }
  }

  /**
   * True: the log said so, or it was read. False: it is to be sent again, now. Some logs refuse at once what they cannot send, others say
   * nothing, also of what they have taken.
   */
  #isTaken(about: string, written: string, entry: Part): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (isTaken: boolean) => {
        cancel();
        // Another one was sent in its place, and the snapshot may be whole by now.
        isOver = true;
        // By now it may be another snapshot's, which has that key as well.
        if (this.#unanswered.get(about) === read) this.#unanswered.delete(about);
        resolve(isTaken);
      };
      let isOver = false;
      let cancel = this.clock.timer(() => { settle(false); }, AGAIN_MS.silent);
      const read = () => { settle(true); };
      this.#unanswered.set(about, read);
      this.log.append(this.partition, written, writeEntry(entry)).then(read, (error: unknown) => {
        if (isOver) return;
        this.#failure = error;
        cancel();
        cancel = this.clock.timer(() => { settle(false); }, AGAIN_MS.refused);
      });
    });
  }

  #nextKey(kind: 'begin' | 'end'): string { return `${this.ownKey}.${kind}.${this.clock.randomHex(8)}`; }

  #look(record: LogRecord, entry: LogEntry | undefined, seenMs: number): void {
    if (Number.isFinite(record.timeMs)) this.#nowMs = Math.max(this.#nowMs, record.timeMs);
    if (this.#begun.size > 0) this.#aside.push({ record, entry });
    if (entry?.kind === 'begin') this.#seeBegin(entry);
    else if (entry?.kind === 'end') this.#seeEnd(entry.id, entry.count, seenMs);
  }

  #seeBegin({ id, after, nowMs }: Begin): void {
    // What was not read before it may have had a later time than all that was.
    if ((this.#firstPosition ?? Infinity) > after || this.#begun.has(id)) return;
    this.#begun.set(id, { nowMs: Math.max(nowMs, this.#nowMs), state: new Map(), from: this.#aside.length });
  }

  #seeEnd(id: string, count: number, seenMs: number): void {
    const begun = this.#begun.get(id);
    if (begun?.state.size !== count) return;
    this.reducer.restore(begun.state, begun.nowMs, seenMs);
    for (const { record, entry } of this.#aside.slice(begun.from)) this.reducer.apply(record, entry, seenMs);
    this.#begun.clear();
    this.#aside = [];
    this.isFound = true;
  }
}

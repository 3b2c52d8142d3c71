import type { CancelTimer, Clock } from '../clock.js';
import { ClusterError } from '../errors.js';
import { logKey, readEntry, writeEntry, type LogEntry } from './log-entry.js';
import { LogReducer, type Verdict } from './log-reducer.js';
import { LogSnapshots } from './log-snapshots.js';
import type { LogRecord, SessionLog } from './session-log.js';

/** After so long without an echo a barrier is sent again. */
const REPEAT_MS = 500;
/** Who reads a log from its beginning waits for as long as there is more of it, and so long for the next of it. */
const SILENT_MS = 15_000;
/** Who has read all and still misses the beginning waits so long for a snapshot. */
const SNAPSHOT_MS = 15_000;
/** What was folded is taken for the present of a put for so long; then a look is cheaper than a put that is void. */
const STALE_MS = 10_000;
const WASTE_AT_ONCE = 50;
/** So many barriers may be on their way, sent one after the other since none came back. */
const MOST_SENT = 100;

interface Waiter { readonly after: number; readonly sinceMs: number; readonly isLong: boolean; readonly patienceMs: number; readonly resolve: () => void; readonly reject: (error: unknown) => void }
interface Pending { readonly sinceMs: number; readonly resolve: (verdict: Verdict) => void; readonly reject: (error: unknown) => void }

export interface ReaderHooks {
  message(key: string, text: string): void;
  /** Whether what is read is the present: not while it catches up. */
  ready(isReady: boolean): void;
  /** Whether keys are those of the context. */
  isOwn(key: string): boolean;
}

const unknown = (what: string, cause?: unknown) => new ClusterError('CLUSTER_UNKNOWN_OUTCOME', what, cause === undefined ? {} : { cause });

const lost = (partition: number) => new ClusterError('CLUSTER_UNAVAILABLE', `partition ${partition} of the session log has lost its oldest part, and what is left `
  + 'has no whole snapshot of it: no instance wrote one in time. Delete the log to begin with no sessions, or give it more room');

/**
 * Reads one partition. It is ready when a barrier of its own came back that was sent after the last gap: what was removed there was
 * followed by what replaced it, and that had been in the log before the gap was seen. A gap that comes later means that it
 * fell behind; it begins anew. Of a log that loses its oldest part it also takes a snapshot, unless it read the first record.
 */
export class LogReader {
  reducer: LogReducer;
  #snapshots: LogSnapshots | undefined;
  #generation: string | undefined;
  #last = -1;
  #gaps = 0;
  #isReady = false;
  #seenMs = -Infinity;
  /** As `#seenMs`, also of what belongs to another context. */
  #readMs = -Infinity;
  /** Why the last barrier was not taken. */
  #trouble: unknown;
  #serial = 0;
  #failure: ClusterError | undefined;
  /** Barriers on their way: how many gaps had been seen. */
  readonly #sent = new Map<number, { readonly gaps: number; readonly atMs: number }>();
  #isOnItsWay = false;
  #missingSinceMs: number | undefined;
  #waiters: Waiter[] = [];
  readonly #pending = new Map<string, Pending>();
  readonly #waste: string[] = [];
  #unfollow: (() => void) | undefined;
  #cancelWatch: CancelTimer | undefined;

  /** @param patienceMs so long somebody waits for a barrier, and an entry for its echo, before it counts as unknown */
  constructor(
    private readonly log: SessionLog, private readonly partition: number, private readonly barrierKey: string, private readonly clock: Clock,
    private readonly hooks: ReaderHooks, private readonly patienceMs: number,
  ) { this.reducer = new LogReducer(log.retainedBytes !== undefined); }

  /** Whether what it has read can be what a put is made of. */
  isReady(): boolean {
    if (this.#isReady && this.log.generation?.() !== this.#generation) this.#beginAnew();
    return this.#isReady && this.clock.monotonicMs() - this.#seenMs < STALE_MS;
  }

  /** As {@link LogSnapshots.missing}. */
  get missingSnapshot(): { readonly cause: unknown } | undefined { return this.#snapshots?.missing; }

  /** The log's time, as far as it is known without looking. */
  get nowMs(): number { return this.reducer.nowMs + Math.max(0, this.clock.monotonicMs() - this.#seenMs); }

  follow(): void {
    this.#unfollow?.();
    this.#empty();
    this.#generation = this.log.generation?.();
    this.#last = -1;
    this.#missingSinceMs = undefined;
    let isCurrent = true;
    const end = this.log.follow(this.partition, (record) => { if (isCurrent) this.#take(record); });
    this.#unfollow = () => {
      isCurrent = false;
      end();
    };
  }

  /** Resolves when everything is read that was in the log at the call; however long that takes, if there is always more of it. */
  wholeLog(): Promise<void> { return this.barrier(SILENT_MS, true); }

  /** Resolves when everything is read that was in the log at the call. */
  barrier(patienceMs = this.patienceMs, isLong = false): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#waiters.push({ after: this.#serial, sinceMs: this.clock.monotonicMs(), isLong, patienceMs, resolve, reject });
      this.#sendBarrier();
      this.#watch();
    });
  }

  /** Resolves to what its own echo shows; the log's acknowledgement says only that there will be one. */
  put(key: string, entry: LogEntry): Promise<Verdict> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const written = logKey(key, this.clock.randomHex(8));
    return new Promise((resolve, reject) => {
      this.#pending.set(written, { sinceMs: this.clock.monotonicMs(), resolve, reject });
      this.log.append(this.partition, written, writeEntry(entry)).catch((error: unknown) => { this.#settle(written, undefined, error); });
      this.#removeWaste();
      this.#watch();
    });
  }

  /** Puts it without waiting for what becomes of it. */
  tell(written: string, entry: LogEntry): Promise<void> { return this.log.append(this.partition, written, writeEntry(entry)); }

  /** Has the log remove up to `limit` records that count for nothing, where whoever should have done it did not; how many. */
  async sweep(limit: number): Promise<number> {
    if (!this.isReady()) return 0;
    if (this.#snapshots !== undefined) return this.reducer.prune(limit);
    const written = this.reducer.removable(limit);
    await this.#remove(written);
    return written.length;
  }

  stop(error: ClusterError): void {
    this.#failure = error;
    this.#unfollow?.();
    this.#cancelWatch?.();
    this.#cancelWatch = undefined;
    this.#isReady = false;
    this.#empty();
    for (const written of [...this.#pending.keys()]) this.#settle(written, undefined, unknown('the log was left before the echo came'));
    for (const { reject } of this.#waiters.splice(0)) reject(error);
  }

  #empty(): void {
    const { retainedBytes } = this.log;
    this.reducer = new LogReducer(retainedBytes !== undefined);
    this.#snapshots?.stop();
    if (retainedBytes === undefined) return;
    this.#snapshots = new LogSnapshots(this.log, retainedBytes, this.partition, this.barrierKey, this.clock, this.reducer);
  }

  #remove(written: readonly string[]): Promise<unknown> { return Promise.all(written.map((each) => this.log.append(this.partition, each, undefined))); }

  #take(record: LogRecord): void {
    if (this.#failure !== undefined) return;
    if (this.log.generation?.() !== this.#generation) {
      this.#beginAnew();
      return;
    }
    if (record.position <= this.#last) return;
    if (this.#snapshots === undefined && record.position > this.#last + 1) {
      this.#gaps += 1;
      if (this.#isReady) {
        this.#beginAnew();
        return;
      }
    }
    this.#last = record.position;
    this.#readMs = this.clock.monotonicMs();
    this.#snapshots?.pass(record.position);
    if (!this.hooks.isOwn(record.key)) return;
    let entry: LogEntry | undefined;
    try {
      entry = record.value === undefined ? undefined : readEntry(record.value);
    } catch (error) {
      this.stop(error as ClusterError); // readEntry throws no other
      this.hooks.ready(false);
      return;
    }
    this.#seenMs = this.clock.monotonicMs();
    const verdict = (this.#snapshots ?? this.reducer).apply(record, entry, this.#seenMs);
    this.#snapshots?.note(record, entry);
    if (this.#isReady) this.#snapshots?.writeIfDue();
    if (entry?.kind === 'message' && this.#isReady) this.hooks.message(record.key, entry.text);
    const asked = record.key.replace(/~\d+$/, '');
    if (entry?.kind === 'barrier' && asked === this.barrierKey) this.#passed(entry.serial);
    if (!this.#pending.has(asked)) return;
    this.#waste.push(...this.reducer.freed); // who put it clears up
    this.#settle(asked, verdict, undefined);
  }

  /** Records were removed before they were read here, or taken back: what is known is of no use, and nobody can say what became of what was put. */
  #beginAnew(): void {
    this.#gaps += 1; // a barrier that was sent before says nothing of what there is now
    this.#isReady = false;
    this.#generation = this.log.generation?.(); // whoever is told may append, and be read, at once
    this.hooks.ready(false);
    for (const written of [...this.#pending.keys()]) this.#settle(written, undefined, unknown('the log went on without this instance'));
    this.#waste.length = 0;
    this.follow();
    this.#catchUp();
  }

  /** Also if nobody asks: signals come this way. */
  #catchUp(): void {
    this.barrier(Infinity).catch(() => {
      if (this.#failure === undefined) this.clock.timer(() => { this.#catchUp(); }, REPEAT_MS);
    });
  }

  #passed(serial: number): void {
    const sent = this.#sent.get(serial);
    if (sent === undefined) return;
    for (const each of this.#sent.keys()) if (each <= serial) this.#sent.delete(each);
    this.#isOnItsWay = this.#sent.size > 0;
    if (sent.gaps === this.#gaps && this.#hasBeginning()) {
      if (!this.#isReady) {
        this.#isReady = true;
        this.reducer.isComplete = true;
        this.hooks.ready(true);
      }
      this.#waiters = this.#waiters.filter((waiter) => {
        if (waiter.after >= serial) return true;
        waiter.resolve();
        return false;
      });
    }
    if (this.#waiters.length > 0 && this.#missingSinceMs === undefined) this.#sendBarrier();
  }

  /** Asked when all is read. Without it nobody can say what there is; somebody may be about to put it there. */
  #hasBeginning(): boolean {
    if (this.#snapshots?.isFound !== false) {
      this.#missingSinceMs = undefined;
      return true;
    }
    const nowMs = this.clock.monotonicMs();
    this.#missingSinceMs ??= nowMs;
    if (this.#missingSinceMs + SNAPSHOT_MS < nowMs) this.stop(lost(this.partition));
    return false;
  }

  /** One at a time: those who ask meanwhile share the next one, unless this one seems to be lost. */
  #sendBarrier(): void {
    const lastMs = this.#sent.get(this.#serial)?.atMs ?? -Infinity;
    if (this.#isOnItsWay && lastMs + REPEAT_MS > this.clock.monotonicMs()) return;
    this.#isOnItsWay = true;
    const serial = ++this.#serial;
    this.#sent.set(serial, { gaps: this.#gaps, atMs: this.clock.monotonicMs() });
    if (this.#sent.size > MOST_SENT) this.#sent.delete(serial - MOST_SENT);
    this.tell(this.barrierKey, { kind: 'barrier', serial }).catch((error: unknown) => {
      this.#sent.delete(serial);
      this.#trouble = error;
      if (serial === this.#serial) this.#isOnItsWay = false;
      if (!ClusterError.is(error) || error.code === 'CLUSTER_UNKNOWN_OUTCOME') return;
      for (const { reject } of this.#waiters.splice(0)) reject(error);
    });
  }

  #settle(written: string, verdict: Verdict | undefined, error: unknown): void {
    const pending = this.#pending.get(written);
    if (pending === undefined) return;
    this.#pending.delete(written);
    if (verdict === undefined) pending.reject(ClusterError.is(error) ? error : unknown('the log did not take a record', error));
    else pending.resolve(verdict);
  }

  #watch(): void {
    this.#cancelWatch ??= this.clock.timer(() => {
      this.#cancelWatch = undefined;
      this.#overdue(this.clock.monotonicMs());
      this.#removeWaste();
      if (this.#waiters.length > 0 || this.#pending.size > 0) this.#watch();
    }, REPEAT_MS);
  }

  #overdue(nowMs: number): void {
    for (const [written, { sinceMs }] of this.#pending) {
      if (sinceMs + this.patienceMs > nowMs) break;
      this.#settle(written, undefined, unknown(`the log did not show a record within ${this.patienceMs} ms`));
    }
    this.#waiters = this.#waiters.filter(({ sinceMs, isLong, patienceMs, reject }) => {
      if ((isLong ? Math.max(sinceMs, this.#readMs) : sinceMs) + patienceMs > nowMs) return true;
      const why = isLong ? `nothing more was read from the log for ${patienceMs} ms` : `the log did not show its present state within ${patienceMs} ms`;
      reject(new ClusterError('CLUSTER_UNAVAILABLE', why, this.#trouble === undefined ? {} : { cause: this.#trouble }));
      return false;
    });
    if (this.#waiters.length > 0) this.#sendBarrier();
  }

  /** What is lost here is found by a sweep. */
  #removeWaste(): void {
    if (this.#waste.length > 0) this.#remove(this.#waste.splice(0, WASTE_AT_ONCE)).catch(() => undefined);
  }
}

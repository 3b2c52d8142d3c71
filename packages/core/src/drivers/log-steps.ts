import type { Clock } from '../clock.js';
import { ClusterError } from '../errors.js';
import { keyName } from '../record.js';
import { logKey } from './log-entry.js';
import { LogReader } from './log-reader.js';
import { FORGOTTEN_MS, LANDS_MS } from './log-reducer.js';
import type { SessionLog } from './session-log.js';
import type { DriverContext } from './session-table.js';

const MAX_ROUNDS = 8;

/** Content that has not expired. */
export interface Present {
  readonly text: string;
  /** Since its key had none. */
  readonly ageMs: number;
  /** Since it got into the log. */
  readonly sinceMs: number;
  /** Since this instance read it, by its own clock. */
  readonly seenForMs: number;
  /** If it was touched since its lifetime began. */
  readonly touched: { readonly idleMs: number; readonly leftMs: number } | undefined;
}

/** What a step makes of the present content. `begins`: its lifetime begins anew, and touches before it do not count. */
export interface LogStep<A> {
  readonly answer: A;
  readonly put?: { readonly text: string; readonly forMs: number; readonly begins: boolean };
}

/** Steps on the keys of a log: each one decided on what was read, and true if its echo says so. */
export class LogSteps {
  readonly #readers: readonly LogReader[];
  readonly #writer: string;

  /**
   * @param address under which signals to this instance stand, if the log carries them
   * @param patienceMs as {@link LogReader}'s
   */
  constructor(private readonly log: SessionLog, private readonly clock: Clock, private readonly context: DriverContext, address: string | undefined, patienceMs: number) {
    this.#writer = clock.randomHex(4);
    const own = address === undefined ? undefined : partitionOf(address, log.partitions);
    const hooks = {
      isOwn: (key: string) => key.startsWith(`${context.context}.`),
      message: (key: string, text: string) => { if (address !== undefined && key.startsWith(logKey(address, ''))) context.receive(text); },
    };
    this.#readers = Array.from({ length: log.partitions }, (_, partition) => new LogReader(
      log, partition, logKey(`${context.context}.b`, this.#writer), clock,
      { ...hooks, ready: (isReady) => { if (partition === own) context.listening(isReady); } }, patienceMs,
    ));
  }

  /** Of all sessions, as they lie in memory. */
  get bytes(): number { return this.#readers.reduce((sum, { reducer }) => sum + reducer.bytes, 0); }

  /** If a partition is about to lose what it has no whole snapshot of. */
  get missingSnapshot(): { readonly cause: unknown } | undefined {
    for (const { missingSnapshot } of this.#readers) if (missingSnapshot !== undefined) return missingSnapshot;
    return undefined;
  }

  /** Resolves when all is read that was in the log before. */
  async start(): Promise<void> {
    for (const reader of this.#readers) reader.follow();
    await Promise.all(this.#readers.map((reader) => reader.wholeLog()));
  }

  stop(error: ClusterError): void { for (const reader of this.#readers) reader.stop(error); }

  async step<A>(key: string, decide: (present: Present | undefined) => LogStep<A>, contended?: () => A): Promise<A> {
    const reader = this.#reader(key);
    const decided = await this.#decided(reader, () => {
      const { put, answer } = decide(this.present(key));
      return { answer, put: put && (() => this.#put(reader, key, put)) };
    });
    if (decided !== undefined) return decided.answer;
    if (contended !== undefined) return contended();
    throw new ClusterError('CLUSTER_UNAVAILABLE', `${keyName(key)}: others changed it ${MAX_ROUNDS} times in a row; nothing was changed`);
  }

  /** @param lengthen what a touch makes of the lifetime; undefined: there is nothing to touch. Resolves to whether there was */
  async touch(key: string, lengthen: (present: Present | undefined) => number | undefined): Promise<boolean> {
    const reader = this.#reader(key);
    const decided = await this.#decided(reader, () => {
      const forMs = lengthen(this.present(key));
      const content = reader.reducer.get(key);
      if (forMs === undefined || content === undefined) return { answer: false, put: undefined };
      const put = async () => {
        const verdict = await reader.put(key, { kind: 'touch', byMs: this.#byMs(reader, reader.reducer.untilMs(key)), forMs, era: content.era });
        return verdict === 'accepted' && this.present(key) !== undefined;
      };
      return { answer: true, put };
    });
    return decided?.answer ?? true; // who lost this often lost to others who wrote it
  }

  /** The answer of the first decision whose put has counted, or that puts nothing and rests on all that was in the log. Undefined: others were first each time. */
  async #decided<A>(reader: LogReader, decide: () => { readonly answer: A; readonly put: (() => Promise<boolean>) | undefined }): Promise<{ readonly answer: A } | undefined> {
    let isFresh = false;
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      if (!reader.isReady()) {
        await reader.barrier();
        isFresh = true;
        if (!reader.isReady()) continue;
      }
      const { answer, put } = decide();
      if (put !== undefined ? await put() : isFresh) return { answer };
      if (put === undefined) await reader.barrier();
      isFresh = true;
    }
    return undefined;
  }

  present(key: string): Present | undefined {
    const { reducer, nowMs } = this.#reader(key);
    const content = reducer.get(key);
    const untilMs = reducer.untilMs(key);
    // Whether it has expired is for the log's own clock to say.
    if (content === undefined || reducer.nowMs >= untilMs) return undefined;
    const usedMs = reducer.usedMs(key);
    return {
      text: content.text, ageMs: nowMs - content.bornMs, sinceMs: nowMs - content.timeMs, seenForMs: this.clock.monotonicMs() - content.seenMs,
      touched: usedMs === undefined ? undefined : { idleMs: nowMs - usedMs, leftMs: untilMs - nowMs },
    };
  }

  async keys(): Promise<string[]> {
    await Promise.all(this.#readers.map((reader) => reader.barrier()));
    return this.#readers.flatMap(({ reducer }) => [...reducer.keys()]);
  }

  tell(address: string, message: string): Promise<void> {
    return this.#reader(address).tell(logKey(address, this.#writer), { kind: 'message', text: message });
  }

  /** Has the log remove what counts for nothing, where whoever should have done it did not. */
  async sweep(limit: number): Promise<number> {
    let swept = 0;
    for (const reader of this.#readers) {
      await reader.barrier();
      swept += await reader.sweep(limit - swept);
      if (swept >= limit) break;
    }
    return swept;
  }

  async #put(reader: LogReader, key: string, { text, forMs, begins }: NonNullable<LogStep<unknown>['put']>): Promise<boolean> {
    const { reducer } = reader;
    const untilMs = reducer.untilMs(key);
    const before = reducer.nowMs < untilMs + FORGOTTEN_MS ? reducer.get(key) : undefined;
    const n = (before?.n ?? 0) + 1;
    const isLive = before !== undefined && reducer.nowMs < untilMs;
    // Where the content before it has expired meanwhile, or is forgotten, others may have made something else of the key.
    const endMs = before === undefined ? Infinity : isLive ? untilMs : untilMs + FORGOTTEN_MS;
    const verdict = await reader.put(key, { kind: 'put', n, era: begins ? n : before?.era ?? n, bornMs: isLive ? before.bornMs : undefined, forMs, byMs: this.#byMs(reader, endMs), text });
    if (verdict === 'void') throw new ClusterError('CLUSTER_UNKNOWN_OUTCOME', `${keyName(key)}: it came too late into the log`);
    return verdict === 'accepted';
  }

  #byMs({ reducer }: LogReader, endMs: number): number { return Math.min(reducer.nowMs + LANDS_MS, endMs); }

  #reader(key: string): LogReader {
    const reader = this.#readers[partitionOf(key, this.#readers.length)];
    if (reader === undefined) throw new ClusterError('CLUSTER_BAD_OPTION', 'a session log: expected at least one partition');
    return reader;
  }
}

/** FNV-1a; the same for every instance, for ever. */
function partitionOf(key: string, partitions: number): number {
  let hash = 0x811c9dc5;
  for (let place = 0; place < key.length; place += 1) hash = Math.imul(hash ^ key.charCodeAt(place), 0x01000193);
  return (hash >>> 0) % partitions;
}

import { keyOf, type KeptEntry, type LogEntry } from './log-entry.js';
import type { LogRecord } from './session-log.js';

/** So long after it was decided a record can still get into the log and count. */
export const LANDS_MS = 30_000;
/** So long after its end content still counts as what the next put is made of; longer than anything that was made of it can land. */
export const FORGOTTEN_MS = 2 * LANDS_MS;
/** Only then is it removed from the log: clocks of two brokers may differ by as much. */
export const REMOVED_MS = FORGOTTEN_MS + LANDS_MS;

type Put = Extract<LogEntry, { kind: 'put' }>;
type Touch = Extract<LogEntry, { kind: 'touch' }>;

/** The content of a key. Times are those of the log. */
export interface Content {
  readonly n: number;
  readonly era: number;
  readonly text: string;
  /** Of the text, as the log has it. */
  readonly bytes: number;
  readonly bornMs: number;
  readonly logKey: string;
  readonly timeMs: number;
  readonly untilMs: number;
  /** When this instance read it, by its own monotonic clock. */
  readonly seenMs: number;
}

interface Touched { readonly era: number; readonly usedMs: number; readonly untilMs: number; readonly logKey: string }

interface Kept {
  content: Content | undefined;
  /** At most one per era. */
  touches: readonly Touched[];
  /** How many records of it are left in the log that count for nothing any more. */
  waste: number;
}

export type Verdict = 'accepted' | 'refused' | 'void';

const BYTES_PER_KEY = 400;

/**
 * What a partition comes to: the same for everybody who has read up to the same position, whatever was removed before it. A put
 * counts if no other one counted since the content it was made of; the first one in the log wins. Whether it does follows from
 * itself, from the content that it meets, and from the times at which the log took both.
 */
export class LogReducer {
  /** The latest time that any record had. */
  nowMs = -Infinity;
  bytes = 0;
  /**
   * Nothing that counts is missing. Before, content may be there for a moment that did not count, since what did was removed; the
   * lifetime that it says has begun did not begin.
   */
  isComplete = false;
  /** Keys of the log whose records the last one made count for nothing. */
  freed: string[] = [];
  readonly #kept = new Map<string, Kept>();
  /** What can be removed from the log, oldest first: since when, by the log's clock. */
  readonly #waste = new Map<string, number>();

  /**
   * @param losesOldest nothing is removed from the log by its key. Times are then the latest that any record had so far: who reads a
   * log of which nothing is missing knows that one, and the records may have been dated by many clocks
   */
  constructor(private readonly losesOldest = false) {}

  apply({ key: written, timeMs: ownMs }: Omit<LogRecord, 'value' | 'position'>, entry: LogEntry | undefined, seenMs: number): Verdict {
    // No comparison with such a time says anything.
    if (!Number.isFinite(ownMs)) return 'void';
    this.nowMs = Math.max(this.nowMs, ownMs);
    const timeMs = this.losesOldest ? this.nowMs : ownMs;
    this.freed = [];
    if (entry === undefined) return this.#remove(written);
    if (entry.kind === 'put') return this.#put(written, entry, timeMs, seenMs);
    if (entry.kind === 'touch') return this.#touch(written, entry, timeMs);
    if (this.losesOldest) return 'accepted';
    // Read by whom it concerns; one that comes again under its key is the newer one.
    this.#waste.delete(written);
    this.#waste.set(written, timeMs);
    return 'accepted';
  }

  /** All that can still make a difference, as it is now: what a snapshot says. */
  *state(): Generator<readonly [key: string, kept: Omit<KeptEntry, 'kind' | 'id'>]> {
    for (const [key, kept] of this.#kept) {
      if (kept.content === undefined || endOf(kept) + REMOVED_MS <= this.nowMs) continue;
      const { n, era, text, bornMs, timeMs, untilMs } = kept.content;
      const touch = touchOf(kept);
      yield [key, { n, era, text, bornMs, timeMs, untilMs, touched: touch && { usedMs: touch.usedMs, untilMs: touch.untilMs } }];
    }
  }

  /** Makes this what a snapshot says. */
  restore(state: Iterable<readonly [key: string, kept: Omit<KeptEntry, 'kind' | 'id'>]>, nowMs: number, seenMs: number): void {
    this.#kept.clear();
    [this.bytes, this.nowMs, this.isComplete] = [0, nowMs, true];
    for (const [key, { n, era, text, bornMs, timeMs, untilMs, touched }] of state) {
      const content: Content = { n, era, text, bytes: Buffer.byteLength(text), bornMs, timeMs, untilMs, logKey: '', seenMs };
      this.#kept.set(key, { content, touches: touched === undefined ? [] : [{ era, logKey: '', ...touched }], waste: 0 });
      this.bytes += BYTES_PER_KEY + content.bytes;
    }
  }

  /** Up to `limit` keys that can make no difference any more are forgotten; how many. */
  prune(limit: number): number {
    let pruned = 0;
    for (const [key, kept] of this.#kept) {
      if (pruned >= limit) break;
      if (endOf(kept) + REMOVED_MS > this.nowMs) continue;
      this.bytes -= BYTES_PER_KEY + (kept.content?.bytes ?? 0);
      this.#kept.delete(key);
      pruned += 1;
    }
    return pruned;
  }

  /** Also content that has expired and is not forgotten yet. */
  get(key: string): Content | undefined { return this.#kept.get(key)?.content; }

  /** When a key's content expires, if nothing happens to it. */
  untilMs(key: string): number { return endOf(this.#kept.get(key)); }

  /** When it was last touched, if it was since its lifetime began. */
  usedMs(key: string): number | undefined {
    return touchOf(this.#kept.get(key))?.usedMs;
  }

  keys(): IterableIterator<string> { return this.#kept.keys(); }

  /** Up to `limit` keys of the log whose records count for nothing any more, and have not for a while. */
  removable(limit: number): string[] {
    const found: string[] = [];
    for (const [written, sinceMs] of this.#waste) {
      if (found.length >= limit || sinceMs + FORGOTTEN_MS > this.nowMs) break;
      found.push(written);
    }
    for (const [, kept] of this.#kept) {
      const { content, touches, waste } = kept;
      if (found.length >= limit) break;
      if (content === undefined) continue;
      const isOver = endOf(kept) + REMOVED_MS <= this.nowMs;
      const touch = touches.find(({ era }) => isOver || era !== content.era);
      if (touch !== undefined) found.push(touch.logKey);
      // What came before it goes first: it would come back.
      else if (isOver && waste === 0) found.push(content.logKey);
    }
    return found;
  }

  #put(written: string, put: Put, timeMs: number, seenMs: number): Verdict {
    const key = keyOf(written);
    const kept = this.#kept.get(key);
    const before = kept !== undefined && timeMs < endOf(kept) + FORGOTTEN_MS ? kept.content : undefined;
    const verdict = timeMs >= put.byMs ? 'void' : before !== undefined && put.n <= before.n ? 'refused' : 'accepted';
    if (verdict !== 'accepted') {
      if (kept?.content?.logKey !== written) this.#discard(key, written, timeMs);
      return verdict;
    }
    const { n, era, text, forMs, bornMs = timeMs } = put;
    const content: Content = { n, era, text, bytes: Buffer.byteLength(text), bornMs, logKey: written, timeMs, untilMs: timeMs + forMs, seenMs };
    if (kept === undefined) {
      this.#kept.set(key, { content, touches: [], waste: 0 });
      this.bytes += BYTES_PER_KEY;
    } else {
      this.#drop(key, kept, timeMs);
      kept.content = content;
      if (this.isComplete) for (const touch of kept.touches) if (touch.era < era) this.#untouch(key, kept, touch, timeMs);
    }
    this.bytes += content.bytes;
    return 'accepted';
  }

  #touch(written: string, { byMs, forMs, era }: Touch, timeMs: number): Verdict {
    const key = keyOf(written);
    let kept = this.#kept.get(key);
    const untilMs = timeMs + forMs;
    const own = kept?.touches.find((touch) => touch.era === era);
    if (timeMs >= byMs || (own !== undefined && own.untilMs >= untilMs)) {
      if (own?.logKey !== written) this.#discard(key, written, timeMs);
      return timeMs >= byMs ? 'void' : 'accepted';
    }
    if (kept === undefined) {
      kept = { content: undefined, touches: [], waste: 0 };
      this.#kept.set(key, kept);
      this.bytes += BYTES_PER_KEY;
    }
    if (own !== undefined) this.#untouch(key, kept, own, timeMs);
    kept.touches = [...kept.touches, { era, usedMs: timeMs, untilMs, logKey: written }];
    return 'accepted';
  }

  /** Said of what counts for nothing, and of content that was over long ago; a reader to whom the latter is news did not see its end. */
  #remove(written: string): Verdict {
    const key = keyOf(written);
    const kept = this.#kept.get(key);
    if (this.#waste.delete(written) && kept !== undefined) kept.waste -= 1;
    if (kept === undefined) return 'accepted';
    kept.touches = kept.touches.filter(({ logKey }) => logKey !== written);
    if (kept.content?.logKey === written) {
      this.bytes -= kept.content.bytes;
      kept.content = undefined;
    }
    if (kept.content === undefined && kept.touches.length === 0 && kept.waste <= 0) {
      this.#kept.delete(key);
      this.bytes -= BYTES_PER_KEY;
    }
    return 'accepted';
  }

  #drop(key: string, kept: Kept, timeMs: number): void {
    if (kept.content === undefined) return;
    this.bytes -= kept.content.bytes;
    this.#discard(key, kept.content.logKey, timeMs);
  }

  #untouch(key: string, kept: Kept, touch: Touched, timeMs: number): void {
    this.#discard(key, touch.logKey, timeMs);
    kept.touches = kept.touches.filter((other) => other !== touch);
  }

  #discard(key: string, written: string, timeMs: number): void {
    if (this.losesOldest || this.#waste.has(written)) return;
    this.#waste.set(written, timeMs);
    this.freed.push(written);
    const kept = this.#kept.get(key);
    if (kept !== undefined) kept.waste += 1;
  }
}

const touchOf = (kept: Kept | undefined): Touched | undefined => kept?.touches.find(({ era }) => era === kept.content?.era);

function endOf(kept: Kept | undefined): number {
  if (kept?.content === undefined) return -Infinity;
  return Math.max(kept.content.untilMs, touchOf(kept)?.untilMs ?? -Infinity);
}

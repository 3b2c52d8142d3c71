import type { Clock, LogRecord, SessionLog } from '../src/driver.js';

interface Follower { at: number; isHeld: boolean; readonly take: (record: LogRecord) => void }

/** A log of one partition in memory, whose readers can be held back, whose acknowledgements can be, and from which anything can be removed. */
export class ScriptedLog {
  records: LogRecord[] = [];
  /** What is not acknowledged waits here. */
  readonly unacknowledged: (() => void)[] = [];
  acknowledges = true;
  /** What becomes of the next appends; default: they get there. */
  readonly fates: ((put: (key: string) => void, key: string) => Promise<void>)[] = [];
  /** Given: the log keeps what it was not told to remove, and loses its oldest part. */
  retainedBytes: number | undefined;
  generation = 'first';
  /** Where whoever follows begins, if that is still there. */
  forgotten = 0;
  readonly #followers = new Map<string, Follower>();
  #next = 0;

  constructor(readonly clock: Clock) {}

  put(key: string, value: string | undefined, timeMs = this.clock.wallMs()): void {
    this.records.push({ key, value, position: this.#next, timeMs });
    this.#next += 1;
    for (const follower of this.#followers.values()) this.#hand(follower);
  }

  /** Its readers no longer get anything, until `release`. */
  hold(name: string): void { this.#of(name).isHeld = true; }

  release(name: string): void {
    this.#of(name).isHeld = false;
    this.#hand(this.#of(name));
  }

  /** As compaction does, where it may: a record goes if a later one has its key. */
  compact(): void {
    const last = new Map(this.records.map(({ key, position }) => [key, position]));
    this.records = this.records.filter(({ key, position, value }) => last.get(key) === position && value !== undefined);
  }

  /** Its oldest part is lost. */
  trim(before: number): void { this.records = this.records.filter(({ position }) => position >= before); }

  opened(name: string, maxBytes?: number): SessionLog {
    return {
      capabilities: { durability: 'process', gone: 'unknown', rollback: false }, partitions: 1, maxBytes,
      retainedBytes: this.retainedBytes, generation: () => this.generation,
      forget: async (_, before) => { this.forgotten = Math.max(this.forgotten, before); },
      append: async (_, key, value) => {
        const fate = this.fates.shift();
        if (fate !== undefined) return fate((as) => { this.put(as, value); }, key);
        this.put(key, value);
        if (!this.acknowledges) await new Promise<void>((resolve) => { this.unacknowledged.push(resolve); });
      },
      follow: (_, take) => {
        const follower = { at: this.forgotten, isHeld: this.#followers.get(name)?.isHeld ?? false, take };
        this.#followers.set(name, follower);
        queueMicrotask(() => { this.#hand(follower); });
        return () => { if (this.#followers.get(name) === follower) this.#followers.delete(name); };
      },
    };
  }

  #of(name: string): Follower {
    const follower = this.#followers.get(name);
    if (follower === undefined) throw new Error(`${name} does not read`);
    return follower;
  }

  #hand(follower: Follower): void {
    while (!follower.isHeld && [...this.#followers.values()].includes(follower)) {
      const record = this.records.find(({ position }) => position >= follower.at);
      if (record === undefined) return;
      follower.at = record.position + 1;
      follower.take(record);
    }
  }
}

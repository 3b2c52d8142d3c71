import type { DriverContext, Message, StoreCapabilities } from './session-table.js';

/** One record of a log, as its reader gets it. */
export interface LogRecord {
  readonly key: string;
  /** Its place in the partition: 0, 1, 2, … A number that is left out says that a record was removed there; see `retainedBytes`. */
  readonly position: number;
  /** When it was appended, by one clock per partition: that of the log, not that of who appended it; see `retainedBytes`. */
  readonly timeMs: number;
  /** Undefined: all that stands under this key may be removed. */
  readonly value: string | undefined;
}

/**
 * The broker's shape of a driver: partitions, each in one order for everybody, that can be read again from the first record on.
 * Core makes a {@link SessionTable} of it by reading all of it, on every instance.
 *
 * Two things may happen to a log: a record is removed when a later one has its key, at any moment and also where somebody reads;
 * and a record without a value is removed with them, but not before everybody who reads had the time to see it (10 minutes do).
 * Or, with `retainedBytes`, the log loses its oldest part.
 */
export interface SessionLog {
  readonly capabilities: Omit<StoreCapabilities, 'delta'>;
  /** The same for all instances and for ever. Asked for after `start`. */
  readonly partitions: number;
  /** At so many bytes of sessions no new ones are taken, since every instance has all of them in memory. Left out: no bound. */
  readonly maxBytes?: number | undefined;
  /**
   * Given: no record is removed because of its key, and the oldest ones are, in their order, so that the last so many bytes of each
   * partition can be read at any time. Core then puts again what still counts. Such a log need not count its positions without holes,
   * as long as they rise: a reader before whom records were lost that he had not read is told by another `generation`. Its times may be
   * those of the clocks of who appended, the later of that and of the latest that this had read; the latest one so far counts. It takes
   * 1 KB more before the first line's end than it takes at first, since core puts the rest again.
   */
  readonly retainedBytes?: number | undefined;
  /** Connects; rejects if the log cannot be used. `storeTimeoutMs` is how long core waits for a record: a second less than the manager does, and 5 to 30 s. */
  start?(context: DriverContext): Promise<void>;
  /** Ends what `start` began; a client that was passed in stays open. */
  stop?(): Promise<void>;
  /**
   * Puts a record at the end; resolves when the log has it for good. What was rejected may still get there, unless it rejects with
   * a `ClusterError` of another code than `CLUSTER_UNKNOWN_OUTCOME`.
   *
   * It gets there **at most once under its key**: who tries again by itself puts `~2`, `~3`, … behind the key. A client that repeats
   * a record as it is must be told not to. One without a value keeps its key, and may get there more than once.
   */
  append(partition: number, key: string, value: string | undefined): Promise<void>;
  /**
   * Hands over every record of a partition in its order, from the first that is there, and then each new one; ends when the returned
   * function is called. Who loses its connection goes on where it was; records that come twice are skipped.
   */
  follow(partition: number, take: (record: LogRecord) => void): () => void;
  /** With `retainedBytes`: nobody needs what stands before this position. Who begins to follow may begin there. */
  forget?(partition: number, before: number): Promise<void>;
  /** As in `SessionTable`. Where it is left out signals travel through the log. */
  signal?(instanceId: string, message: Message): Promise<boolean>;
  /**
   * Names the log's timeline; changes when acknowledged records may have been lost, before any record of the new one is handed over.
   * All readers then begin anew, and what is on its way is unknown.
   */
  generation?(): string;
}

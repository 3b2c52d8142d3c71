import { ClusterError } from '@cluster/core';
import type { DriverContext, LogRecord, SessionLog } from '@cluster/core/driver';
import { Appender } from './appender.js';
import { insist } from './kafka-error.js';
import type { KafkaPort, Reading, StoredRecord, TopicSettings } from './port.js';

/** A record's key, its head and what a batch has besides. */
const BESIDE_BYTES = 1_024;
const FIRST_WITHIN_MS = 10_000;
const READ_AGAIN_MS = { first: 25, most: 400 } as const;

export interface KafkaLogOptions extends TopicSettings {
  /** Made anew for each start. */
  readonly open: () => KafkaPort;
  readonly maxBytes: number;
}

interface Follower { next: number; readonly take: (record: LogRecord) => void }

interface Partition {
  /** Everything before it was handed over. */
  next: number;
  /** The same, whoever begins to read it again. */
  seen: number;
  /** The record before `seen`. */
  last: StoredRecord | undefined;
  readonly followers: Set<Follower>;
  readonly appender: Appender;
}

/** A session log in one compacted topic: one reader for all that follow, and one batch on its way per partition. */
export class KafkaLog implements SessionLog {
  // What a broker has acknowledged is in the memory of every replica in sync, and need not be on a disk.
  readonly capabilities = { rollback: false, gone: 'unknown', durability: 'crash' } as const;
  readonly partitions: number;
  readonly maxBytes: number;
  #port: KafkaPort | undefined;
  #read: Partition[] = [];
  #reading: Reading | undefined;
  #timer: NodeJS.Timeout | undefined;
  #losses = 0;
  /** Why this may not read, by name. What is appended then would never be read back. */
  #refusal: ClusterError | undefined;

  constructor(private readonly options: KafkaLogOptions) {
    this.partitions = options.partitions;
    this.maxBytes = options.maxBytes;
  }

  async start({ maxRecordBytes = 0, storeTimeoutMs = 5_000 }: Pick<DriverContext, 'maxRecordBytes' | 'storeTimeoutMs'> = {}): Promise<void> {
    if (this.#port !== undefined) throw new ClusterError('CLUSTER_BAD_OPTION', 'this store has been started');
    const port = this.options.open();
    this.#port = port;
    try {
      const leastBatchBytes = maxRecordBytes + BESIDE_BYTES;
      const { maxBatchBytes } = await port.open({ ...this.options, leastBatchBytes });
      this.#checkSize(leastBatchBytes, maxBatchBytes, maxRecordBytes);
      this.#read = Array.from({ length: this.partitions }, (_, number) => this.#partition(port, number, maxBatchBytes, storeTimeoutMs));
      // A broker that was just started has nobody yet who looks after groups.
      await insist(`the topic '${this.options.topic}' cannot be read`, FIRST_WITHIN_MS, () => this.#connect(port));
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    const port = this.#port;
    this.#port = undefined;
    this.#refusal = undefined;
    clearTimeout(this.#timer);
    for (const { appender } of this.#read.splice(0)) appender.stop(notRunning());
    const reading = this.#reading;
    this.#reading = undefined;
    await reading?.stop();
    await port?.close();
  }

  append(partition: number, key: string, value: string | undefined): Promise<void> {
    if (this.#refusal !== undefined) return Promise.reject(this.#refusal);
    return this.#read[partition]?.appender.append(key, value) ?? Promise.reject(notRunning());
  }

  generation(): string { return String(this.#losses); }

  follow(number: number, take: (record: LogRecord) => void): () => void {
    const partition = this.#read[number];
    if (partition === undefined) throw notRunning();
    const follower: Follower = { next: 0, take };
    partition.followers.add(follower);
    if (partition.next > 0) {
      partition.next = 0;
      this.#reading?.seek(number, 0);
    }
    return () => { partition.followers.delete(follower); };
  }

  #partition(port: KafkaPort, number: number, maxBatchBytes: number, patienceMs: number): Partition {
    const partition: Partition = {
      next: 0, seen: 0, last: undefined, followers: new Set(),
      appender: new Appender(maxBatchBytes, patienceMs, async (batch) => {
        const { seen } = partition;
        if (await port.send(number, batch) < seen) this.#wentBack(partition);
      }),
    };
    return partition;
  }

  #checkSize(leastBytes: number, foundBytes: number, maxRecordBytes: number): void {
    if (foundBytes >= leastBytes) return;
    throw new ClusterError('CLUSTER_UNAVAILABLE', `Kafka: expected a topic '${this.options.topic}' that takes ${leastBytes} bytes at once, for a maxRecordBytes of ${maxRecordBytes}, `
      + `found ${foundBytes}. Raise both max.message.bytes and segment.bytes of it to that, or give the manager a lower maxRecordBytes`);
  }

  async #connect(port: KafkaPort): Promise<void> {
    const reading = await port.read({
      // The last one again: whether it is still there says whether this goes on where it was.
      next: (number) => Math.max(0, (this.#read[number]?.next ?? 0) - 1),
      take: (number, records) => { this.#take(number, records); },
      ended: (error) => {
        if (this.#reading !== reading) return;
        this.#reading = undefined;
        void reading.stop();
        this.#connectAgain(port, error, 0);
      },
    });
    this.#refusal = undefined;
    if (this.#port === port) this.#reading = reading;
    else await reading.stop();
  }

  #connectAgain(port: KafkaPort, reason: unknown, failures: number): void {
    if (this.#port !== port) return;
    this.#refusal = ClusterError.is(reason) ? reason : undefined;
    this.#timer = setTimeout(() => {
      this.#connect(port).catch((error: unknown) => { this.#connectAgain(port, error, failures + 1); });
    }, Math.min(READ_AGAIN_MS.first * 2 ** failures, READ_AGAIN_MS.most));
  }

  #take(number: number, records: Iterable<StoredRecord>): void {
    const partition = this.#read[number];
    if (partition === undefined) return;
    for (const record of records) {
      const { offset, key, value, timeMs } = record;
      const { last } = partition;
      if (offset === last?.offset && (key !== last.key || timeMs !== last.timeMs)) {
        this.#wentBack(partition);
        return;
      }
      // A reader that comes back may begin before the place that it was given.
      if (offset < partition.next) continue;
      partition.next = offset + 1;
      if (partition.next > partition.seen) [partition.seen, partition.last] = [partition.next, record];
      for (const follower of partition.followers) {
        if (offset < follower.next) continue;
        follower.next = offset + 1;
        follower.take({ key, position: offset, timeMs, value });
        // It began to follow anew: all of this comes again, after what is before it.
        if (partition.next <= offset) return;
      }
    }
  }

  /** Brokers lost what they had acknowledged, so what is known here is not what others will read. */
  #wentBack(partition: Partition): void {
    this.#losses += 1;
    [partition.seen, partition.last] = [0, undefined];
    // Whoever follows looks at the generation, and begins anew; those who do so while this goes on have seen it.
    for (const { followers } of this.#read) {
      for (const { take } of [...followers]) take({ key: '', position: Number.MAX_SAFE_INTEGER, timeMs: 0, value: undefined });
    }
  }
}

const notRunning = () => new ClusterError('CLUSTER_STOPPED', 'the Kafka store is not running');

import { ClusterError } from '@cluster/core';
import type { DriverContext, LogRecord, SessionLog } from '@cluster/core/driver';
import { Follower, newestBeginning } from './follower.js';
import { Link, type LinkOptions, type Life } from './link.js';
import { LogTime, writeRecord, type RabbitRecord } from './record.js';

export interface RabbitLogOptions extends LinkOptions { readonly stream: string; readonly replicas: number; readonly maxBytes: number }

/** All sessions twice, once as they were and once as they are being put again, and as much of what happens meanwhile. */
const RETAINED = 4;
/** What a record takes in the stream beside its text, for which core counts too little. */
const ON_DISK = 2;
const SEGMENTS = 8;
/** RabbitMQ 4 takes 16 MiB in a message. Of a text without what stands before it: a snapshot puts it again, with more before it. */
const MAX_TEXT_BYTES = 16_000_000;

/** A session log in a stream of RabbitMQ. Position is offset; each record says where the last snapshot begins, so that newcomers find it. */
export class RabbitLog implements SessionLog {
  readonly capabilities = { durability: 'crash', rollback: true, gone: 'unknown' } as const;
  readonly partitions = 1;
  readonly maxBytes: number;
  readonly retainedBytes: number;
  readonly #followers = new Set<Follower>();
  readonly #time = new LogTime();
  readonly #holes = new Set<string>();
  #link: Link | undefined;
  #generation = 0;
  /** Nobody needs what stands before it, as far as is known. */
  #beginning: number | undefined;

  constructor(private readonly options: RabbitLogOptions) {
    this.maxBytes = options.maxBytes;
    this.retainedBytes = RETAINED * options.maxBytes;
  }

  async start({ context }: DriverContext): Promise<void> {
    if (this.#link !== undefined) throw new ClusterError('CLUSTER_BAD_OPTION', 'this store has been started');
    const link: Link = new Link(this.options, `${this.options.stream}.${context}`, async (life) => {
      await this.#openStream(life);
      this.#beginning ??= await newestBeginning(life);
      // Whether it takes any.
      if (this.#link === undefined) await link.publish(this.#written('', undefined), life);
      for (const follower of this.#followers) await follower.attach(life, this.#beginning);
    });
    try {
      await link.open();
    } catch (error) {
      await link.close();
      throw error;
    }
    this.#link = link;
  }

  async stop(): Promise<void> {
    const link = this.#link;
    this.#link = this.#beginning = undefined;
    for (const follower of this.#followers) follower.end();
    this.#followers.clear();
    await link?.close();
  }

  async append(_partition: number, key: string, value: string | undefined): Promise<void> {
    const link = this.#started;
    const content = this.#written(key, value);
    const textBytes = content.length - (content.indexOf('\n', content.indexOf('\n') + 1) + 1);
    if (textBytes > MAX_TEXT_BYTES) {
      throw new ClusterError('CLUSTER_TOO_LARGE', `RabbitMQ: a record would have ${textBytes} bytes of text, and it takes ${MAX_TEXT_BYTES}; nothing was changed`);
    }
    await link.publish(content);
  }

  follow(_partition: number, take: (record: LogRecord) => void): () => void {
    const { life } = this.#started;
    const follower = new Follower({
      take: (record) => { this.#read(record, take); },
      holes: this.#holes,
      lost: () => {
        this.#followers.delete(follower);
        this.#beginning = undefined;
        this.#generation += 1;
        // Whoever follows takes a look at the generation, and begins anew.
        take({ key: '', position: Number.MAX_SAFE_INTEGER, timeMs: 0, value: undefined });
      },
    });
    this.#followers.add(follower);
    if (life !== undefined) follower.attach(life, this.#beginning ?? 0).catch(life.end);
    return () => {
      this.#followers.delete(follower);
      follower.end();
    };
  }

  async forget(_partition: number, before: number): Promise<void> { this.#beginning = Math.max(this.#beginning ?? 0, before); }

  generation(): string { return String(this.#generation); }

  #read(record: RabbitRecord, take: (record: LogRecord) => void): void {
    this.#time.see(record.timeMs);
    this.#beginning = Math.max(this.#beginning ?? 0, record.beginning);
    take(record);
  }

  #written(key: string, value: string | undefined): Buffer { return writeRecord(this.#time.nowMs, this.#beginning ?? 0, key, value); }

  /** Makes it unless it is there. */
  async #openStream({ publisher, stream }: Life): Promise<void> {
    // One segment more: the oldest goes as a whole.
    const bytes = Math.ceil(ON_DISK * this.retainedBytes * (SEGMENTS + 1) / SEGMENTS);
    await publisher.assertQueue(stream, { durable: true, arguments: {
      'x-queue-type': 'stream', 'x-max-length-bytes': bytes, 'x-stream-max-segment-size-bytes': Math.ceil(bytes / SEGMENTS), 'x-initial-cluster-size': this.options.replicas,
    } });
  }

  get #started(): Link {
    if (this.#link === undefined) throw new ClusterError('CLUSTER_STOPPED', 'the RabbitMQ store is not running');
    return this.#link;
  }
}

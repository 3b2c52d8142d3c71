import { randomBytes } from 'node:crypto';
import { ClusterError } from '@cluster/core';
import type { DriverContext, LogRecord, SessionLog } from '@cluster/core/driver';
import { Follower } from './follower.js';
import { Link, unavailable, type LinkOptions, type Life } from './link.js';
import { LogTime, writeRecord } from './record.js';
import { inChannel, openStreams } from './streams.js';

export interface RabbitLogOptions extends LinkOptions { readonly stream: string; readonly replicas: number; readonly maxBytes: number }

/** All sessions twice, once as they were and once as they are being put again, and as much of what happens meanwhile. */
const RETAINED = 4;
/** What a record takes in the stream beside its text, for which core counts too little. */
const ON_DISK = 2;
/** RabbitMQ 4 takes no more in a message. */
const MAX_RECORD_BYTES = 16_000_000;
const BEGINNING_MS = 10_000;

interface Running { readonly link: Link; readonly stream: string; readonly begins: string }

/** A session log in a stream of RabbitMQ. Position is offset; a second stream says where the last snapshot begins. */
export class RabbitLog implements SessionLog {
  readonly capabilities = { durability: 'crash', rollback: true, gone: 'unknown' } as const;
  readonly partitions = 1;
  readonly maxBytes: number;
  readonly retainedBytes: number;
  readonly #followers = new Set<Follower>();
  readonly #time = new LogTime();
  readonly #holes = new Set<string>();
  #running: Running | undefined;
  #generation = 0;
  #beginning: number | undefined;

  constructor(private readonly options: RabbitLogOptions) {
    this.maxBytes = options.maxBytes;
    this.retainedBytes = RETAINED * options.maxBytes;
  }

  async start({ context }: DriverContext): Promise<void> {
    if (this.#running !== undefined) throw new ClusterError('CLUSTER_BAD_OPTION', 'this store has been started');
    const stream = `${this.options.stream}.${context}`;
    const begins = `${stream}.begins`;
    // One segment more: the oldest goes as a whole.
    const settings = { replicas: this.options.replicas, bytes: Math.ceil(ON_DISK * this.retainedBytes * 9 / 8) };
    const link = new Link(this.options, async (life) => {
      await openStreams(life.connection, stream, begins, settings);
      for (const follower of this.#followers) void follower.attach(life);
    });
    try {
      await link.open();
      this.#running = { link, stream, begins };
      if (link.life === undefined) throw unavailable('the connection was lost at once');
      this.#beginning = await beginningIn(link, link.life, begins);
      // The newest records stay: who starts puts it there again.
      if (this.#beginning !== undefined) await link.publish(begins, Buffer.from(String(this.#beginning)));
    } catch (error) {
      this.#running = undefined;
      await link.close();
      throw error;
    }
  }

  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    for (const follower of this.#followers) follower.end();
    this.#followers.clear();
    await running?.link.close();
  }

  async append(_partition: number, key: string, value: string | undefined): Promise<void> {
    const { link, stream } = this.#started;
    const content = writeRecord(this.#time.nowMs, key, value);
    if (content.length > MAX_RECORD_BYTES) {
      throw new ClusterError('CLUSTER_TOO_LARGE', `RabbitMQ: a record would take ${content.length} bytes, and it takes ${MAX_RECORD_BYTES}; nothing was changed`);
    }
    await link.publish(stream, content);
  }

  follow(_partition: number, take: (record: LogRecord) => void): () => void {
    const { link, stream } = this.#started;
    const seen = (record: LogRecord) => {
      this.#time.see(record.timeMs);
      take(record);
    };
    const follower = new Follower(stream, seen, {
      beginning: () => this.#beginning ?? 'first',
      failed: (life) => { link.lose(life); },
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
    if (link.life !== undefined) void follower.attach(link.life);
    return () => {
      this.#followers.delete(follower);
      follower.end();
    };
  }

  async forget(_partition: number, before: number): Promise<void> {
    this.#beginning = before;
    const { link, begins } = this.#started;
    await link.publish(begins, Buffer.from(String(before)));
  }

  generation(): string { return String(this.#generation); }

  get #started(): Running {
    if (this.#running === undefined) throw new ClusterError('CLUSTER_STOPPED', 'the RabbitMQ store is not running');
    return this.#running;
  }
}

/** Reads the whole small stream, up to a record of its own. */
function beginningIn(link: Link, { connection }: Life, begins: string): Promise<number | undefined> {
  const mark = randomBytes(8).toString('hex');
  return inChannel(connection, async (channel) => {
    let beginning: number | undefined;
    await channel.prefetch(1_000);
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => { reject(unavailable(`'${begins}' could not be read within ${BEGINNING_MS} ms`)); }, BEGINNING_MS);
      const end = (work: () => void) => {
        clearTimeout(timer);
        work();
      };
      channel.on('close', () => { end(() => { reject(unavailable('the connection was lost')); }); });
      channel.consume(begins, (message) => {
        const text = message?.content.toString() ?? '';
        if (message !== null) channel.ack(message);
        if (/^\d+$/.test(text)) beginning = Math.max(beginning ?? 0, Number(text));
        else if (text === `? ${mark}`) end(resolve);
      }, { arguments: { 'x-stream-offset': 'first' } }).then(() => link.publish(begins, Buffer.from(`? ${mark}`))).catch((error: unknown) => { end(() => { reject(error); }); });
    });
    return beginning;
  });
}

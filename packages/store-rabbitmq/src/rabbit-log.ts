import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
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
/** RabbitMQ 4 takes 16 MiB in a message. Of a text without what stands before it: a snapshot puts it again, with more before it. */
const MAX_TEXT_BYTES = 16_000_000;
const BEGINNING_MS = 10_000;
/** Several that start at once get into each other's way while they make the streams. */
const START_MS = 5_000;
const AGAIN_MS = 100;
/** No right, other options, no such vhost. */
const FINAL_CODES: readonly unknown[] = [402, 403, 406, 530];

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
    const prepare = async (life: Life) => {
      await openStreams(life.connection, stream, begins, settings);
      for (const follower of this.#followers) void follower.attach(life);
    };
    const endMs = performance.now() + START_MS;
    for (let tried = 0; ; tried += 1) {
      // From another one each time.
      const { urls } = this.options;
      const first = tried % urls.length;
      const link = new Link({ ...this.options, urls: [...urls.slice(first), ...urls.slice(0, first)] }, prepare);
      let hasOpened = false;
      try {
        await link.open();
        hasOpened = true;
        await this.#findBeginning(link, begins);
        this.#running = { link, stream, begins };
        return;
      } catch (error) {
        await link.close();
        if (performance.now() > endMs || !mayPass(error, hasOpened)) throw ClusterError.is(error) ? error : unavailable(`'${begins}' cannot be used`, error);
        await sleep(AGAIN_MS);
      }
    }
  }

  async #findBeginning(link: Link, begins: string): Promise<void> {
    if (link.life === undefined) throw new Error('the connection was lost at once');
    this.#beginning = await beginningIn(link, link.life, begins);
    // The newest records stay: who starts puts it there again.
    if (this.#beginning !== undefined) await link.publish(begins, Buffer.from(String(this.#beginning)));
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
    const textBytes = content.length - (content.indexOf('\n', content.indexOf('\n') + 1) + 1);
    if (textBytes > MAX_TEXT_BYTES) {
      throw new ClusterError('CLUSTER_TOO_LARGE', `RabbitMQ: a record would have ${textBytes} bytes of text, and it takes ${MAX_TEXT_BYTES}; nothing was changed`);
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

const codeOf = (error: unknown): unknown => (error instanceof Error ? ('code' in error && typeof error.code === 'number' ? error.code : codeOf(error.cause)) : undefined);

function mayPass(error: unknown, hasOpened: boolean): boolean {
  const code = codeOf(error);
  return (hasOpened || code !== undefined) && !FINAL_CODES.includes(code);
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
        if (message === null) {
          end(() => { reject(new Error(`'${begins}' was deleted`)); });
          return;
        }
        channel.ack(message);
        const text = message.content.toString();
        if (/^\d+$/.test(text)) beginning = Math.max(beginning ?? 0, Number(text));
        else if (text === `? ${mark}`) end(resolve);
      }, { arguments: { 'x-stream-offset': 'first' } }).then(() => link.publish(begins, Buffer.from(`? ${mark}`))).catch((error: unknown) => { end(() => { reject(error); }); });
    });
    return beginning;
  });
}

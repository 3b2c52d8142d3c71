import { setTimeout as sleep } from 'node:timers/promises';
import type { Channel, ConsumeMessage } from 'amqplib';
import type { Life } from './link.js';
import { readRecord, type RabbitRecord } from './record.js';

/** So many may be under way. */
const PREFETCH = 500;
/** One by one, they would be read half as fast. Others follow soon, if only one's own beats, so none waits for long. */
const ACK_EVERY = 100;
const ACK_MS = 1_000;
/** Between two segments a number is left out. */
const MOST_AHEAD = 2;
/** If nothing comes within this time from a place where there was something, it is there no more. */
const SILENT_MS = 3_000;
/** If nothing comes within this time from a stream's last place, it is empty. */
const EMPTY_MS = 500;
const LOOK_MS = 10;

export interface FollowerHooks {
  take(record: RabbitRecord): void;
  /** What was read before is not what is there now, or something after it is not: whoever reads begins anew, with another follower. */
  lost(): void;
  /**
   * Where numbers were left out, as `<before>-<after>`. What stands before a hole would be lost before what stood in it: who comes to
   * the same hole again has missed nothing there.
   */
  readonly holes: Set<string>;
}

/** One reader of a stream, over as many connections as it takes. */
export class Follower {
  #last: { readonly position: number; readonly content: Buffer } | undefined;
  #channel: Channel | undefined;
  #silence: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(private readonly queue: string, private readonly hooks: FollowerHooks) {}

  /** In each life of the connection; resolves when what it has read before is seen to be there. */
  attach(life: Life, beginning: number): Promise<void> {
    const last = this.#last;
    let isContinued = last === undefined;
    // Of this life: the channel of the one before may still be closing.
    let silence: NodeJS.Timeout | undefined;
    return new Promise((resolve, reject) => {
      const take = (message: ConsumeMessage) => {
        clearTimeout(silence);
        resolve();
        if (this.#isOver) return;
        const position = positionOf(message);
        isContinued ||= position === last?.position && message.content.equals(last.content);
        if (!isContinued || this.#misses(position)) this.#lose(life);
        else this.#hand(message, position);
      };
      consume(life, this.queue, last?.position ?? beginning, take).then((channel) => {
        this.#channel = channel;
        channel.on('close', () => { clearTimeout(silence); });
        if (this.#isOver) this.end();
        if (this.#isOver || isContinued) resolve();
        else this.#silence = silence = setTimeout(() => { this.#lose(life); }, SILENT_MS).unref();
      }, reject);
    });
  }

  end(): void {
    this.#isOver = true;
    clearTimeout(this.#silence);
    this.#channel?.close().catch(() => undefined);
  }

  #lose(life: Life): void {
    this.#isOver = true;
    life.end(new Error('the stream does not have what was read from it any more'));
    this.hooks.lost();
  }

  #misses(position: number): boolean {
    const hole = `${this.#last?.position}-${position}`;
    if (position <= (this.#last?.position ?? position) + MOST_AHEAD || this.hooks.holes.has(hole)) return false;
    this.hooks.holes.add(hole);
    return true;
  }

  #hand({ content }: ConsumeMessage, position: number): void {
    if (position <= (this.#last?.position ?? -1)) return;
    this.#last = { position, content };
    const record = readRecord(content, position);
    if (record !== undefined) this.hooks.take(record);
  }
}

/** What the newest record says of where reading may begin; 0 if there is none. */
export async function newestBeginning(life: Life, queue: string): Promise<number> {
  let newest: RabbitRecord | undefined;
  const channel = await consume(life, queue, 'last', (message) => { newest ??= readRecord(message.content, positionOf(message)); });
  for (let leftMs = EMPTY_MS; newest === undefined && leftMs > 0; leftMs -= LOOK_MS) await sleep(LOOK_MS);
  await channel.close();
  return newest?.beginning ?? 0;
}

/** Hands over what is in a stream from a place on, until the channel is closed. */
async function consume({ connection, end }: Life, queue: string, from: number | 'last', take: (message: ConsumeMessage) => void): Promise<Channel> {
  const channel = await connection.createChannel();
  channel.on('error', end);
  await channel.prefetch(PREFETCH);
  let unacknowledged = 0;
  let sinceMs = performance.now();
  await channel.consume(queue, (message) => {
    if (message === null) {
      end(new Error('the stream was deleted'));
      return;
    }
    unacknowledged += 1;
    // First, since whoever takes it may close the channel.
    if (unacknowledged >= ACK_EVERY || performance.now() - sinceMs > ACK_MS) {
      channel.ack(message, true);
      unacknowledged = 0;
      sinceMs = performance.now();
    }
    take(message);
  }, { arguments: { 'x-stream-offset': from } });
  return channel;
}

const positionOf = (message: ConsumeMessage): number => {
  const headers: Readonly<Record<string, unknown>> = message.properties.headers ?? {};
  return Number(headers['x-stream-offset']);
};

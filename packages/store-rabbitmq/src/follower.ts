import type { Channel, ConsumeMessage } from 'amqplib';
import type { Life } from './link.js';
import { readRecord, type RabbitRecord } from './record.js';

/** So many may be under way to whoever reads on; and to whoever looks at the first one, since that may be somebody else's. */
const PREFETCH = 500;
const PREFETCH_FIRST = 10;
/** One by one, they would be read half as fast. Others follow soon, if only one's own beats, so none waits for long. */
const ACK_EVERY = 100;
const ACK_MS = 1_000;
/** Between two segments a number is left out. */
const MOST_AHEAD = 2;
/** If nothing comes within this time from a place where there was something, it is there no more. */
const SILENT_MS = 3_000;
/** If nothing comes within this time from a stream's last place, it is empty. */
const EMPTY_MS = 500;

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
  #isOver = false;

  constructor(private readonly hooks: FollowerHooks) {}

  /** In each life of the connection; resolves when what it has read before is seen to be there. */
  async attach(life: Life, beginning: number): Promise<void> {
    const last = this.#last;
    if (last !== undefined && !await isThere(life, last)) this.#lose(life);
    else await this.#read(life, last?.position ?? beginning);
  }

  end(): void {
    this.#isOver = true;
    this.#channel?.close().catch(() => undefined);
  }

  async #read(life: Life, from: number): Promise<void> {
    this.#channel = await consume(life, from, PREFETCH, (message) => { this.#take(message, life); });
    // It may have ended meanwhile.
    if (this.#isOver) this.end();
  }

  #lose(life: Life): void {
    if (this.#isOver) return;
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

  #take(message: ConsumeMessage, life: Life): void {
    const position = positionOf(message);
    if (this.#isOver || position <= (this.#last?.position ?? -1)) return;
    if (this.#misses(position)) {
      this.#lose(life);
      return;
    }
    this.#last = { position, content: message.content };
    const record = readRecord(message.content, position);
    if (record !== undefined) this.hooks.take(record);
  }
}

/** What the newest record says of where reading may begin; 0 if there is none. */
export const newestBeginning = async (life: Life): Promise<number> => (
  await first(life, 'last', EMPTY_MS, (message) => readRecord(message.content, positionOf(message))?.beginning) ?? 0);

const isThere = async (life: Life, { position, content }: { readonly position: number; readonly content: Buffer }): Promise<boolean> => (
  await first(life, position, SILENT_MS, (message) => positionOf(message) === position && message.content.equals(content)) ?? false);

/** What is said of the first message from a place on of which anything is; undefined: there was none within this time. */
async function first<T>(life: Life, from: number | 'last', withinMs: number, say: (message: ConsumeMessage) => T | undefined): Promise<T | undefined> {
  let answer: (said?: T) => void = () => undefined;
  const answered = new Promise<T | undefined>((resolve) => { answer = resolve; });
  const channel = await consume(life, from, PREFETCH_FIRST, (message) => {
    const said = say(message);
    if (said !== undefined) answer(said);
  });
  const timer = setTimeout(answer, withinMs).unref();
  const said = await answered;
  clearTimeout(timer);
  // Rejects if the connection was lost: then it says nothing that nothing came.
  await channel.close();
  return said;
}

/** Hands over what is in a stream from a place on, until the channel is closed. */
async function consume({ connection, stream, end }: Life, from: number | 'last', prefetch: number, take: (message: ConsumeMessage) => void): Promise<Channel> {
  const channel = await connection.createChannel();
  channel.on('error', end);
  await channel.prefetch(prefetch);
  let unacknowledged = 0;
  let sinceMs = performance.now();
  await channel.consume(stream, (message) => {
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

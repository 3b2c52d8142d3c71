import type { Channel, ConsumeMessage } from 'amqplib';
import type { LogRecord } from '@cluster/core/driver';
import type { Life } from './link.js';
import { readRecord } from './record.js';

/** So many may be under way. */
const PREFETCH = 500;
const ACK_EVERY = 100;
/** If nothing comes within this time from a place where there was something, it is there no more. */
const SILENT_MS = 3_000;

export interface FollowerHooks {
  /** Where to begin: a position, or the first record. */
  beginning(): number | 'first';
  /** What was read before is not what is there now, or something between them is not. */
  lost(): void;
  /** The connection is of no use. */
  failed(): void;
}

/** One reader of a stream, over as many connections as it takes. */
export class Follower {
  #last: { readonly position: number; readonly content: Buffer } | undefined;
  #channel: Channel | undefined;
  #isOver = false;
  #silence: NodeJS.Timeout | undefined;

  constructor(private readonly queue: string, private readonly take: (record: LogRecord) => void, private readonly hooks: FollowerHooks) {}

  /** In each life of the connection. */
  async attach(life: Life, from: number | 'first' = this.#last?.position ?? this.hooks.beginning()): Promise<void> {
    if (this.#isOver) return;
    try {
      const channel = await life.connection.createChannel();
      this.#channel = channel;
      channel.on('error', () => undefined);
      await channel.prefetch(PREFETCH);
      let isFirst = true;
      const hasBegun = () => !isFirst;
      let unacknowledged = 0;
      await channel.consume(this.queue, (message) => {
        if (this.#channel !== channel) return;
        if (message === null) {
          this.hooks.failed();
          return;
        }
        clearTimeout(this.#silence);
        if (isFirst && !this.#isContinued(message)) return;
        isFirst = false;
        this.#hand(message);
        unacknowledged += 1;
        if (unacknowledged % ACK_EVERY === 0) channel.ack(message, true);
      }, { arguments: { 'x-stream-offset': from } });
      if (this.#channel !== channel) await channel.close();
      else if (from !== 'first' && !hasBegun()) this.#silence = setTimeout(() => { this.#notThere(life); }, SILENT_MS).unref();
    } catch {
      this.hooks.failed();
    }
  }

  end(): void {
    this.#isOver = true;
    this.#detach();
  }

  #detach(): void {
    clearTimeout(this.#silence);
    const channel = this.#channel;
    this.#channel = undefined;
    channel?.close().catch(() => undefined);
  }

  /** Whether what comes first after a new connection is the last one that came before. */
  #isContinued(message: ConsumeMessage): boolean {
    const last = this.#last;
    if (last === undefined || (positionOf(message) === last.position && message.content.equals(last.content))) return true;
    this.#lose();
    return false;
  }

  #notThere(life: Life): void {
    if (this.#isOver) return;
    if (this.#last !== undefined) this.#lose();
    else {
      this.#detach();
      void this.attach(life, 'first');
    }
  }

  /** Whoever reads begins anew with another follower. */
  #lose(): void {
    this.end();
    this.hooks.lost();
  }

  #hand(message: ConsumeMessage): void {
    const position = positionOf(message);
    if (position <= (this.#last?.position ?? -1)) return;
    this.#last = { position, content: message.content };
    this.take(readRecord(message.content, position));
  }
}

const positionOf = (message: ConsumeMessage): number => {
  const headers: Readonly<Record<string, unknown>> = message.properties.headers ?? {};
  return Number(headers['x-stream-offset']);
};

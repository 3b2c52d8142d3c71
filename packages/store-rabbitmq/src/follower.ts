import type { Channel, ConsumeMessage } from 'amqplib';
import type { LogRecord } from '@cluster/core/driver';
import type { Life } from './link.js';
import { readRecord } from './record.js';

/** So many may be under way. */
const PREFETCH = 500;
const ACK_EVERY = 100;
/** The broker closes the channel of who acknowledges nothing for long (`consumer_timeout`, 30 minutes). */
const ACK_MS = 10_000;
/** Between two segments a number is left out. */
const MOST_AHEAD = 2;
/** If nothing comes within this time from a place where there was something, it is there no more. */
const SILENT_MS = 3_000;

export interface FollowerHooks {
  /** Where to begin: a position, or the first record. */
  beginning(): number | 'first';
  /** What was read before is not what is there now, or something between them is not. */
  lost(): void;
  /** The connection is of no use. */
  failed(life: Life): void;
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
  #silence: NodeJS.Timeout | undefined;
  #unacknowledged: { readonly message: ConsumeMessage; readonly count: number } | undefined;
  #acknowledging: NodeJS.Timeout | undefined;

  constructor(private readonly queue: string, private readonly take: (record: LogRecord) => void, private readonly hooks: FollowerHooks) {}

  /** In each life of the connection. */
  async attach(life: Life, from: number | 'first' = this.#last?.position ?? this.hooks.beginning()): Promise<void> {
    if (this.#isOver) return;
    this.#forgetChannel();
    try {
      const channel = await life.connection.createChannel();
      this.#channel = channel;
      channel.on('error', () => undefined); // 'close' follows
      channel.on('close', () => { if (this.#channel === channel) this.#fail(life); });
      await channel.prefetch(PREFETCH);
      let isFirst = true;
      const hasBegun = () => !isFirst;
      await channel.consume(this.queue, (message) => {
        if (this.#channel !== channel) return;
        if (message === null) {
          this.#fail(life);
          return;
        }
        clearTimeout(this.#silence);
        if (isFirst && !this.#isContinued(message)) return;
        isFirst = false;
        this.#hand(message);
        this.#acknowledge(channel, message);
      }, { arguments: { 'x-stream-offset': from } });
      if (this.#channel !== channel) await channel.close();
      else if (from !== 'first' && !hasBegun()) this.#silence = setTimeout(() => { this.#notThere(life); }, SILENT_MS).unref();
    } catch {
      this.hooks.failed(life);
    }
  }

  end(): void {
    this.#isOver = true;
    this.#detach();
  }

  #fail(life: Life): void {
    this.#forgetChannel();
    this.hooks.failed(life);
  }

  #forgetChannel(): Channel | undefined {
    clearTimeout(this.#silence);
    clearTimeout(this.#acknowledging);
    const channel = this.#channel;
    this.#channel = this.#unacknowledged = this.#acknowledging = undefined;
    return channel;
  }

  #acknowledge(channel: Channel, message: ConsumeMessage): void {
    // Whoever took it may have ended this.
    if (this.#channel !== channel) return;
    this.#unacknowledged = { message, count: (this.#unacknowledged?.count ?? 0) + 1 };
    if (this.#unacknowledged.count >= ACK_EVERY) this.#acknowledgeAll(channel);
    else this.#acknowledging ??= setTimeout(() => { this.#acknowledgeAll(channel); }, ACK_MS).unref();
  }

  #acknowledgeAll(channel: Channel): void {
    clearTimeout(this.#acknowledging);
    try {
      if (this.#unacknowledged !== undefined) channel.ack(this.#unacknowledged.message, true);
    } catch {
      // It is being closed, and amqplib throws then; the next channel begins where this one was.
    }
    this.#unacknowledged = this.#acknowledging = undefined;
  }

  #detach(): void {
    const channel = this.#forgetChannel();
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

  #isNewHole(before: number, after: number): boolean {
    const hole = `${before}-${after}`;
    const isNew = !this.hooks.holes.has(hole);
    this.hooks.holes.add(hole);
    return isNew;
  }

  #hand(message: ConsumeMessage): void {
    const position = positionOf(message);
    const last = this.#last?.position;
    if (last !== undefined && position <= last) return;
    if (last !== undefined && position - last > MOST_AHEAD && this.#isNewHole(last, position)) {
      this.#lose();
      return;
    }
    this.#last = { position, content: message.content };
    const record = readRecord(message.content, position);
    if (record !== undefined) this.take(record);
  }
}

const positionOf = (message: ConsumeMessage): number => {
  const headers: Readonly<Record<string, unknown>> = message.properties.headers ?? {};
  return Number(headers['x-stream-offset']);
};

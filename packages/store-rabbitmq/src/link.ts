import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import amqplib, { type ChannelModel, type ConfirmChannel } from 'amqplib';
import { ClusterError } from '@cluster/core';
import { adviceAbout, messageOf, unavailable } from './rabbit-error.js';

export interface LinkOptions { readonly urls: readonly string[]; readonly socket: object }

/** One life of the connection. */
export interface Life {
  readonly connection: ChannelModel;
  readonly publisher: ConfirmChannel;
  readonly stream: string;
  /** It is of no use any more. */
  readonly end: (error: unknown) => void;
}

/** Several that start at once get into each other's way while they make the stream. */
const START_MS = 5_000;
/** Before another connection is tried, also when the last one did not last. */
const AGAIN_MS = 250;
const CLOSE_MS = 500;
const CONNECT_MS = 1_000;
const PREPARE_MS = 5_000;
/** Two of them without a sign of life, and the connection counts as lost. */
const HEARTBEAT_S = 2;

const blocked = (reason: string) => unavailable(`it takes nothing at the moment: ${reason}`);

/** A broker that stands still closes nothing: then the socket is cut. */
async function closeInTime(connection: ChannelModel): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((resolve) => { timer = setTimeout(resolve, CLOSE_MS); });
  await Promise.race([connection.close().catch(() => undefined), late]);
  clearTimeout(timer);
  // Its types leave it out. With an error, since amqplib keeps its timers otherwise.
  (connection.connection as unknown as { readonly stream: Duplex }).stream.destroy(new Error('the store closed the connection'));
}

/** A connection that is made anew, to the next node, when it is lost. Nothing is sent twice. */
export class Link {
  life: Life | undefined;
  /** Why the last connection ended, or was none. */
  #trouble: { readonly host: string; readonly error: unknown } | undefined;
  /** Why the broker takes nothing at the moment. */
  #blocked: string | undefined;
  #isClosed = false;
  #next = 0;

  /** @param prepare is done in each life before it is used; if it fails another one is tried */
  constructor(private readonly options: LinkOptions, private readonly stream: string, private readonly prepare: (life: Life) => Promise<void>) {}

  /** Tries for some seconds, unless the broker says what is wrong. */
  async open(): Promise<void> {
    const endMs = performance.now() + START_MS;
    while (!await this.#begin()) {
      const { host = '', error } = this.#trouble ?? {};
      if (ClusterError.is(error)) throw error;
      const advice = adviceAbout(error);
      if (advice === undefined && performance.now() < endMs) await sleep(AGAIN_MS);
      else throw unavailable(`${host} cannot be used: ${messageOf(error)}${advice === undefined ? '' : `: ${advice}`}`, error);
    }
  }

  /** Resolves when the broker has confirmed it; a rejection with CLUSTER_UNAVAILABLE says that it was not sent. */
  async publish(content: Buffer, life = this.life): Promise<void> {
    if (life === undefined) throw unavailable(`there is no connection${this.#why}`, this.#trouble?.error);
    if (this.#blocked !== undefined) throw blocked(this.#blocked);
    await new Promise<void>((resolve, reject) => {
      life.publisher.publish('', this.stream, content, { persistent: true, mandatory: true }, (error: unknown) => {
        if (error === null || error === undefined) resolve();
        else reject(new Error(`RabbitMQ did not confirm it: ${messageOf(error)}${this.#why}`, { cause: error }));
      });
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const { life } = this;
    this.life = undefined;
    if (life !== undefined) await closeInTime(life.connection);
  }

  get #why(): string { return this.#trouble === undefined ? '' : `; ${this.#trouble.host}: ${messageOf(this.#trouble.error)}`; }

  /** False: see `#trouble`. */
  async #begin(): Promise<boolean> {
    const { urls, socket } = this.options;
    const url = new URL(urls[this.#next++ % urls.length] ?? '');
    if (!url.searchParams.has('heartbeat')) url.searchParams.set('heartbeat', String(HEARTBEAT_S));
    try {
      // Without noDelay an echo takes 40 ms.
      await this.#live(url.host, await amqplib.connect(url.href, { timeout: CONNECT_MS, ...socket, noDelay: true }));
      return true;
    } catch (error) {
      this.#trouble = { host: url.host, error };
      return false;
    }
  }

  async #live(host: string, connection: ChannelModel): Promise<void> {
    const ending = new AbortController();
    let end: Life['end'] = () => undefined;
    const over = new Promise<never>((_, reject) => {
      end = (error = new Error('the connection was closed')) => {
        if (ending.signal.aborted) return;
        ending.abort();
        this.#trouble = { host, error };
        if (this.life?.connection === connection) this.life = this.#blocked = undefined;
        void closeInTime(connection);
        reject(error);
      };
    });
    connection.on('error', end);
    connection.on('close', end);
    connection.on('blocked', (reason: string) => {
      if (this.life === undefined) end(blocked(reason));
      else this.#blocked = reason;
    });
    connection.on('unblocked', () => { this.#blocked = undefined; });
    // A network that loses everything says nothing.
    const timer = setTimeout(() => { end(new Error(`it did not answer within ${PREPARE_MS} ms`)); }, PREPARE_MS);
    try {
      const life = await Promise.race([this.#prepared(connection, end), over]);
      if (ending.signal.aborted || this.#isClosed) throw unavailable('closed');
      this.life = life;
      this.#trouble = undefined;
    } catch (error) {
      end(error);
      throw error;
    } finally {
      clearTimeout(timer);
    }
    over.catch(() => this.#again());
  }

  async #prepared(connection: ChannelModel, end: Life['end']): Promise<Life> {
    const publisher = await connection.createConfirmChannel();
    publisher.on('error', end);
    publisher.on('close', end);
    // It would be confirmed all the same.
    publisher.on('return', () => { end(new Error('the stream is not there any more')); });
    const life = { connection, publisher, stream: this.stream, end };
    await this.prepare(life);
    return life;
  }

  async #again(): Promise<void> {
    do await sleep(AGAIN_MS, undefined, { ref: false });
    // If the new one is over by now, another loop goes on.
    while (!this.#isClosed && !await this.#begin());
  }
}

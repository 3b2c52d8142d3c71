import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import amqplib, { type ChannelModel, type ConfirmChannel } from 'amqplib';
import { ClusterError } from '@cluster/core';

export interface LinkOptions { readonly urls: readonly string[]; readonly socket: object }

/** One life of the connection. */
export interface Life { readonly connection: ChannelModel; readonly publisher: ConfirmChannel }

/** Before another connection is tried; the double each time while none lasts. */
const AGAIN_MS = 100;
const MOST_AGAIN_MS = 2_000;
const LASTING_MS = 10_000;
const CLOSE_MS = 500;
const CONNECT_MS = 1_000;
const PREPARE_MS = 2_000;
/** Two of them without a sign of life, and the connection counts as lost. */
const HEARTBEAT_S = 2;

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message || ('code' in error ? String(error.code) : error.name) : String(error));

export const unavailable = (what: string, cause?: unknown) => new ClusterError('CLUSTER_UNAVAILABLE', `RabbitMQ: ${what}`, cause === undefined ? {} : { cause });

/** A network that loses everything says nothing. */
function inTime<T>(work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => { reject(unavailable(`it did not answer within ${PREPARE_MS} ms`)); }, PREPARE_MS);
    work.then(resolve, reject).finally(() => { clearTimeout(timer); });
  });
}

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
  /** Why the broker takes nothing at the moment. */
  #blocked: string | undefined;
  #isClosed = false;
  #next = 0;
  #pauseMs = AGAIN_MS / 2;
  #sinceMs = 0;
  readonly #unconfirmed = new Set<(error: Error) => void>();

  /** @param prepare is done in each life before it is used; if it fails another one is tried */
  constructor(private readonly options: LinkOptions, private readonly prepare: (life: Life) => Promise<void>) {}

  async open(): Promise<void> {
    let error: unknown;
    for (let left = this.options.urls.length; left > 0; left -= 1) {
      try {
        await this.#begin();
        return;
      } catch (failed) {
        error = failed;
      }
    }
    if (ClusterError.is(error)) throw error;
    // All that amqplib says of a vhost that the broker refuses.
    const isVhost = messageOf(error).includes('ConnectionOpenOk');
    throw unavailable(`cannot be connected to: ${isVhost ? 'the vhost of the URL is not there, or the user has no right to it' : messageOf(error)}`, error);
  }

  /** Resolves when the broker has confirmed it; a rejection with CLUSTER_UNAVAILABLE says that it was not sent. */
  publish(queue: string, content: Buffer): Promise<void> {
    const { life } = this;
    if (life === undefined) return Promise.reject(unavailable('there is no connection'));
    if (this.#blocked !== undefined) return Promise.reject(unavailable(`it takes nothing at the moment: ${this.#blocked}`));
    return new Promise((resolve, reject) => {
      this.#unconfirmed.add(reject);
      life.publisher.publish('', queue, content, { persistent: true, mandatory: true }, (error: unknown) => {
        if (!this.#unconfirmed.delete(reject)) return;
        if (error === null || error === undefined) resolve();
        else reject(new Error(`RabbitMQ did not confirm it: ${messageOf(error)}`));
      });
    });
  }

  /** Its connection is of no use any more. */
  lose(life: Life): void { this.#end(life); }

  async close(): Promise<void> {
    this.#isClosed = true;
    const { life } = this;
    this.life = undefined;
    this.#rejectAll();
    if (life !== undefined) await closeInTime(life.connection);
  }

  async #begin(): Promise<void> {
    const connection = await this.#connect();
    try {
      const life = await inTime(this.#prepared(connection));
      if (this.#isClosed) throw unavailable('closed');
      this.life = life;
      this.#sinceMs = performance.now();
    } catch (error) {
      void closeInTime(connection);
      throw error;
    }
  }

  async #connect(): Promise<ChannelModel> {
    const { urls, socket } = this.options;
    const url = new URL(urls[this.#next++ % urls.length] ?? '');
    if (!url.searchParams.has('heartbeat')) url.searchParams.set('heartbeat', String(HEARTBEAT_S));
    // Without noDelay an echo takes 40 ms.
    const connection = await amqplib.connect(url.href, { timeout: CONNECT_MS, ...socket, noDelay: true });
    connection.on('error', () => undefined); // 'close' follows
    return connection;
  }

  async #prepared(connection: ChannelModel): Promise<Life> {
    const publisher = await connection.createConfirmChannel();
    const life = { connection, publisher };
    const end = () => { this.#end(life); };
    connection.on('close', end);
    connection.on('blocked', (reason: string) => { this.#blocked = reason; });
    connection.on('unblocked', () => { this.#blocked = undefined; });
    publisher.on('error', () => undefined);
    publisher.on('close', end);
    // The stream is no more; it would be confirmed all the same.
    publisher.on('return', end);
    await this.prepare(life);
    return life;
  }

  #end(life: Life): void {
    if (this.life !== life) return;
    this.life = undefined;
    this.#blocked = undefined;
    this.#rejectAll();
    void closeInTime(life.connection);
    this.#pauseMs = performance.now() - this.#sinceMs >= LASTING_MS ? AGAIN_MS : Math.min(2 * this.#pauseMs, MOST_AGAIN_MS);
    void this.#again();
  }

  #rejectAll(): void {
    for (const reject of this.#unconfirmed) reject(new Error('RabbitMQ: the connection was lost before it was confirmed'));
    this.#unconfirmed.clear();
  }

  async #again(): Promise<void> {
    for (;;) {
      await sleep(this.#pauseMs, undefined, { ref: false });
      if (this.#isClosed || this.life !== undefined) return;
      // If that one is over by now, another loop goes on.
      if (await this.#begin().then(() => true, () => false)) return;
    }
  }
}

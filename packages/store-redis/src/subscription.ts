import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Connection } from './connection.js';

const AGAIN_MS = 100;

interface Hearing {
  readonly channel: string;
  readonly isSharded: boolean;
  readonly receive: (message: string) => void;
  readonly listening: (up: boolean) => void;
}

/** Listens to one channel, by a connection of its own; as often as that ends it looks for the server that has the channel. */
export class Subscription {
  readonly #ending = new AbortController();
  #server: Redis | undefined;

  constructor(private readonly connection: Connection, private readonly hearing: Hearing) {}

  /** Resolves when the channel is first listened to; rejects if that fails. */
  async open(): Promise<void> {
    this.#follow(await this.#listen());
  }

  /** Finds the server anew: nobody listens at the one to which messages go. */
  renew(): void {
    this.#leave();
  }

  /** A connection that is dead without a word ends by it. */
  probe(): void {
    this.#server?.ping().catch(() => undefined);
  }

  close(): void {
    this.#ending.abort();
    this.#leave();
  }

  #leave(): void {
    this.#server?.disconnect();
    this.#server = undefined;
  }

  /** Resolves to a server at which the channel is listened to. */
  async #listen(): Promise<Redis> {
    let failure: unknown = new Error('no server takes writes');
    for (const server of this.connection.subscribers()) {
      if (this.#ending.signal.aborted) break;
      this.#server = server;
      try {
        await this.#subscribe(server);
        return server;
      } catch (error) {
        server.disconnect();
        failure = error;
      }
    }
    throw failure;
  }

  async #subscribe(server: Redis): Promise<void> {
    const { channel, isSharded, receive } = this.hearing;
    server.on('error', () => undefined);
    // The slot of the channel has moved.
    server.on('moved', () => { server.disconnect(); });
    server.on(isSharded ? 'smessage' : 'message', (_channel: string, message: string) => {
      // A connection goes on for a moment after it was left.
      if (this.#server === server) receive(message);
    });
    await server.connect();
    await (isSharded ? server.ssubscribe(channel) : server.subscribe(channel));
    this.hearing.listening(true);
  }

  #follow(server: Redis): void {
    server.once('end', () => {
      this.hearing.listening(false);
      void this.#again();
    });
  }

  async #again(): Promise<void> {
    while (!this.#ending.signal.aborted) {
      const server = await this.#listen().catch(() => undefined);
      if (server !== undefined) {
        this.#follow(server);
        return;
      }
      await sleep(AGAIN_MS, undefined, { ref: false, signal: this.#ending.signal }).catch(() => undefined);
    }
  }
}

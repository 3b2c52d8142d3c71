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
  #connecting: Redis | undefined;

  constructor(private readonly connection: Connection, private readonly hearing: Hearing) {}

  /** The server at which the channel is listened to now. */
  get at(): Redis | undefined { return this.#server; }

  /** Resolves when the channel is first listened to; rejects if that fails. */
  async open(): Promise<void> {
    this.#follow(await this.#listen());
  }

  /** No signals go to this server: finds another one, unless it has done so already. */
  leave(server: Redis): void {
    if (this.#server !== server) return;
    this.#server = undefined;
    server.disconnect();
  }

  /** A connection that is dead without a word ends by it. */
  probe(): void {
    this.#server?.ping().catch(() => undefined);
  }

  close(): void {
    this.#ending.abort();
    this.#connecting?.disconnect();
    if (this.#server !== undefined) this.leave(this.#server);
  }

  /** Resolves to a server at which the channel is listened to. */
  async #listen(): Promise<Redis> {
    let failure: unknown = new Error('no server takes writes');
    for (const server of this.connection.subscribers()) {
      if (this.#ending.signal.aborted) break;
      this.#connecting = server;
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
    this.#server = server;
    this.hearing.listening(true);
  }

  #follow(server: Redis): void {
    server.once('end', () => {
      if (this.#server === server) this.#server = undefined;
      if (this.#ending.signal.aborted) return;
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

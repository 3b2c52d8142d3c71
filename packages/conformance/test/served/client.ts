import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { deserialize, serialize } from 'node:v8';
import type { Served, Wanted } from './server.js';

export interface Address { readonly host?: string; readonly port: number; readonly reconnectMs?: number }

const RECONNECT_MS = 50;

export interface ClientHooks {
  /** Of each connection; it can be used when this has resolved. */
  greet(ask: (method: string, ...args: unknown[]) => Promise<unknown>): Promise<void>;
  pushed?(value: unknown): void;
  lost?(): void;
}

/** A client of SmallServer that connects again when its connection was cut. What was not answered by then is rejected. */
export class SmallClient {
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #socket: Socket | undefined;
  #asked = 0;
  #runs = false;

  constructor(private readonly address: Address, private readonly hooks: ClientHooks) {}

  async start(): Promise<void> {
    this.#runs = true;
    await this.#connect();
  }

  stop(): void {
    this.#runs = false;
    this.#socket?.destroy();
  }

  ask(method: string, ...args: unknown[]): Promise<unknown> {
    const socket = this.#socket;
    return socket === undefined ? Promise.reject(new Error('not connected')) : this.#ask(socket, method, args);
  }

  #ask(socket: Socket, method: string, args: readonly unknown[]): Promise<unknown> {
    const n = ++this.#asked;
    return new Promise((resolve, reject) => {
      this.#waiting.set(n, { resolve, reject });
      socket.write(`${serialize({ n, method, args } satisfies Wanted).toString('base64')}\n`);
    });
  }

  async #connect(): Promise<void> {
    const socket = connect(this.address.port, this.address.host ?? '127.0.0.1').setNoDelay(true);
    socket.on('close', () => { this.#lost(socket); });
    await once(socket, 'connect');
    socket.on('error', () => undefined);
    createInterface({ input: socket }).on('error', () => undefined)
      .on('line', (line) => { this.#take(deserialize(Buffer.from(line, 'base64')) as Served); }); // the server's
    await this.hooks.greet((method, ...args) => this.#ask(socket, method, args));
    this.#socket = socket;
  }

  #lost(socket: Socket): void {
    if (this.#socket === socket) {
      this.#socket = undefined;
      this.hooks.lost?.();
    }
    for (const { reject } of this.#waiting.values()) reject(new Error('the connection was lost'));
    this.#waiting.clear();
    if (this.#runs) setTimeout(() => { if (this.#runs) this.#connect().catch(() => undefined); }, this.address.reconnectMs ?? RECONNECT_MS).unref();
  }

  #take(served: Served): void {
    if ('pushed' in served) {
      this.hooks.pushed?.(served.pushed);
      return;
    }
    const waiting = this.#waiting.get(served.n);
    this.#waiting.delete(served.n);
    if (served.failed === undefined) waiting?.resolve(served.value);
    else waiting?.reject(Object.assign(new Error(served.failed.message), served.failed));
  }
}

import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { deserialize, serialize } from 'node:v8';

export interface Wanted { readonly n: number; readonly method: string; readonly args: readonly unknown[] }
export interface Failed { readonly name: string; readonly message: string; readonly code: unknown }
export type Served = { readonly n: number; readonly value?: unknown; readonly failed?: Failed } | { readonly pushed: unknown };

/** What one connection is served. */
export interface Service {
  answer(method: string, args: readonly unknown[]): unknown;
  ended(): void;
}

const failedBy = (error: unknown): Failed =>
  (error instanceof Error ? { name: error.name, message: error.message, code: Reflect.get(error, 'code') } : { name: 'Error', message: String(error), code: undefined });

/** A server on a port of 127.0.0.1, in this process, that can be restarted and can stand still. */
export class SmallServer {
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #frozen: (() => void)[] | undefined;

  constructor(private readonly serve: (push: (value: unknown) => void) => Service) {}

  get port(): number {
    const address = this.#server?.address();
    if (address === null || typeof address !== 'object') throw new Error('the server does not listen');
    return address.port;
  }

  async open(): Promise<void> {
    this.#server = createServer((socket) => { this.#accept(socket); });
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  close(): void {
    this.#server?.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  freeze(): void { this.#frozen ??= []; }

  thaw(): void {
    const waiting = this.#frozen ?? [];
    this.#frozen = undefined;
    for (const go of waiting) go();
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket.setNoDelay(true));
    const send = (served: Served) => { if (!socket.destroyed) socket.write(`${serialize(served).toString('base64')}\n`); };
    const service = this.serve((pushed) => { send({ pushed }); });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#sockets.delete(socket);
      service.ended();
    });
    const answer = async ({ n, method, args }: Wanted) => {
      try {
        send({ n, value: await service.answer(method, args) });
      } catch (error) {
        send({ n, failed: failedBy(error) });
      }
    };
    createInterface({ input: socket }).on('error', () => undefined).on('line', (line) => {
      const wanted = deserialize(Buffer.from(line, 'base64')) as Wanted; // what SmallClient writes
      if (this.#frozen === undefined) void answer(wanted);
      else this.#frozen.push(() => { void answer(wanted); });
    });
  }
}

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { Answer, Question } from './kv-server.js';
import { LEASE_MS } from './lease.js';

const PING_MS = LEASE_MS / 4;

interface Waiting { readonly resolve: (answer: Answer) => void; readonly reject: (error: Error) => void }

/** One connection to the key-value process. What it asked when the connection broke is rejected: it may have been done. */
export class KvClient {
  readonly #waiting = new Map<number, Waiting>();
  #connected: Promise<Socket> | undefined;
  #asked = 0;
  #closed = false;

  constructor(private readonly port: number) {}

  async ask(question: Omit<Question, 'n'>): Promise<Answer> {
    if (this.#closed) throw new Error('the client is closed');
    // After a broken connection this makes a new one, which owns no lock.
    const socket = await (this.#connected ??= this.#connect());
    const n = ++this.#asked;
    return new Promise((resolve, reject) => {
      this.#waiting.set(n, { resolve, reject });
      socket.write(`${JSON.stringify({ n, ...question })}\n`);
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    const socket = await this.#connected?.catch(() => undefined);
    if (socket === undefined || socket.destroyed) return;
    socket.end();
    await once(socket, 'close');
  }

  async #connect(): Promise<Socket> {
    const socket = connect(this.port, '127.0.0.1').setNoDelay();
    const pings = setInterval(() => { void this.ask({ op: 'ping', key: '' }).catch(() => undefined); }, PING_MS).unref();
    socket.on('close', () => {
      clearInterval(pings);
      this.#connected = undefined;
      for (const { reject } of this.#waiting.values()) reject(new Error('the connection to the key-value process broke'));
      this.#waiting.clear();
    });
    createInterface({ input: socket }).on('error', () => undefined).on('line', (line) => {
      const answer = JSON.parse(line) as Answer; // what kv-server.ts writes
      this.#waiting.get(answer.n)?.resolve(answer);
      this.#waiting.delete(answer.n);
    });
    await once(socket, 'connect');
    socket.on('error', () => socket.destroy());
    return socket;
  }
}

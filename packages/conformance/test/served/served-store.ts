import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { deserialize, serialize } from 'node:v8';
import type { ClusterStore, FindOptions, SessionSnapshot } from '@cluster/core';
import type { Failed, Served, Wanted } from './host.js';

/** A store that passes every call on to the test that hosts the cluster. */
class ServedStore implements ClusterStore {
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #socket: Socket | undefined;
  #asked = 0;

  constructor(readonly instanceId: string, private readonly port: number) {}

  async start(): Promise<void> {
    const socket = connect(this.port, '127.0.0.1');
    await once(socket, 'connect');
    this.#socket = socket;
    createInterface({ input: socket }).on('line', (line) => { this.#take(deserialize(Buffer.from(line, 'base64')) as Served); }); // the host's
    await this.#ask('hello', this.instanceId);
  }

  async stop(): Promise<void> {
    await this.#ask('stop');
    this.#socket?.destroy();
  }

  findSession(id: string, { waitMs }: FindOptions) { return this.#ask('findSession', id, { waitMs }) as Promise<SessionSnapshot | undefined>; } // the host's answer
  async sendSession(...args: Parameters<ClusterStore['sendSession']>) { await this.#ask('sendSession', ...args); }
  async removeSession(...args: Parameters<ClusterStore['removeSession']>) { await this.#ask('removeSession', ...args); }
  receiveSession(): void { /* nothing arrives */ }
  readSession(id: string) { return this.#ask('readSession', id) as Promise<SessionSnapshot | undefined>; } // the host's answer
  async touchSessions(lifetimesMs: ReadonlyMap<string, number>) { await this.#ask('touchSessions', lifetimesMs); }

  #ask(method: string, ...args: unknown[]): Promise<unknown> {
    const n = ++this.#asked;
    return new Promise((resolve, reject) => {
      this.#waiting.set(n, { resolve, reject });
      this.#socket?.write(`${serialize({ n, method, args } satisfies Wanted).toString('base64')}\n`);
    });
  }

  #take({ n, value, failed }: Served): void {
    if (failed === undefined) this.#waiting.get(n)?.resolve(value);
    else this.#waiting.get(n)?.reject(Object.assign(new Error(failed.message), failed satisfies Failed));
    this.#waiting.delete(n);
  }
}

export const createStore = ({ instanceId, config }: { instanceId: string; config: { port: number } }): ClusterStore => new ServedStore(instanceId, config.port);

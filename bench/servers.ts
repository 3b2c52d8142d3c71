import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { startPlace, type Place, type StoreName } from './stores.js';

export interface Answer { readonly status: number; readonly body: string; readonly cookie: string | undefined }

/** Processes of one small application over a store of their own, ended by `stop`. */
export class Servers {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 128 });

  private constructor(readonly place: Place, private readonly processes: readonly ChildProcess[], readonly ports: readonly number[]) {}

  static async start(count: number, store: StoreName): Promise<Servers> {
    if (store === 'memory') throw new Error('expected a store that processes can share, found the memory store');
    const place = await startPlace(store);
    const processes = Array.from({ length: count }, () => fork(join(import.meta.dirname, 'server.ts'), [store, place.address]));
    const ports = await Promise.all(processes.map(async (child) => Number((await once(child, 'message'))[0])));
    return new Servers(place, processes, ports);
  }

  /** One request to one of the processes. */
  async ask(process: number, method: string, path: string, cookie?: string): Promise<Answer> {
    const sent = request({
      host: '127.0.0.1', port: this.ports[process % this.ports.length], method, path, agent: this.#agent,
      headers: cookie === undefined ? {} : { cookie },
    });
    sent.end();
    const [response] = await once(sent, 'response') as [import('node:http').IncomingMessage];
    let body = '';
    for await (const chunk of response) body += String(chunk);
    return { status: response.statusCode ?? 0, body, cookie: response.headers['set-cookie']?.[0]?.split(';')[0] };
  }

  async stop(): Promise<void> {
    this.#agent.destroy();
    await Promise.all(this.processes.map((child) => {
      child.kill('SIGTERM');
      return once(child, 'exit');
    }));
    await this.place.stop();
  }
}

import { Child } from '../child.js';
import { Connection } from './connection.js';
import type { Kind, Sessions } from './applications.js';

const CONNECTIONS = 16;
const SESSIONS_EACH = 16;

interface Client { readonly connection: Connection; readonly sessions: { readonly cookie: string; count: number }[]; turn: number }

/** One application in a process of its own, and the clients that know what each of its sessions must contain. */
export class Application {
  written = 0;

  private constructor(readonly kind: Kind, private readonly child: Child, private readonly clients: readonly Client[]) {}

  static async start(kind: Kind, { store, address }: Sessions): Promise<Application> {
    const child = await Child.start(new URL('./process.ts', import.meta.url), [kind, store, address], [], { NODE_ENV: 'production' });
    const port = await child.ask<number>('port');
    const connections = await Promise.all(Array.from({ length: CONNECTIONS }, () => Connection.open(port)));
    return new Application(kind, child, connections.map((connection) => ({ connection, sessions: [], turn: 0 })));
  }

  /** Makes the sessions: each connection has its own, so that none waits for another. */
  async fill(): Promise<void> {
    await Promise.all(this.clients.map(async ({ connection, sessions }) => {
      for (let made = 0; made < SESSIONS_EACH; made += 1) {
        const { body, cookie } = await connection.ask('POST', '/', undefined);
        if (cookie === undefined || body !== '1') throw new Error(`${this.kind}: expected a new session that counts 1, found ${body}`);
        this.written += 1;
        sessions.push({ cookie, count: 1 });
      }
    }));
  }

  /** CPU time of the server process per request, in µs: its own, the kernel's for it, its collector's and compiler's. */
  async measure(method: 'GET' | 'POST', path: string, withCookie: boolean, requests: number): Promise<number> {
    const before = await this.child.ask<number>('cpu');
    let isRunning = true;
    // A client that sleeps must be woken by the server's writes, at the server's cost, and a slow server's client sleeps more often.
    const stayAwake = () => { if (isRunning) setImmediate(stayAwake); };
    stayAwake();
    const each = Math.ceil(requests / this.clients.length);
    await Promise.all(this.clients.map(async (client) => {
      for (let sent = 0; sent < each; sent += 1) await this.#ask(client, method, path, withCookie);
    }));
    isRunning = false;
    return (await this.child.ask<number>('cpu') - before) / (each * this.clients.length);
  }

  /** @throws Error if the counters in the sessions are not what was written, each and in sum */
  async check(): Promise<void> {
    let found = 0;
    for (const { connection, sessions } of this.clients) {
      for (const { cookie, count } of sessions) {
        const { body } = await connection.ask('GET', '/', cookie);
        if (Number(body) !== count) throw new Error(`${this.kind}: expected a session with ${count}, found ${body}`);
        found += Number(body);
      }
    }
    if (found !== this.written) throw new Error(`${this.kind}: ${this.written} writes were acknowledged, found ${found}`);
  }

  async stop(): Promise<void> {
    for (const { connection } of this.clients) connection.close();
    await this.child.stop();
  }

  async #ask(client: Client, method: 'GET' | 'POST', path: string, withCookie: boolean): Promise<void> {
    const session = withCookie ? client.sessions[client.turn++ % client.sessions.length] : undefined;
    const isCounted = session !== undefined && path === '/';
    const { status, body, cookie } = await client.connection.ask(method, path, session?.cookie);
    if (isCounted && method === 'POST') {
      session.count += 1;
      this.written += 1;
    }
    const expected = isCounted ? String(session.count) : '0';
    if (status !== 200 || body !== expected || cookie !== undefined) {
      throw new Error(`${this.kind} ${method} ${path}: expected 200 and ${expected}, found ${status} and ${body}${cookie === undefined ? '' : ' with a new cookie'}`);
    }
  }
}

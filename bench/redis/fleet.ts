import { Child } from '../child.js';
import { Connection } from '../http/connection.js';
import { median, percentile99 } from '../report.js';
import type { Kind, Setting } from './applications.js';
import { itemsFor } from './contents.js';
import type { RedisCounters } from './counters.js';

export type Routing = 'sticky' | 'random';
/** What requests do: GET the counter, POST to it, three GETs to each POST, or GET the number of items. */
export type Use = 'read' | 'write' | 'mixed' | 'items';

/** One cell of the bench in one round. Bytes are those between the application and Redis, both ways. */
export interface Measured { cpuUs: number; perSecond: number; calls: number; bytes: number; p50Ms: number; p99Ms: number }

interface Counter { readonly cookie: string; count: number }
interface Client { readonly index: number; readonly connections: readonly Connection[]; readonly sessions: Counter[]; turn: number }

const CLIENTS = 64;
const SESSIONS_EACH = 4;

/** The same application in one or two processes, and clients that know what each of its sessions must contain. */
export class Fleet {
  private constructor(
    readonly kind: Kind, private readonly setting: Setting, private readonly routing: Routing,
    private readonly processes: readonly Child[], private readonly clients: readonly Client[],
  ) {}

  static async start(kind: Kind, setting: Setting, processes: number, routing: Routing): Promise<Fleet> {
    const children = await Promise.all(Array.from({ length: processes }, () =>
      Child.start(new URL('./process.ts', import.meta.url), [kind, JSON.stringify(setting)], [], { NODE_ENV: 'production' })));
    const ports = await Promise.all(children.map((child) => child.ask<number>('port')));
    const clients = await Promise.all(Array.from({ length: CLIENTS }, async (_, index): Promise<Client> =>
      ({ index, connections: await Promise.all(ports.map((port) => Connection.open(port))), sessions: [], turn: 0 })));
    return new Fleet(kind, setting, routing, children, clients);
  }

  /** Makes the sessions: each client has its own, so that none waits for another. */
  async fill(): Promise<void> {
    await Promise.all(this.clients.map(async (client) => {
      while (client.sessions.length < SESSIONS_EACH) {
        const { body, cookie } = await this.#connection(client).ask('POST', '/', undefined);
        if (cookie === undefined || body !== '1') throw new Error(`${this.kind}: expected a new session that counts 1, found ${body}`);
        client.sessions.push({ cookie, count: 1 });
      }
    }));
  }

  /** Sends `requests` over `clients` of the clients, each one at a time. Returns how long each took. */
  async run(use: Use, clients: number, requests: number): Promise<number[]> {
    const tookMs: number[] = [];
    let left = requests;
    await Promise.all(this.clients.slice(0, clients).map(async (client) => {
      while (left > 0) {
        left -= 1;
        const sentMs = performance.now();
        await this.#ask(client, use);
        tookMs.push(performance.now() - sentMs);
      }
    }));
    return tookMs;
  }

  /** Measures such a run, after a quarter of it that is not measured: what a process does first after a pause is dearer. */
  async measure(use: Use, clients: number, requests: number, redis: RedisCounters): Promise<Measured> {
    await this.run(use, clients, requests / 4);
    const [cpuBefore, redisBefore] = [await this.#cpuUs(), await redis.read()];
    const startedMs = performance.now();
    const tookMs = await this.run(use, clients, requests);
    const seconds = (performance.now() - startedMs) / 1000;
    const [cpuUs, redisAfter] = [await this.#cpuUs() - cpuBefore, await redis.read()];
    return {
      cpuUs: cpuUs / requests, perSecond: requests / seconds, p50Ms: median(tookMs), p99Ms: percentile99(tookMs),
      calls: (redisAfter.calls - redisBefore.calls) / requests, bytes: (redisAfter.bytes - redisBefore.bytes) / requests,
    };
  }

  /** @throws Error if a counter is not what its client wrote */
  async check(): Promise<void> {
    for (const client of this.clients) {
      for (const { cookie, count } of client.sessions) {
        const { body } = await this.#connection(client).ask('GET', '/', cookie);
        if (Number(body) !== count) throw new Error(`${this.kind}: expected a session with ${count}, found ${body}`);
      }
    }
  }

  async stop(): Promise<void> {
    for (const { connections } of this.clients) for (const connection of connections) connection.close();
    await Promise.all(this.processes.map((child) => child.stop()));
  }

  async #cpuUs(): Promise<number> {
    const each = await Promise.all(this.processes.map((child) => child.ask<number>('cpu')));
    return each.reduce((sum, cpuUs) => sum + cpuUs, 0);
  }

  /** Where a client's next request goes. */
  #connection({ index, connections }: Client): Connection {
    const to = this.routing === 'sticky' ? index % connections.length : Math.floor(Math.random() * connections.length);
    // There is at least one.
    return connections[to] as Connection;
  }

  async #ask(client: Client, use: Use): Promise<void> {
    const session = client.sessions[client.turn++ % client.sessions.length];
    const isWrite = use === 'write' || (use === 'mixed' && client.turn % 4 === 0);
    const path = use === 'items' ? '/items' : '/';
    const { status, body, cookie } = await this.#connection(client).ask(isWrite ? 'POST' : 'GET', path, session?.cookie);
    if (session !== undefined && isWrite) session.count += 1;
    const expected = session === undefined ? 0 : use === 'items' ? itemsFor(this.setting.bytes) : session.count;
    // koa-session and @fastify/session set the same cookie again when they save.
    if (status !== 200 || Number(body) !== expected || (cookie !== undefined && cookie !== session?.cookie)) {
      throw new Error(`${this.kind} ${use}: expected 200 and ${expected}, found ${status} and ${body.slice(0, 200)}${cookie === undefined ? '' : ' with a new cookie'}`);
    }
  }
}

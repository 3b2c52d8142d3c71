import { Agent, request as send, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';

/** A process that requests can be given to; without a port while it is not running. */
export interface Target { readonly name: string; readonly port: number | undefined }

type Outcome = 'answered' | 'refused' | 'broken';

/** What the last health checks of a target came to, and how many in a row. */
interface Seen { readonly what: string; readonly sinceMs: number; readonly checks: number }

const CHECK_EVERY_MS = 100;
const SILENT_AFTER_MS = 300;
const GIVE_UP_AFTER_MS = 10_000;
const MAX_BODY_BYTES = 65_536;
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'expect']);

const endToEnd = <T>(headers: Record<string, T>) =>
  Object.fromEntries(Object.entries(headers).filter(([header]) => !HOP_BY_HOP.has(header)));

/**
 * Gives requests to the targets in turn, without regard to whose they are. A request whose connection was refused goes to the
 * next target; so does a GET that got no answer. Any other request that got no answer is answered 502, since it may have been
 * carried out. Answers name their target in `x-shop-process`. A target that does not answer its health check is left out until it does.
 */
export class RoundRobinProxy {
  // A fresh connection for each request: a refused one proves that nothing was sent.
  readonly #agent = new Agent({ keepAlive: false });
  readonly #silent = new Set<string>();
  readonly #seen = new Map<string, Seen>();
  readonly #reads = new Map<string, Set<() => void>>();
  readonly #changes = new Map<string, number>();
  readonly #checks: NodeJS.Timeout;
  #turn = 0;

  /** @param giveUpAfterMs for so long a read goes from one silent target to the next */
  constructor(private readonly targets: () => readonly Target[], private readonly giveUpAfterMs = GIVE_UP_AFTER_MS) {
    this.#checks = setInterval(() => { for (const target of targets()) this.#check(target); }, CHECK_EVERY_MS);
    this.#checks.unref();
  }

  /** Requests other than GET and HEAD that this target is working on. */
  changesAt(name: string): number {
    return this.#changes.get(name) ?? 0;
  }

  close(): void {
    clearInterval(this.#checks);
    this.#agent.destroy();
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    let bytes = 0;
    for await (const part of request as AsyncIterable<Buffer>) {
      bytes += part.length;
      if (bytes > MAX_BODY_BYTES) { answer(response, 413, 'the body is too large'); return; }
      parts.push(part);
    }
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    // By time: on a machine with too much to do every target may be silent for some seconds.
    const giveUpAtMs = performance.now() + this.giveUpAfterMs;
    let isAnyThere: boolean;
    do {
      isAnyThere = this.#silent.size > 0; // a round may have left them out
      for (const target of this.#inTurn()) {
        const outcome = await this.#forward(target, request, Buffer.concat(parts), response, isRead);
        if (outcome === 'answered' || response.destroyed) return;
        if (outcome === 'broken' && !isRead) {
          answer(response, 502, `${target.name} went away before it answered`, { 'x-cut-off': target.name });
          return;
        }
        if (outcome === 'broken') isAnyThere = true;
      }
    } while (isAnyThere && performance.now() < giveUpAtMs && await pause(CHECK_EVERY_MS, !response.destroyed));
    answer(response, 503, `no process of the shop is up; health checks saw: ${this.#sights()}`, { 'retry-after': '1' });
  }

  #inTurn(): Target[] {
    const running = this.targets().filter(({ port }) => port !== undefined);
    const answering = running.filter(({ name }) => !this.#silent.has(name));
    const candidates = answering.length > 0 ? answering : running;
    const first = this.#turn++ % Math.max(1, candidates.length);
    return [...candidates.slice(first), ...candidates.slice(0, first)];
  }

  #forward(target: Target, request: IncomingMessage, body: Buffer, response: ServerResponse, isRead: boolean): Promise<Outcome> {
    return new Promise((resolve) => {
      const upstream = send({
        host: '127.0.0.1', port: target.port, agent: this.#agent, method: request.method, path: request.url,
        headers: { ...endToEnd(request.headers), 'content-length': body.length },
      });
      const abandon = () => { upstream.destroy(new Error('abandoned')); };
      const done = this.#count(target.name, isRead, abandon);
      let settled = false;
      const settle = (outcome: Outcome) => {
        if (settled) return;
        settled = true;
        done();
        response.off('close', abandon);
        resolve(outcome);
      };
      response.once('close', abandon); // the client has left
      upstream.on('error', (error: NodeJS.ErrnoException) => { settle(error.code === 'ECONNREFUSED' ? 'refused' : 'broken'); });
      upstream.once('response', (reply) => {
        settle('answered');
        response.writeHead(reply.statusCode ?? 502, { ...endToEnd(reply.headers), 'x-shop-process': target.name });
        reply.once('error', () => { response.destroy(); });
        reply.pipe(response);
      });
      upstream.end(body);
    });
  }

  #count(name: string, isRead: boolean, abandon: () => void): () => void {
    if (!isRead) {
      this.#changes.set(name, this.changesAt(name) + 1);
      return () => { this.#changes.set(name, Math.max(0, this.changesAt(name) - 1)); };
    }
    const reads = this.#reads.get(name) ?? new Set();
    this.#reads.set(name, reads.add(abandon));
    return () => { reads.delete(abandon); };
  }

  #check({ name, port }: Target): void {
    if (port === undefined) { this.#silent.delete(name); this.#see(name, 'not running'); return; }
    const check = send({ host: '127.0.0.1', port, path: '/health', agent: this.#agent, timeout: SILENT_AFTER_MS });
    check.once('timeout', () => { check.destroy(new Error(`no answer in ${SILENT_AFTER_MS} ms`)); this.#fallSilent(name); });
    // A refused connection shows itself to requests.
    check.once('error', (error: NodeJS.ErrnoException) => { this.#see(name, error.code ?? error.message); });
    check.once('response', (reply) => { reply.resume(); this.#silent.delete(name); this.#see(name, 'an answer'); });
    check.end();
  }

  #see(name: string, what: string): void {
    const last = this.#seen.get(name);
    this.#seen.set(name, last?.what === what ? { ...last, checks: last.checks + 1 } : { what, sinceMs: performance.now(), checks: 1 });
  }

  #sights(): string {
    const sights = [...this.#seen].map(([name, { what, sinceMs, checks }]) => `${name} ${what} (${checks} in ${Math.round(performance.now() - sinceMs)} ms)`);
    return sights.length === 0 ? 'none was made yet' : sights.join(', ');
  }

  #fallSilent(name: string): void {
    this.#silent.add(name);
    for (const abandon of [...this.#reads.get(name) ?? []]) abandon();
  }
}

function answer(response: ServerResponse, status: number, text: string, headers: Record<string, string> = {}): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', ...headers }).end(`${text}\n`);
}

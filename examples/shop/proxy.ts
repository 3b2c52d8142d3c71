import { Agent, request as send, type IncomingMessage, type ServerResponse } from 'node:http';

/** A process that requests can be given to; without a port while it is not running. */
export interface Target { readonly name: string; readonly port: number | undefined }

type Outcome = 'answered' | 'refused' | 'broken';

const CHECK_EVERY_MS = 100;
const ROUNDS = 5;
const SILENT_AFTER_MS = 300;
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
  readonly #reads = new Map<string, Set<() => void>>();
  readonly #changes = new Map<string, number>();
  readonly #checks: NodeJS.Timeout;
  #turn = 0;

  constructor(private readonly targets: () => readonly Target[]) {
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
    // A read that fell silent everywhere, on a machine with too much to do, goes round again.
    for (let round = 1, isAnyThere = true; isAnyThere && round <= ROUNDS; round++) {
      isAnyThere = false;
      for (const target of this.#inTurn()) {
        const outcome = await this.#forward(target, request, Buffer.concat(parts), response, isRead);
        if (outcome === 'answered' || response.destroyed) return;
        if (outcome === 'broken' && !isRead) {
          answer(response, 502, `${target.name} went away before it answered`, { 'x-cut-off': target.name });
          return;
        }
        if (outcome === 'broken') isAnyThere = true;
      }
    }
    answer(response, 503, 'no process of the shop is up', { 'retry-after': '1' });
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
    if (port === undefined) { this.#silent.delete(name); return; }
    const check = send({ host: '127.0.0.1', port, path: '/health', agent: this.#agent, timeout: SILENT_AFTER_MS });
    check.once('timeout', () => { check.destroy(); this.#fallSilent(name); });
    check.once('error', () => undefined); // a refused connection shows itself to requests
    check.once('response', (reply) => { reply.resume(); this.#silent.delete(name); });
    check.end();
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

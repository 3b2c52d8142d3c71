import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { NAMES, type Cluster, type Name } from './cluster.js';
import { picture, type Moves } from './moves.js';

const PUSH_EVERY_MS = 100;
const PAUSE_MS = 3000;
const RESTART_AFTER_MS = 2000;

const POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; "
  + "frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

const isName = (word: string | undefined): word is Name => (NAMES as readonly (string | undefined)[]).includes(word);

/**
 * The page and its buttons, served by the process that started the shop. The buttons end processes, so they answer only to the
 * page itself: the host must be this one (a foreign name that resolves here is refused), and each call carries the page's token.
 */
export class Control {
  readonly #token = randomBytes(16).toString('hex');
  readonly #watchers = new Set<ServerResponse>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #shown = '';

  constructor(private readonly cluster: Cluster, private readonly moves: Moves, private readonly hosts: () => readonly string[]) {
    this.#every(PUSH_EVERY_MS);
  }

  /** Answers what belongs to the page; false if the request is for the shop. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const path = request.url?.split('?')[0] ?? '';
    if (path !== '/' && !path.startsWith('/demo/')) return false;
    response.setHeader('cache-control', 'no-store');
    if (!this.hosts().includes(request.headers.host ?? '')) end(response, 403, 'this page is served under its own address only');
    else if (path === '/' && request.method === 'GET') await this.#page(response);
    else if (path === '/demo/events' && request.method === 'GET') this.#watch(response);
    else if (request.method !== 'POST') end(response, 404, 'no such page');
    else if (request.headers['x-demo-token'] !== this.#token) end(response, 403, 'expected the token of the page; load it again');
    else this.#press(path, response);
    return true;
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    for (const watcher of this.#watchers) watcher.destroy();
  }

  async #page(response: ServerResponse): Promise<void> {
    const page = await readFile(new URL('./page.html', import.meta.url), 'utf8');
    response.setHeader('content-type', 'text/html; charset=utf-8');
    response.setHeader('content-security-policy', POLICY);
    response.end(page.replace('{{token}}', this.#token));
  }

  #press(path: string, response: ServerResponse): void {
    const [, , verb, name] = path.split('/');
    if (!isName(name) || (verb !== 'kill' && verb !== 'pause')) { end(response, 404, 'expected /demo/kill/a or /demo/pause/a'); return; }
    if (this.cluster.member(name).state !== 'up') { end(response, 409, `${name} is not up`); return; }
    if (verb === 'kill') void this.#kill(name);
    else this.#pause(name);
    end(response, 202, 'done');
  }

  async #kill(name: Name): Promise<void> {
    await this.cluster.kill(name);
    this.moves.state(name, 'was killed (kill -9)');
    this.#after(RESTART_AFTER_MS, () => {
      this.cluster.startOne(name).then(
        () => { this.moves.state(name, `runs again, pid ${this.cluster.member(name).pid ?? '?'}`); },
        (error: unknown) => { this.moves.state(name, String(error)); },
      );
    });
  }

  #pause(name: Name): void {
    if (this.cluster.pause(name, PAUSE_MS, () => { this.moves.state(name, 'goes on (SIGCONT)'); })) {
      this.moves.state(name, `was paused for ${PAUSE_MS / 1000} s (SIGSTOP)`);
    }
  }

  #watch(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(`data: ${JSON.stringify(picture(this.cluster, this.moves))}\n\n`);
    this.#watchers.add(response);
    response.once('close', () => { this.#watchers.delete(response); });
  }

  #push(): void {
    const now = JSON.stringify(picture(this.cluster, this.moves));
    if (now === this.#shown) return;
    this.#shown = now;
    for (const watcher of this.#watchers) watcher.write(`data: ${now}\n\n`);
  }

  #every(ms: number): void {
    this.#after(ms, () => { this.#push(); this.#every(ms); });
  }

  #after(ms: number, work: () => void): void {
    const timer = setTimeout(() => { this.#timers.delete(timer); work(); }, ms);
    this.#timers.add(timer);
  }
}

function end(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${text}\n`);
}

import { setTimeout as pause } from 'node:timers/promises';
import type { Answer, RequestRecord } from './records.js';

const TABS = ['a', 'b', 'c'] as const;
const GOODS = ['tea', 'bread', 'pears', 'olives', 'rice', 'honey'] as const;
const SHARE_OF_CHANGES = 0.6;
const THINK_MS = { least: 100, spread: 200 };
const GIVE_UP_AFTER_MS = 20_000;

const one = <T>(from: readonly [T, ...T[]]): T => from[Math.floor(Math.random() * from.length)] ?? from[0];

/** Somebody with three tabs on one session, who writes down every request and its answer. */
class Shopper {
  readonly records: RequestRecord[] = [];
  #cookie: string | undefined;
  #items = 0;

  constructor(readonly number: number, private readonly url: string, private readonly closing: AbortSignal) {}

  /** Adds a first item, then goes on in three tabs until `signal` says that it is enough. */
  async shop(signal: AbortSignal): Promise<void> {
    await this.#add('a');
    await Promise.all(TABS.map(async (tab) => {
      while (!signal.aborted) {
        await pause(THINK_MS.least + Math.random() * THINK_MS.spread);
        await (Math.random() < SHARE_OF_CHANGES ? this.#add(tab) : this.look());
      }
    }));
  }

  look(): Promise<Answer> {
    return this.#request('GET', '/cart', undefined);
  }

  async #add(tab: string): Promise<void> {
    const item = `${one(GOODS)}-${this.number}${tab}-${++this.#items}`;
    await this.#request('POST', `/cart/${item}`, item);
  }

  async #request(method: string, path: string, item: string | undefined): Promise<Answer> {
    const sentAtMs = performance.now();
    const answer = await this.#ask(method, path).catch((error: unknown): Answer => ({ kind: 'other', what: `${method}: ${String(error)}` }));
    this.records.push({ shopper: this.number, item, sentAtMs, tookMs: performance.now() - sentAtMs, answer });
    return answer;
  }

  async #ask(method: string, path: string): Promise<Answer> {
    const response = await fetch(`${this.url}${path}`, {
      method, signal: AbortSignal.any([AbortSignal.timeout(GIVE_UP_AFTER_MS), this.closing]), headers: this.#cookie === undefined ? {} : { cookie: this.#cookie },
    });
    const text = await response.text();
    const cutOff = response.headers.get('x-cut-off');
    if (response.status === 502 && cutOff !== null) return { kind: 'cut off', by: cutOff };
    const by = response.headers.get('x-shop-process') ?? 'the proxy';
    if (response.status === 503 && by !== 'the proxy') return { kind: 'refused', by };
    if (response.status !== 200) return { kind: 'other', what: `${method} answered ${response.status} by ${by}: ${text.slice(0, 400)}` };
    const [set] = response.headers.getSetCookie();
    const given = set?.split(';')[0];
    const newSession = this.#cookie !== undefined && given !== undefined && given !== this.#cookie;
    this.#cookie ??= given;
    // The shop answers with the cart, an array of names.
    return { kind: 'ok', by, cart: JSON.parse(text) as string[], newSession };
  }
}

/** Shoppers who use the shop at once, knowing nothing of its processes. */
export class Shoppers {
  readonly #shoppers: readonly Shopper[];
  readonly #enough = new AbortController();
  #running: Promise<unknown> = Promise.resolve();

  /** @param closing aborts requests that are under way, and no more are sent */
  constructor(count: number, url: string, closing: AbortSignal) {
    this.#shoppers = Array.from({ length: count }, (_, number) => new Shopper(number + 1, url, closing));
    closing.addEventListener('abort', () => { this.#enough.abort(); });
  }

  start(): void {
    this.#running = Promise.all(this.#shoppers.map((shopper) => shopper.shop(this.#enough.signal)));
  }

  /** Requests that were answered so far, by the process that answered. */
  answeredBy(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const { answer } of this.#records()) {
      if (answer.kind === 'ok') counts.set(answer.by, (counts.get(answer.by) ?? 0) + 1);
    }
    return counts;
  }

  /** Lets every tab finish, then looks into each cart once more. */
  async finish(): Promise<{ records: RequestRecord[]; carts: Map<number, readonly string[]> }> {
    this.#enough.abort();
    await this.#running;
    const carts = await Promise.all(this.#shoppers.map(async (shopper) => {
      const answer = await shopper.look();
      return [shopper.number, answer.kind === 'ok' ? answer.cart : []] as const;
    }));
    return { records: this.#records(), carts: new Map(carts) };
  }

  #records(): RequestRecord[] {
    return this.#shoppers.flatMap(({ records }) => records);
  }
}

import { setTimeout as sleep } from 'node:timers/promises';
import { median, Report } from '../report.js';
import { Servers } from '../servers.js';
import { storeNamed } from '../stores.js';

const KILLS = 3;
const CLIENTS = 16;
/** Before the first kill, and until what was started again has everything. */
const CALM_MS = 4_000;
const AWAY_MS = 1_000;
/** Seconds without service that are promised. */
const BOUNDS_S = new Map<string, number>([['kafka-r3', 5], ['kafka-r3-slow', 15], ['rabbitmq-r3', 5], ['nats-r3', 10]]);

/** Increments one session's counter without a pause, at one process. */
class Client {
  sent = 0;
  refused = 0;
  readonly #acknowledgedAtMs: number[] = [];
  #cookie: string | undefined;
  /** What the last acknowledged change made of the counter; a later one makes more of it, or it was lost. */
  #count = 0;
  #lost = 0;

  constructor(private readonly servers: Servers, private readonly process: number) {}

  get acknowledged(): number { return this.#acknowledgedAtMs.length; }

  /** The longest time between two acknowledged changes that was not over at this moment. */
  longestMs(sinceMs: number): number {
    const after = this.#acknowledgedAtMs.findIndex((atMs) => atMs > sinceMs);
    if (after < 0) return Infinity;
    return Math.max(...this.#acknowledgedAtMs.slice(after).map((atMs, index) => atMs - (this.#acknowledgedAtMs[after + index - 1] ?? sinceMs)));
  }

  async run(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      this.sent += 1;
      const { status, body, cookie } = await this.servers.ask(this.process, 'POST', '/', this.#cookie);
      this.#cookie ??= cookie;
      if (status === 200) this.#acknowledged(Number(body));
      else this.refused += 1;
    }
  }

  #acknowledged(count: number): void {
    this.#acknowledgedAtMs.push(performance.now());
    if (count <= this.#count) this.#lost += this.#count + 1 - count;
    this.#count = count;
  }

  /** How many of its acknowledged changes were not in the session later, at last as another process reads it. */
  async lost(): Promise<number> {
    const { body } = await this.servers.ask(this.process + 1, 'GET', '/', this.#cookie);
    return this.#lost + Math.max(0, this.#count - Number(body));
  }
}

/** Of three servers the one that leads is killed under load: how long nothing is acknowledged, and what is lost. */
export async function leaderKill([name = 'kafka-r3', count = String(KILLS)]: readonly string[], writes: boolean): Promise<boolean> {
  const store = storeNamed(name);
  const report = new Report(`leader-kill ${store}`, `${count} kills (kill -9) of one of three servers while ${CLIENTS} clients of two processes change sessions of their own without a pause; ${store} store`);
  const servers = await Servers.start(2, store);
  const clients = Array.from({ length: CLIENTS }, (_, index) => new Client(servers, index));
  let isOver = false;
  try {
    const running = Promise.all(clients.map((client) => client.run(() => isOver)));
    const waitsMs = await Promise.race([running.then(() => []), kill(servers, clients, Number(count))]);
    isOver = true;
    await running;
    const sum = (of: (client: Client) => number) => clients.map(of).reduce((total, each) => total + each, 0);
    const lost = (await Promise.all(clients.map((client) => client.lost()))).reduce((total, each) => total + each, 0);
    const most = Math.max(...waitsMs) / 1_000;
    report.table(['kills', 'longest wait of a client, s, p50', 'at most', 'bound', 'sent', 'acknowledged', 'refused', 'acknowledged and lost'], [[
      count, report.figure('seconds', (median(waitsMs) / 1_000).toFixed(1)), most.toFixed(1), report.bound(most, BOUNDS_S.get(store) ?? NaN, 0),
      ...[sum(({ sent }) => sent), sum(({ acknowledged }) => acknowledged), sum(({ refused }) => refused), lost].map(String),
    ]]);
    if (writes) report.write();
    return report.met && lost === 0;
  } finally {
    isOver = true;
    await servers.stop();
  }
}

/** The longest that a client waited for an acknowledged change, by kill. */
async function kill(servers: Servers, clients: readonly Client[], count: number): Promise<number[]> {
  const { killOne } = servers.place;
  if (killOne === undefined) throw new Error(`expected a store over three servers (${[...BOUNDS_S.keys()].join(', ')})`);
  const waitsMs: number[] = [];
  while (waitsMs.length < count) {
    await sleep(CALM_MS);
    const sinceMs = performance.now();
    const restart = await killOne();
    const before = clients.map(({ acknowledged }) => acknowledged);
    do await sleep(AWAY_MS); while (clients.some(({ acknowledged }, index) => acknowledged < (before[index] ?? 0) + 10));
    waitsMs.push(Math.max(...clients.map((client) => client.longestMs(sinceMs))));
    await restart();
  }
  return waitsMs;
}

import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';

/** Where a server listens. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/**
 * What becomes of what passes. `held`: nothing arrives until it passes again, then all of it, late. `half-open`: the server
 * sees its connections end, the clients see nothing. `dropped`: connections are cut, and new ones at once. `answers lost`:
 * requests arrive; instead of an answer the connection is cut, of one connection the first, of others a later one.
 */
export type Weather = 'passes' | 'held' | 'half-open' | 'dropped' | 'answers lost';

/** In the weather of lost answers a connection has fewer than so many; the numbers have no divisor in common, so all come in turn. */
const MOST_ANSWERS = 13;
const LOSING_STEP = 5;

/** What travels: bytes, or the end of them. */
type Parcel = Buffer | 'end';

/** What has begun to end can only end: reset all the same its handle would stay, and the process would not exit (libuv mixes no shutdown and reset). */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

/** One client's connection, and the one to the server that goes with it. */
class Line {
  readonly #server: Socket;
  readonly #up: Queue;
  readonly #down: Queue;
  /** Which of the answers from now on is lost, should they be. */
  #lastAnswer = 1;
  #isHalved = false;

  constructor(private readonly client: Socket, proxy: TcpProxy, to: Address, private readonly over: () => void) {
    this.#server = connect(to.port, to.host);
    this.#up = new Queue(proxy, (parcel) => { this.#deliver(parcel, this.#server); });
    this.#down = new Queue(proxy, (parcel) => {
      if (proxy.weather === 'answers lost' && parcel !== 'end' && (this.#lastAnswer -= 1) <= 0) proxy.lose(this);
      else this.#deliver(parcel, client);
    });
    this.#connect(client, this.#up);
    this.#connect(this.#server, this.#down);
  }

  flow(): void {
    this.#up.flow();
    this.#down.flow();
  }

  /** The server's side ends; the client's stays, and hears nothing more. */
  halve(): void {
    this.#isHalved = true;
    this.#server.destroy();
  }

  get isHalved(): boolean { return this.#isHalved; }

  /** @param which of the answers that are still to come */
  willLose(which: number): void { this.#lastAnswer = which; }

  cut(): void {
    reset(this.client);
    this.#server.destroy();
    this.over();
  }

  #connect(socket: Socket, queue: Queue): void {
    socket.setNoDelay(true).unref();
    socket.on('error', () => undefined);
    socket.on('data', (bytes: Buffer) => { queue.put(bytes); });
    // What was sent before the end still arrives.
    socket.on('close', () => { queue.put('end'); });
  }

  #deliver(parcel: Parcel, socket: Socket): void {
    if (this.#isHalved) return;
    if (parcel === 'end') this.cut();
    else socket.write(parcel);
  }
}

/** What is on its way in one direction: late by the proxy's delay, and not delivered while it is held. */
class Queue {
  readonly #parcels: { readonly parcel: Parcel; readonly sinceMs: number }[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly proxy: TcpProxy, private readonly deliver: (parcel: Parcel) => void) {}

  put(parcel: Parcel): void {
    this.#parcels.push({ parcel, sinceMs: performance.now() });
    this.flow();
  }

  flow(): void {
    clearTimeout(this.#timer);
    while (this.proxy.weather !== 'held') {
      const [next] = this.#parcels;
      if (next === undefined) return;
      const leftMs = next.sinceMs + this.proxy.delayMs - performance.now();
      if (leftMs > 0) {
        this.#timer = setTimeout(() => { this.flow(); }, leftMs).unref();
        return;
      }
      this.#parcels.shift();
      this.deliver(next.parcel);
    }
  }
}

/** Stands between one client and its server, on a port of its own, and lets a test make the network bad. Never keeps the process alive. */
export class TcpProxy {
  readonly #lines = new Set<Line>();
  readonly #server: Server;
  #delayMs = 0;
  #weather: Weather = 'passes';
  #lostAnswers = 0;
  #losing = 0;

  private constructor(private readonly target: () => Address | undefined | Promise<Address | undefined>) {
    this.#server = createServer((client) => { void this.#accept(client); }).unref();
  }

  /** @param target asked for each connection, since a server may come back elsewhere */
  static async open(target: () => Address | undefined | Promise<Address | undefined>): Promise<TcpProxy> {
    const proxy = new TcpProxy(target);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get address(): Address {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the proxy is closed');
    return { host: '127.0.0.1', port: address.port };
  }

  /** How much later everything arrives, each way. */
  get delayMs(): number { return this.#delayMs; }
  set delayMs(ms: number) {
    this.#delayMs = ms;
    for (const line of [...this.#lines]) line.flow();
  }

  get weather(): Weather { return this.#weather; }
  set weather(weather: Weather) {
    const before = this.#weather;
    this.#weather = weather;
    for (const line of [...this.#lines]) {
      if (weather === 'dropped' || (before === 'half-open' && line.isHalved)) line.cut();
      else if (weather === 'half-open') line.halve();
      else {
        if (weather === 'answers lost') line.willLose(this.#nextLosing());
        line.flow();
      }
    }
  }

  /** How many connections were cut instead of an answer, so far. */
  get lostAnswers(): number { return this.#lostAnswers; }

  lose(line: Line): void {
    this.#lostAnswers += 1;
    line.cut();
  }

  close(): void {
    this.#server.close();
    for (const line of [...this.#lines]) line.cut();
  }

  async #accept(client: Socket): Promise<void> {
    client.on('error', () => undefined);
    const target = await Promise.resolve().then(this.target).catch(() => undefined);
    // A client that has gone meanwhile would leave a line that nobody ends. A server that is not there refuses as well.
    if (client.destroyed || !this.#server.listening || target === undefined || this.#weather === 'dropped') {
      reset(client);
      return;
    }
    const line: Line = new Line(client, this, target, () => { this.#lines.delete(line); });
    this.#lines.add(line);
    if (this.#weather === 'half-open') line.halve();
    if (this.#weather === 'answers lost') line.willLose(this.#nextLosing());
  }

  /** The first answers of a connection are to its greetings; later ones are to requests, which have then been done. */
  #nextLosing(): number { return 1 + (this.#losing++ * LOSING_STEP) % MOST_ANSWERS; }
}

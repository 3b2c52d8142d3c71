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
 * requests arrive; instead of the first answer the connection is cut.
 */
export type Weather = 'passes' | 'held' | 'half-open' | 'dropped' | 'answers lost';

/** What travels: bytes, or the end of them. */
type Parcel = Buffer | 'end';

/** One client's connection, and the one to the server that goes with it. */
class Line {
  readonly #server: Socket;
  readonly #up: Queue;
  readonly #down: Queue;
  #isHalved = false;

  constructor(private readonly client: Socket, proxy: TcpProxy, to: Address, private readonly over: () => void) {
    this.#server = connect(to.port, to.host);
    this.#up = new Queue(proxy, (parcel) => { this.#deliver(parcel, this.#server); });
    this.#down = new Queue(proxy, (parcel) => {
      if (proxy.weather === 'answers lost') this.cut();
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

  cut(): void {
    this.client.resetAndDestroy();
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
  readonly #parcels: { readonly parcel: Parcel; readonly dueMs: number }[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly proxy: TcpProxy, private readonly deliver: (parcel: Parcel) => void) {}

  put(parcel: Parcel): void {
    this.#parcels.push({ parcel, dueMs: performance.now() + this.proxy.delayMs });
    this.flow();
  }

  flow(): void {
    clearTimeout(this.#timer);
    while (this.proxy.weather !== 'held') {
      const [next] = this.#parcels;
      if (next === undefined) return;
      const leftMs = next.dueMs - performance.now();
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

  private constructor(private readonly target: () => Address | Promise<Address>) {
    this.#server = createServer((client) => { void this.#accept(client); }).unref();
  }

  /** @param target asked for each connection, since a server may come back elsewhere */
  static async open(target: () => Address | Promise<Address>): Promise<TcpProxy> {
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
  set delayMs(ms: number) { this.#delayMs = ms; }

  get weather(): Weather { return this.#weather; }
  set weather(weather: Weather) {
    const before = this.#weather;
    this.#weather = weather;
    for (const line of [...this.#lines]) {
      if (weather === 'dropped' || (before === 'half-open' && line.isHalved)) line.cut();
      else if (weather === 'half-open') line.halve();
      else line.flow();
    }
  }

  close(): void {
    this.#server.close();
    for (const line of [...this.#lines]) line.cut();
  }

  async #accept(client: Socket): Promise<void> {
    client.on('error', () => undefined);
    const target = await Promise.resolve().then(this.target).catch(() => undefined);
    // A server that is not there refuses as well.
    if (target === undefined || this.#weather === 'dropped') {
      client.resetAndDestroy();
      return;
    }
    const line: Line = new Line(client, this, target, () => { this.#lines.delete(line); });
    this.#lines.add(line);
    if (this.#weather === 'half-open') line.halve();
  }
}

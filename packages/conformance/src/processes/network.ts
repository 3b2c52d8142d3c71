import type { StoreServer } from './store-server.js';
import { TcpProxy, type Address, type Weather } from './tcp-proxy.js';

const nodesOf = async (server: StoreServer): Promise<readonly Address[]> => [await server.address()].flat();

/** The way from one instance to the store's server: a proxy before each address of it. */
export class Network {
  private constructor(private readonly proxies: readonly TcpProxy[]) {}

  static async open(server: StoreServer): Promise<Network> {
    const nodes = await nodesOf(server);
    return new Network(await Promise.all(nodes.map((_, index) => TcpProxy.open(async () => (await nodesOf(server))[index]))));
  }

  get addresses(): Address[] { return this.proxies.map(({ address }) => address); }
  /** How many connections were cut instead of an answer, so far. */
  get lostAnswers(): number { return this.proxies.reduce((sum, { lostAnswers }) => sum + lostAnswers, 0); }

  set delayMs(ms: number) { for (const proxy of this.proxies) proxy.delayMs = ms; }
  set weather(weather: Weather) { for (const proxy of this.proxies) proxy.weather = weather; }

  /** Nothing is wrong with it any more. */
  calm(): void {
    this.delayMs = 0;
    this.weather = 'passes';
  }

  close(): void { for (const proxy of this.proxies) proxy.close(); }
}

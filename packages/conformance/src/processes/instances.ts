import { Life } from './life.js';
import type { Affinity, ManagerSettings } from './instance-calls.js';
import type { Json } from './messages.js';
import { TcpProxy, type Address } from './tcp-proxy.js';
import type { Accepted } from './watched-store.js';

/** A store that is served by something that listens on a port. */
export interface StoreServer {
  /** Where it listens now. */
  address(): Address | Promise<Address>;
  /** What `createStore` is given so that the store connects to this address instead. */
  config(address: Address): Json | Promise<Json>;
}

/** How the processes of instances are started. */
export interface InstanceProgram {
  readonly module: string;
  readonly context: string;
  readonly config: () => Promise<Json | undefined>;
  readonly execArgv: readonly string[];
  readonly settings: ManagerSettings;
  readonly server: StoreServer | undefined;
}

/** A node of this machine under load starts within a second or two. */
const START_MS = 30_000;
/** One of each kind: what is kept between requests, and given on, differs. */
const AFFINITIES: readonly Affinity[] = ['keep', 'auto', 'release'];

/** The instances of a cluster, each a process; who has died is started again under the same name. */
export class Instances {
  readonly #lives: (Life | undefined)[] = AFFINITIES.map(() => undefined);
  readonly #starting = new Map<number, Promise<Life>>();
  readonly #proxies = new Map<number, TcpProxy>();
  #config: Promise<Json | undefined> | undefined;

  constructor(private readonly program: InstanceProgram, private readonly accepted: (change: Accepted) => void) {}

  get count(): number { return AFFINITIES.length; }
  /** Those that can be asked for something. */
  get serving(): Life[] { return this.#lives.filter((life) => life?.serves === true) as Life[]; } // just filtered

  /** All of them, those that are missing started. */
  all(): Promise<Life[]> { return Promise.all(this.#lives.map((_, index) => this.at(index))); }

  /** The instance of that number; started if it is not there. */
  at(index: number): Promise<Life> {
    const life = this.#lives[index];
    if (life?.serves === true) return Promise.resolve(life);
    const starting = this.#starting.get(index) ?? this.#start(index, life).finally(() => { this.#starting.delete(index); });
    this.#starting.set(index, starting);
    return starting;
  }

  /** From now on nothing goes wrong: who stood still goes on, the network passes, and who is missing is started. */
  calm(): Promise<Life[]> {
    for (const life of this.#lives) if (life?.standsStill === true) life.resume();
    for (const proxy of this.#proxies.values()) {
      proxy.delayMs = 0;
      proxy.weather = 'passes';
    }
    return this.all();
  }

  /** Ends all of them at once. */
  async kill(): Promise<void> {
    await Promise.allSettled(this.#starting.values());
    await Promise.all(this.#lives.map(async (life) => { if (life?.runs === true) await life.kill(); }));
    this.#lives.fill(undefined);
    this.#close();
  }

  /** Stops all of them; resolves to the names of those whose processes did not end by themselves then. */
  async stop(withinMs: number): Promise<string[]> {
    const lives = this.serving;
    const ended = await Promise.all(lives.map((life) => life.stop(withinMs)));
    this.#lives.fill(undefined);
    this.#close();
    return lives.filter((_, index) => ended[index] !== true).map(({ instanceId }) => instanceId);
  }

  #close(): void {
    for (const proxy of this.#proxies.values()) proxy.close();
    this.#proxies.clear();
  }

  async #start(index: number, before: Life | undefined): Promise<Life> {
    // A name is free when the process that had it has ended.
    if (before?.runs === true) await before.ended;
    const { module, context, settings, execArgv, server } = this.program;
    const proxy = server && await this.#proxy(index, server);
    this.#config ??= this.program.config();
    const config = server === undefined || proxy === undefined ? await this.#config : await server.config(proxy.address);
    const life = await Life.begin(
      { module, context, config, settings, instanceId: `i${index}-${context}`, affinity: AFFINITIES[index] ?? 'auto' },
      execArgv, proxy, this.accepted, START_MS,
    );
    this.#lives[index] = life;
    return life;
  }

  async #proxy(index: number, server: StoreServer): Promise<TcpProxy> {
    const proxy = this.#proxies.get(index) ?? await TcpProxy.open(() => server.address());
    this.#proxies.set(index, proxy);
    return proxy;
  }
}

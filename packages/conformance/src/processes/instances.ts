import { Life } from './life.js';
import type { Affinity, ManagerSettings } from './instance-calls.js';
import type { Json } from './messages.js';
import { Network } from './network.js';
import type { StoreServer } from './store-server.js';
import type { Accepted } from './watched-store.js';

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
  readonly #networks = new Map<number, Network>();
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
    for (const network of this.#networks.values()) network.calm();
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
    for (const network of this.#networks.values()) network.close();
    this.#networks.clear();
  }

  async #start(index: number, before: Life | undefined): Promise<Life> {
    // A name is free when the process that had it has ended.
    if (before?.runs === true) await before.ended;
    const { module, context, settings, execArgv, server } = this.program;
    const network = server && await this.#network(index, server);
    this.#config ??= this.program.config();
    const config = server === undefined || network === undefined ? await this.#config : await server.config(...network.addresses);
    const life = await Life.begin(
      { module, context, config, settings, instanceId: `i${index}-${context}`, affinity: AFFINITIES[index] ?? 'auto' },
      execArgv, network, this.accepted, START_MS,
    );
    this.#lives[index] = life;
    return life;
  }

  async #network(index: number, server: StoreServer): Promise<Network> {
    const network = this.#networks.get(index) ?? await Network.open(server);
    this.#networks.set(index, network);
    return network;
  }
}

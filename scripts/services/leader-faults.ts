import { until, type ServerProcess } from './server-process.js';

/** Who leads some nodes, and how many of them have all that it has; itself among them. */
export interface Lead<N extends ServerProcess> { readonly leader: N | undefined; readonly copies: number }

/** What goes wrong, and ends, while clients are served. */
export interface Fault {
  readonly title: string;
  begin(): Promise<void>;
  end(): Promise<void>;
}

/** What can happen to nodes of which one leads. Of two faults the second one begins when the first is mended. */
export class LeaderFaults<N extends ServerProcess> {
  #mend = async (): Promise<void> => undefined;

  /** @param lead as those nodes say that are not away; may reject while it cannot be found out */
  constructor(private readonly nodes: readonly N[], private readonly lead: (away?: N) => Promise<Lead<N>>) {}

  /** Over when another node leads: then every instance answers again within its time, with the node that led still away. */
  ofTheLeader(title: string, harm: (leader: N) => Promise<void> | void, mend: (leader: N) => Promise<void> | void): Fault {
    let away: N | undefined;
    return {
      title: `the leader ${title}`,
      begin: async () => {
        const leader = await this.#settled();
        away = leader;
        this.#mend = async () => { await mend(leader); };
        await harm(leader);
      },
      end: () => until('another node leads', async () => {
        const { leader } = await this.#lead(away);
        return leader !== undefined && leader !== away;
      }),
    };
  }

  readonly all: Fault = {
    title: 'all nodes are killed, and started again',
    begin: async () => {
      await this.#settled();
      await Promise.all(this.nodes.map((node) => node.kill()));
    },
    end: async () => {
      await Promise.all(this.nodes.map((node) => node.restart()));
      await this.#settled();
    },
  };

  async #settled(): Promise<N> {
    const mend = this.#mend;
    this.#mend = async () => undefined;
    await mend();
    let found: N | undefined;
    await until('every node has everything', async () => {
      const { leader, copies } = await this.#lead();
      found = leader;
      return leader?.pid !== undefined && copies === this.nodes.length;
    }, 60_000);
    if (found === undefined) throw new Error('settled without a leader');
    return found;
  }

  #lead(away?: N): Promise<Lead<N>> { return this.lead(away).catch(() => ({ leader: undefined, copies: 0 })); }
}

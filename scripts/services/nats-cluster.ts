import { Road } from './nats-road.js';
import { NatsServer, type NatsSettings } from './nats.js';
import { until } from './server-process.js';

const NODES = 3;

/** What JetStream's API answers, as far as it is read here. */
interface StreamAnswer {
  readonly error?: { readonly description: string };
  readonly cluster?: { readonly leader?: string; readonly replicas?: readonly { readonly name: string; readonly current: boolean }[] };
}

const nobody = (): StreamAnswer => ({ error: { description: 'nobody answers' } });

/** Three NATS servers, each with JetStream, that elect leaders among themselves. */
export class NatsCluster {
  /** By the node that it begins at and the one that it leads to. */
  readonly #roads: { readonly from: NatsServer; readonly to: NatsServer; readonly road: Road }[] = [];

  private constructor(readonly nodes: readonly NatsServer[]) {}

  static async start(settings: NatsSettings = {}): Promise<NatsCluster> {
    const starting = await Promise.allSettled(Array.from({ length: NODES }, () => NatsServer.start(settings)));
    const cluster = new NatsCluster(starting.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : [])));
    try {
      const failed = starting.find((each) => each.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
      for (const node of cluster.nodes) await cluster.#lead(node);
      await Promise.all(cluster.nodes.map((node) => node.restart()));
      await cluster.ready();
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  get urls(): readonly string[] { return this.nodes.map(({ url }) => url); }

  /** Resolves when every node knows somebody who can make streams. */
  async ready(): Promise<void> {
    await until('JetStream has a leader', async () => {
      const answers = await Promise.all(this.#running.map((node): Promise<StreamAnswer> => node.ask('$JS.API.STREAM.NAMES').catch(nobody)));
      return answers.every(({ error }) => error === undefined);
    });
  }

  /** Makes a stream, or finds that there is this one. */
  async make(stream: { readonly name: string } & object): Promise<void> {
    // A request that meets a change of leaders is not answered, or refused; it can be sent again.
    await until(`there is ${stream.name}`, async () => (await this.#ask(`$JS.API.STREAM.CREATE.${stream.name}`, stream)).error === undefined);
  }

  /** The node that takes the writes of this stream; undefined while there is none. */
  async leaderOf(stream: string): Promise<NatsServer | undefined> {
    const { cluster } = await this.#ask(`$JS.API.STREAM.INFO.${stream}`);
    return this.nodes.find(({ name, pid }) => pid !== undefined && name === cluster?.leader);
  }

  /** Resolves to the leader when the stream has one, and every other node has all that it has. */
  async settled(stream: string): Promise<NatsServer> {
    let leader: NatsServer | undefined;
    await until(`${stream} is the same everywhere`, async () => {
      const { cluster } = await this.#ask(`$JS.API.STREAM.INFO.${stream}`);
      leader = this.nodes.find(({ name }) => name === cluster?.leader);
      return leader !== undefined && cluster?.replicas?.length === NODES - 1 && cluster.replicas.every(({ current }) => current);
    });
    if (leader === undefined) throw new Error('settled without a leader');
    return leader;
  }

  /** From now on this node and the others hear nothing of each other; clients still reach all of them. */
  isolate(node: NatsServer): void { for (const { from, to, road } of this.#roads) if (from === node || to === node) road.shut(); }

  /** All nodes hear each other again. */
  rejoin(): void { for (const { road } of this.#roads) road.reopen(); }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
    for (const { road } of this.#roads) road.close();
  }

  async [Symbol.asyncDispose](): Promise<void> { await this.stop(); }

  get #running(): readonly NatsServer[] { return this.nodes.filter(({ pid }) => pid !== undefined); }

  /** Makes the roads from this node to the others, and tells it of them. */
  async #lead(from: NatsServer): Promise<void> {
    const others = this.nodes.filter((node) => node !== from);
    const roads = await Promise.all(others.map(async (to) => ({ from, to, road: await Road.open({ host: to.host, port: to.peerPort }) })));
    this.#roads.push(...roads);
    await from.join(roads.map(({ road }) => road.port));
  }

  /** What the first node answers; a node that stands still answers nothing. */
  #ask(subject: string, question?: object): Promise<StreamAnswer> {
    return Promise.any(this.#running.map((node) => node.ask(subject, question))).catch(nobody);
  }
}

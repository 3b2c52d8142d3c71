import { RedisServer, type RedisSettings } from './redis.js';
import { until } from './server-process.js';

const NODES = 3;
const SLOTS = 16_384;
/** How long a node may be silent before the others call it failed. */
const NODE_TIMEOUT_MS = 2000;
const KEYS_AT_ONCE = 100;
const MIGRATE_WITHIN_MS = 5000;

/** A slot on its way from one node to another: keys that have moved are answered by `ASK`, the others where they are. */
export interface Migration {
  readonly slot: number;
  readonly from: RedisServer;
  readonly to: RedisServer;
  /** Moves some of the keys that are left; resolves to their number. */
  moveKeys(atMost?: number): Promise<number>;
  /** Moves the rest, and the slot; from now on `from` answers `MOVED`. */
  finish(): Promise<void>;
}

/** Three nodes without replicas, each with a third of the slots. */
export class RedisCluster {
  private constructor(readonly nodes: readonly RedisServer[]) {}

  static async start({ aof = false, config = {} }: RedisSettings = {}): Promise<RedisCluster> {
    const settings = { aof, config: { 'cluster-enabled': 'yes', 'cluster-node-timeout': String(NODE_TIMEOUT_MS), ...config } };
    const starting = await Promise.allSettled(Array.from({ length: NODES }, () => RedisServer.start(settings)));
    const cluster = new RedisCluster(starting.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : [])));
    try {
      const failed = starting.find((each) => each.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
      await cluster.#join();
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  async #join(): Promise<void> {
    const [first] = this.nodes;
    for (const [at, node] of this.nodes.entries()) {
      const end = (share: number) => Math.floor(SLOTS * share / NODES);
      const slots = Array.from({ length: end(at + 1) - end(at) }, (_, offset) => String(end(at) + offset));
      await node.send('CLUSTER', 'ADDSLOTS', ...slots);
      // Nodes that begin with the same epoch would settle it first.
      await node.send('CLUSTER', 'SET-CONFIG-EPOCH', String(at + 1));
      if (first !== undefined && node !== first) await node.send('CLUSTER', 'MEET', first.host, String(first.port));
    }
    await this.ready();
  }

  /** Resolves when every node knows where every slot is. */
  async ready(): Promise<void> {
    await until('every node of the cluster is content', async () => {
      const states = await Promise.all(this.nodes.map(async (node) => String(await node.send('CLUSTER', 'INFO'))));
      return states.every((state) => state.includes('cluster_state:ok') && state.includes(`cluster_known_nodes:${NODES}`)
        && state.includes(`cluster_slots_ok:${SLOTS}`));
    });
  }

  async slotOf(key: string): Promise<number> { return Number(await this.#any.send('CLUSTER', 'KEYSLOT', key)); }

  /** The node that has this slot. */
  async nodeOf(slot: number): Promise<RedisServer> {
    const ranges = await this.#any.send('CLUSTER', 'SLOTS');
    if (!Array.isArray(ranges)) throw new Error('CLUSTER SLOTS: expected a list');
    // Each entry: first slot, last slot, then the address of its node.
    const range = (ranges as [number, number, [string, number]][]).find(([first, last]) => first <= slot && slot <= last);
    const node = this.nodes.find(({ port }) => port === range?.[2][1]);
    if (node === undefined) throw new Error(`slot ${slot}: expected one of our nodes to have it, found port ${range?.[2][1] ?? 'none'}`);
    return node;
  }

  /** Begins to move a slot to another node, and no key yet. */
  async migrate(slot: number): Promise<Migration> {
    const from = await this.nodeOf(slot);
    const to = this.nodes.find((node) => node !== from) ?? from;
    const setSlot = async (node: RedisServer, ...words: string[]) => { await node.send('CLUSTER', 'SETSLOT', String(slot), ...words); };
    await setSlot(to, 'IMPORTING', await idOf(from));
    await setSlot(from, 'MIGRATING', await idOf(to));
    const moveKeys = async (atMost = KEYS_AT_ONCE) => {
      const keys = await from.send('CLUSTER', 'GETKEYSINSLOT', String(slot), String(atMost));
      if (!Array.isArray(keys) || keys.length === 0) return 0;
      await from.send('MIGRATE', to.host, String(to.port), '', '0', String(MIGRATE_WITHIN_MS), 'KEYS', ...keys.map(String));
      return keys.length;
    };
    const finish = async () => {
      while (await moveKeys() > 0);
      const id = await idOf(to);
      for (const node of [to, from, ...this.nodes.filter((other) => other !== to && other !== from)]) await setSlot(node, 'NODE', id);
    };
    return { slot, from, to, moveKeys, finish };
  }

  async stop(): Promise<void> { await Promise.all(this.nodes.map((node) => node.stop())); }

  async [Symbol.asyncDispose](): Promise<void> { await this.stop(); }

  get #any(): RedisServer {
    const node = this.nodes.find(({ pid }) => pid !== undefined);
    if (node === undefined) throw new Error('the cluster has no node that runs');
    return node;
  }
}

const idOf = async (node: RedisServer) => String(await node.send('CLUSTER', 'MYID'));

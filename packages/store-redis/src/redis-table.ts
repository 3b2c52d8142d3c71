import type { Redis } from 'ioredis';
import { ClusterError } from '@cluster/core';
import type {
  Absent, Acquired, Claim, Committed, DriverContext, Gone, Message, Removed, SessionRecord, SessionTable, Stamp, StoreCapabilities, Then, Write,
} from '@cluster/core/driver';
import { unusable, type Argument, type Connection } from './connection.js';
import { FORMAT, putAttributes, putChange, readRecord } from './record.js';
import { expectRights, inspectServers } from './server-check.js';
import * as scripts from './scripts.js';
import type { Script } from './scripts.js';
import { Subscription } from './subscription.js';

interface Running {
  readonly connection: Connection;
  readonly subscription: Subscription;
  readonly context: DriverContext;
  readonly isSharded: boolean;
}

export interface RedisTableOptions {
  /** Makes connections; called by each start. */
  readonly connect: () => Connection;
  readonly isCluster: boolean;
  readonly prefix: string;
  readonly database: number;
}

const KEYS_AT_ONCE = 1_000;

/** Sessions as hashes of a Redis, each step one script; see scripts.ts. Times are of the server's clock. */
export class RedisTable implements SessionTable {
  #capabilities: StoreCapabilities = { delta: true, rollback: true, gone: 'disconnected', durability: 'process' };
  #running: Running | undefined;

  constructor(private readonly options: RedisTableOptions) {}

  get capabilities(): StoreCapabilities { return this.#capabilities; }

  async start(context: DriverContext): Promise<void> {
    if (this.#running !== undefined) throw new ClusterError('CLUSTER_BAD_OPTION', 'this store has been started');
    const connection = this.options.connect();
    await connection.open();
    try {
      const { capabilities, isSharded } = await inspectServers(connection.servers(), this.options.isCluster);
      await expectRights(connection, `${this.options.prefix}${context.context}.c.rights`, this.#channel(context, ''), isSharded);
      const { receive, listening, instanceId } = context;
      const channel = this.#channel(context, instanceId);
      const subscription = new Subscription(connection, { channel, isSharded, receive, listening });
      await subscription.open();
      this.#capabilities = capabilities;
      this.#running = { connection, subscription, context, isSharded };
    } catch (error) {
      connection.close();
      throw unusable(error);
    }
  }

  stop(): Promise<void> {
    this.#running?.subscription.close();
    this.#running?.connection.close();
    this.#running = undefined;
    return Promise.resolve();
  }

  async acquire(key: string, claim: Claim, from?: string, have?: Stamp): Promise<Acquired> {
    const answer = await this.#run(scripts.acquire, key, [claim.incarnation, claim.grant, from ?? '', ...stampArguments(have)]);
    if (!Array.isArray(answer)) return absent(answer);
    if (answer.length === 2) return { kind: 'busy', holder: claimOf(answer) };
    return { kind: 'granted', record: readRecord(key, answer) };
  }

  async create(key: string, claim: Claim, write: Write, then: 'keep' | 'release'): Promise<'created' | 'exists'> {
    const args: Argument[] = [claim.incarnation, claim.grant, then, lifetimeOf(write), FORMAT];
    if (write.change !== undefined) putAttributes(args, write.change.set);
    return await this.#run(scripts.create, key, args) === 1 ? 'created' : 'exists';
  }

  async commit(key: string, grant: string, base: Stamp | undefined, write: Write, then: Then): Promise<Committed> {
    const [to, toGrant] = then === 'keep' ? ['keep', ''] : then === 'release' ? ['', ''] : [then.incarnation, then.grant];
    const lifetimeMs = lifetimeOf(write);
    const args: Argument[] = [grant, ...stampArguments(base), lifetimeMs, to, toGrant];
    putChange(args, write.change);
    if (write.change !== undefined && base !== undefined) args.push('version', base.version + 1, 'grant', grant);
    if (lifetimeMs > 0) args.push('lifetime', lifetimeMs);
    const answer = await this.#run(scripts.commit, key, args);
    return typeof answer === 'number' ? { kind: 'done', version: answer } : refusalOf(answer);
  }

  async remove(key: string, grant: string | undefined, base: Stamp | undefined, why: Gone, keepMs: number): Promise<Removed> {
    const answer = await this.#run(scripts.remove, key, [grant ?? '', ...stampArguments(base), why, Math.ceil(keepMs)]);
    if (!Array.isArray(answer)) return String(answer) === 'behind' ? { kind: 'behind' } : { kind: 'removed' };
    return answer.length === 2 ? { kind: 'removed', holder: claimOf(answer) } : refusalOf(answer[0]);
  }

  async read(key: string, have?: Stamp): Promise<SessionRecord | Absent> {
    const answer = await this.#run(scripts.read, key, stampArguments(have));
    return Array.isArray(answer) ? readRecord(key, answer) : absent(answer);
  }

  /** One after the other in the same moment: they travel together, and in a cluster to where their keys are. */
  async touch(lifetimes: ReadonlyMap<string, number>): Promise<ReadonlySet<string>> {
    const gone = new Set<string>();
    await Promise.all(Array.from(lifetimes, async ([key, lifetimeMs]) => {
      if (await this.#run(scripts.touch, key, [Math.ceil(lifetimeMs)]) === 0) gone.add(key);
    }));
    return gone;
  }

  async beat(incarnation: string, n: number, leaseMs: number): Promise<{ readonly generation: string } | 'lapsed'> {
    const { connection } = this.#started;
    const [beaten, generations] = await Promise.all([
      this.#run(scripts.beat, this.#leaseKey(incarnation), [n, Math.ceil(leaseMs)]), connection.runOnEach(scripts.generation),
    ]);
    return beaten === 1 ? { generation: generations.sort().join() } : 'lapsed';
  }

  async lapse(incarnation: string, quietMs: number): Promise<number> {
    return Number(await this.#run(scripts.lapse, this.#leaseKey(incarnation), [Math.ceil(quietMs)]));
  }

  async signal(instanceId: string, message: Message): Promise<boolean> {
    const { connection, subscription, context, isSharded } = this.#started;
    const own = instanceId === context.instanceId ? subscription.at : undefined;
    if (own !== undefined) subscription.probe();
    const listeners = await connection.publish(this.#channel(context, instanceId), message, isSharded);
    // A cluster's servers count their own listeners only, unless the channel is of one of them.
    if (listeners > 0 || (this.options.isCluster && !isSharded)) return true;
    if (own !== undefined) subscription.leave(own);
    return false;
  }

  async *keys(): AsyncGenerator<string> {
    const { connection, context } = this.#started;
    const listed = new Set<string>();
    for (const server of connection.servers()) {
      for await (const key of keysAt(server, `${this.options.prefix}${context.context}.`)) {
        if (!listed.has(key)) yield key.slice(this.options.prefix.length);
        listed.add(key);
      }
    }
  }

  #run(script: Script, key: string, args: readonly Argument[]): Promise<unknown> {
    if (this.#running === undefined) return Promise.reject(notRunning());
    return this.#running.connection.run(script, this.options.prefix + key, args);
  }

  #channel({ context }: DriverContext, instanceId: string): string {
    return `${this.options.prefix}${this.options.database}:${context}.i.${instanceId}`;
  }

  #leaseKey(incarnation: string): string {
    return `${this.#started.context.context}.l.${incarnation}`;
  }

  get #started(): Running {
    if (this.#running === undefined) throw notRunning();
    return this.#running;
  }
}

const notRunning = (): ClusterError => new ClusterError('CLUSTER_STOPPED', 'the Redis store is not running');

const stampArguments = (stamp: Stamp | undefined): [string, string | number] => (stamp === undefined ? ['', ''] : [stamp.grant, stamp.version]);

const lifetimeOf = ({ lifetimeMs }: Write): number => Math.ceil(lifetimeMs);

const goneOf = (why: unknown): { readonly gone: Gone } | undefined => {
  const gone = String(why);
  return gone === 'removed' || gone === 'moved' ? { gone } : undefined;
};

const absent = (why: unknown): Absent => ({ kind: 'absent', ...goneOf(why) });

function refusalOf(why: unknown): { kind: 'fenced'; gone?: Gone } | { kind: 'behind' } {
  return String(why) === 'behind' ? { kind: 'behind' } : { kind: 'fenced', ...goneOf(why) };
}

const claimOf = ([incarnation, grant]: readonly unknown[]): Claim => ({ incarnation: String(incarnation), grant: String(grant) });

async function* keysAt(server: Redis, prefix: string): AsyncGenerator<string> {
  const match = `${prefix.replace(/[\\*?[\]^]/g, '\\$&')}*`;
  let cursor = '0';
  do {
    const [next, keys] = await server.scan(cursor, 'MATCH', match, 'COUNT', KEYS_AT_ONCE);
    yield* keys;
    cursor = next;
  } while (cursor !== '0');
}

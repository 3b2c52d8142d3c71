import { Redis, type Cluster, type RedisOptions } from 'ioredis';
import { ClusterError } from '@cluster/core';
import type { Script } from './scripts.js';

/** What a client of Redis must do for the driver; another one than ioredis would be put in here. */
export interface Connection {
  /** Rejects if there is nothing to connect to. */
  open(): Promise<void>;
  close(): void;
  /** Runs a script over one key; texts in the answer are buffers. */
  run(script: Script, key: string, args: readonly Argument[]): Promise<unknown>;
  /** Runs a script without a key on every server that takes writes. */
  runOnEach(script: Script): Promise<unknown[]>;
  /** Resolves to how many listen. */
  publish(channel: string, message: string, isSharded: boolean): Promise<number>;
  /** The servers that take writes. */
  servers(): Redis[];
  /** Connections to be made for a subscription; in a cluster one of the servers has the channel. */
  subscribers(): Redis[];
}

export type Argument = string | number | Buffer;

const START_MS = 5_000;
const RECONNECT_MS = 100;
/** A server from which nothing comes for so long, although it was asked, is connected to anew. */
const SILENCE_MS = 2_000;

/**
 * Whatever the client is set to: nothing is sent twice, what is unanswered when a connection ends is rejected then, and a server
 * that is back is found at once.
 */
const settingsOver = (given: Pick<RedisOptions, 'connectTimeout' | 'socketTimeout' | 'sentinelCommandTimeout'> = {}) => ({
  lazyConnect: true, autoResubscribe: false, autoResendUnfulfilledCommands: false, enableOfflineQueue: true, maxRetriesPerRequest: 0,
  retryStrategy: () => RECONNECT_MS, enableReadyCheck: true, maxLoadingRetryTime: RECONNECT_MS, disconnectTimeout: RECONNECT_MS,
  // It cuts connections that lead to the new primary already, and those that are being made for good.
  failoverDetector: false, sentinelCommandTimeout: given.sentinelCommandTimeout ?? SILENCE_MS,
  // A primary that has become a replica: its name may lead to another one by now.
  reconnectOnError: (error: Error) => error.message.includes('READONLY'),
  connectTimeout: Math.min(given.connectTimeout ?? SILENCE_MS, SILENCE_MS), socketTimeout: given.socketTimeout ?? SILENCE_MS,
  keyPrefix: '', enableAutoPipelining: false, stringNumbers: false, replyMapping: 'legacy', monitor: false, readOnly: false,
}) as const;

const clusterSettings = {
  lazyConnect: true, enableOfflineQueue: true, clusterRetryStrategy: () => RECONNECT_MS, scaleReads: 'master', shardedSubscribers: false,
  // What a closed connection left unanswered may have been done.
  retryDelayOnFailover: 0, keyPrefix: '', enableAutoPipelining: false,
} as const;

/** The keys' prefix of a client that was passed in, which a duplicate of it must not put before channels. */
export const keyPrefixOf = (client: Redis | Cluster): string => client.options.keyPrefix ?? '';

export const isCluster = (client: Redis | Cluster): client is Cluster => client.isCluster;

/** A client that is not connected, with what the URL says: its query too may name a database or a prefix of keys. */
export function clientOf(url: string): Redis {
  const address = new URL(url);
  // A query wins over settings that are given beside it.
  address.searchParams.delete('lazyConnect');
  return new Redis(address.href, { lazyConnect: true });
}

function connectionLike(template: Redis | Cluster): Redis | Cluster {
  if (!isCluster(template)) return template.duplicate(settingsOver(template.options));
  // ioredis 5 takes these in place of the client's.
  const { redisOptions } = template.options;
  return template.duplicate([], { ...clusterSettings, redisOptions: { ...redisOptions, ...settingsOver(redisOptions) } });
}

/** Since ioredis 6 each connection has this setting. With an earlier one over Redis Cluster a script that is sent anew is never answered. */
const isOfThisMajor = (server: Redis | undefined): boolean => server?.options.protocol !== undefined;

interface Failure { readonly name?: string; readonly message?: string; readonly lastNodeError?: unknown }

/** Errors of the system are of another realm in some test runners. */
const asFailure = (error: unknown): Failure => (typeof error === 'object' && error !== null ? error : { message: String(error) });

/** Without the command that ioredis adds, whose arguments are content of sessions. Of all nodes' errors the last one says more than their sum. */
function stripped(error: unknown): Error {
  const { lastNodeError, message } = asFailure(error);
  return new Error(lastNodeError === undefined || lastNodeError === null ? message : `no node can be used, the last one since: ${asFailure(lastNodeError).message}`);
}

const isAnswer = (error: unknown): boolean => asFailure(error).name === 'ReplyError';

/** What ends a script at its first write or before. Else it may have written already: a right is looked at when its command comes. */
const AT_FIRST = /(^|: -)(OOM|READONLY|MISCONF|NOREPLICAS|WRONGTYPE) /;

const isHalfWay = (message: string): boolean => message.includes('user_script') && !AT_FIRST.test(message);

const isUnknownScript = (error: unknown): boolean => isAnswer(error) && asFailure(error).message?.includes('NOSCRIPT') === true;

const LOST = /^(Reached the max retries|Connection is closed)/;

/** Where in a script it happened says nothing to those who did not write it. */
const PLACE = /\.? script: \w+, on @user_script:\d+\.?$/;

function refusal(message: string): Error {
  if (isHalfWay(message)) return new Error(`Redis ended a step, perhaps half-way: ${message.replace(PLACE, '')}`);
  const advice = message.includes('OOM ') ? '; raise maxmemory, or let sessions end sooner (idleTimeoutMs)' : '';
  return new ClusterError('CLUSTER_UNAVAILABLE', `Redis refused: ${message.replace(PLACE, '')}; nothing was changed${advice}`);
}

/** Why a server that was reached cannot be used. */
export const unusable = (error: unknown): ClusterError => (ClusterError.is(error) ? error
  : new ClusterError('CLUSTER_UNAVAILABLE', `this Redis cannot hold sessions: ${stripped(error).message}`));

/** Lets what is sent in one turn of the event loop leave in one write: under load the system call costs more than the command. */
function gather(stream: Redis['stream'] | undefined): void {
  if (stream === undefined || stream.writableCorked > 0) return;
  stream.cork();
  setImmediate(() => { stream.uncork(); });
}

const usesTls = (client: Redis | Cluster): boolean => (isCluster(client) ? client.options.redisOptions?.tls : client.options.tls) !== undefined;

/** What TLS says is known by few. */
function adviceOn({ message }: Error, isTls: boolean): string {
  if (isTls && message.includes('certificate')) return '; let Node.js know its authority by NODE_EXTRA_CA_CERTS, or give a client with tls: { ca }';
  if (isTls && message.includes('ETIMEDOUT')) return '; does it speak TLS on that port?';
  if (!isTls && /ECONNRESET|EPIPE|closed at once/.test(message)) return '; does it expect TLS (rediss://) on that port?';
  return '';
}

/** By ioredis: connections of its own, made like the client or by the URL that was given. */
export class IoredisConnection implements Connection {
  readonly #client: Redis | Cluster;
  #lastError: Error | undefined;
  #isOpen = false;

  constructor(template: Redis | Cluster) {
    this.#client = connectionLike(template);
    this.#client.on('error', (error: Error) => { this.#lastError = stripped(error); });
    this.#client.on('ready', () => { this.#lastError = undefined; });
    if (isCluster(this.#client)) {
      this.#client.on('node error', (error: Error) => { this.#lastError = stripped(error); });
      this.#client.on('+node', (node: Redis) => { this.#watchLoading(node); });
    } else {
      this.#watchLoading(this.#client);
    }
    // ioredis gives up where no Sentinel can be asked, or a connection is cut while it is made.
    this.#client.on('end', () => { setTimeout(() => { this.#again(); }, RECONNECT_MS).unref(); });
  }

  async open(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const expected = isCluster(this.#client) ? 'no node that says that the cluster is whole (CLUSTER SLOTS, CLUSTER INFO)' : 'no answer';
    const late = new Promise<never>((_, reject) => { timer = setTimeout(() => { reject(new Error(`${expected} within ${START_MS} ms`)); }, START_MS); });
    try {
      await Promise.race([this.#connect(), late]);
      this.#isOpen = true;
    } catch (error) {
      this.close();
      const last = this.#lastError ?? stripped(error);
      const cause = LOST.test(last.message) ? new Error('the connection was closed at once') : last;
      throw new ClusterError('CLUSTER_UNAVAILABLE', `Redis cannot be connected to: ${cause.message}${adviceOn(cause, usesTls(this.#client))}`, { cause });
    } finally {
      clearTimeout(timer);
    }
  }

  async #connect(): Promise<void> {
    const client = this.#client;
    await client.connect();
    if (isCluster(client)) await Promise.all(client.nodes('master').map((node) => node.ping()));
    // A connection whose database is refused goes on in the first one.
    else if ((client.options.db ?? 0) !== 0) await client.select(client.options.db ?? 0);
    if (!isOfThisMajor(this.servers()[0])) throw new Error('expected ioredis 6, found an earlier version');
  }

  close(): void {
    this.#isOpen = false;
    this.#client.disconnect();
  }

  #again(): void {
    if (this.#isOpen) this.#client.connect().catch(() => undefined);
  }

  #watchLoading(server: Redis): void {
    server.on('connect', () => { void this.#leaveWhileLoading(server); });
  }

  /** ioredis would keep every call until the server has loaded its file, however many and long. At start it is waited for. */
  async #leaveWhileLoading(server: Redis): Promise<void> {
    const persistence = await server.info('persistence').catch(() => '');
    if (!/^loading:1/m.test(persistence)) return;
    this.#lastError = new Error('Redis is loading its file');
    if (this.#isOpen) server.disconnect(true);
  }

  /** What a call is rejected with. Where there is no connection, the reason is what the last attempt to make one met. */
  #failure(error: unknown): Error {
    const { message } = stripped(error);
    if (isAnswer(error)) return refusal(message);
    if (!LOST.test(message)) return new Error(message);
    const reason = this.#client.status === 'ready' || this.#lastError === undefined ? '' : `: ${this.#lastError.message}`;
    return new Error(`the connection to Redis was lost before it answered${reason}`);
  }

  run(script: Script, key: string, args: readonly Argument[]): Promise<unknown> {
    const client = this.#client;
    if (!isCluster(client)) gather(client.stream);
    return client.callBuffer('evalsha', [script.sha, 1, key, ...args]).catch(async (error: unknown) => {
      if (!isUnknownScript(error)) throw this.#failure(error);
      return client.callBuffer('eval', [script.text, 1, key, ...args]).catch((again: unknown) => { throw this.#failure(again); });
    });
  }

  runOnEach(script: Script): Promise<unknown[]> {
    return Promise.all(this.servers().map((server) => server.evalsha(script.sha, 0).catch(async (error: unknown) => {
      if (!isUnknownScript(error)) throw this.#failure(error);
      return server.eval(script.text, 0).catch((again: unknown) => { throw this.#failure(again); });
    })));
  }

  async publish(channel: string, message: string, isSharded: boolean): Promise<number> {
    const published = isSharded ? this.#client.spublish(channel, message) : this.#client.publish(channel, message);
    return Number(await published.catch((error: unknown) => { throw this.#failure(error); }));
  }

  servers(): Redis[] {
    return isCluster(this.#client) ? this.#client.nodes('master') : [this.#client];
  }

  subscribers(): Redis[] {
    return this.servers().map((server) => server.duplicate({ ...settingsOver(server.options), retryStrategy: null }));
  }
}

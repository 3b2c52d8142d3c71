import { headers, type StreamAPI } from 'nats';
import { ClusterError } from '@cluster/core';
import type { DriverContext, Entry, Found, Message, SessionMap } from '@cluster/core/driver';
import { openBucket, streamOf, type BucketSettings } from './bucket.js';
import { isNobody, Link, refusalOf, type Source } from './link.js';

export interface NatsMapOptions extends BucketSettings { readonly source: Source }

interface Running {
  readonly context: DriverContext;
  readonly link: Link;
  readonly streams: StreamAPI;
  /** How long an answer to a signal is waited for. */
  readonly signalMs: number;
  /** The server lets each key expire by itself. */
  expires: boolean;
}

/** The last message of a key; `expiresMs` is finite only if an instance and no server lets it expire. */
interface Last { readonly value: string; readonly sequence: number; readonly expiresMs: number }

/** Its content and its headers in base64. */
interface Stored { readonly message: { readonly data?: string; readonly hdrs?: string; readonly seq: number } }

/** Over this time every caller has given up. */
const calling = { checkAPI: false, timeout: 30_000 } as const;
/** That nobody is there is told within a round trip; one who is there and does not answer is waited for in vain. */
const SIGNAL_MS = { least: 25, most: 150 } as const;
/** Servers count in whole seconds, and cut off the rest. */
const ttlOf = (lifetimeMs: number): string => `${Math.max(1, Math.ceil(lifetimeMs / 1_000))}s`;
const EXPECTED = 'Nats-Expected-Last-Subject-Sequence';
const EXPIRES = 'Cluster-Expires';
const NO_MESSAGE = 10037;
/** The second one: another put to that key is being replicated. */
const CONFLICTS: readonly (number | undefined)[] = [10071, 10164];
const EXPIRES_IN = new RegExp(`^${EXPIRES}: (\\d+)`, 'm');
const MAX_SWEPT_LOOKS = 10_000;

/**
 * A map over a key-value bucket of JetStream: a put is one publish, refused unless the key's last sequence is the expected one.
 * Keys expire by the server's clock where it can do that, else by a header, the instances' wall clocks and the sweeper.
 */
export class NatsMap implements SessionMap {
  readonly capabilities;
  readonly #stream: string;
  #running: Running | undefined;
  #epoch = 0;
  /** Of the last put from here. */
  #lastSequence = 0;
  #unswept: string[] = [];

  constructor(private readonly options: NatsMapOptions) {
    this.#stream = streamOf(options.bucket);
    // JetStream syncs its files every two minutes unless told otherwise, which no client can see.
    this.capabilities = { rollback: true, gone: 'disconnected', durability: options.storage === 'file' ? 'crash' : 'process' } as const;
  }

  async start(context: DriverContext): Promise<void> {
    if (this.#running !== undefined) throw new ClusterError('CLUSTER_BAD_OPTION', 'this store has been started');
    const link = await Link.open(this.options.source, (up) => { this.#changed(up); });
    try {
      const expires = await openBucket(link, this.options);
      link.subscribe(this.#mailbox(context, context.instanceId), (message) => {
        message.respond();
        context.receive(textOf(message.data));
      });
      // Another leader, or another stream of that name: what it has may be older.
      link.subscribe(`$JS.EVENT.ADVISORY.STREAM.*.${this.#stream}`, () => { this.#epoch += 1; });
      const signalMs = Math.min(SIGNAL_MS.most, SIGNAL_MS.least + 2 * await link.connection.rtt());
      const { streams } = await link.connection.jetstreamManager(calling);
      this.#running = { link, context, streams, signalMs, expires };
      context.listening(true);
    } catch (error) {
      await link.close();
      throw error;
    }
  }

  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    await running?.link.close();
  }

  async get(key: string): Promise<Found | undefined> {
    const last = await this.#last(this.#subject(key));
    return last === undefined || isOver(last) ? undefined : { value: last.value, revision: revisionOf(last) };
  }

  async compareAndSet(key: string, expected: string | undefined, entry: Entry): Promise<string | undefined> {
    const subject = this.#subject(key);
    if (expected !== undefined) {
      const [sequence = NaN, expiresMs = NaN] = expected.split('/').map(Number);
      return expiresMs > Date.now() ? this.#put(subject, sequence, entry) : undefined;
    }
    const first = await this.#put(subject, 0, entry);
    if (first !== undefined) return first;
    // It may be a marker that something was here, or an entry whose time is over.
    const last = await this.#last(subject);
    return last !== undefined && isOver(last) ? this.#put(subject, last.sequence, entry) : undefined;
  }

  async signal(instanceId: string, message: Message): Promise<boolean> {
    const { link, context, signalMs } = this.#started;
    const heard = link.call(() => link.connection.request(this.#mailbox(context, instanceId), message, { timeout: signalMs }));
    return heard.then(() => true, (error: unknown) => !isNobody(error));
  }

  generation(): string {
    return String(this.#epoch);
  }

  async sweep(limit: number): Promise<number> {
    const { link, streams, expires } = this.#started;
    if (expires) return 0;
    if (this.#unswept.length === 0) this.#unswept = await this.#subjects();
    let swept = 0;
    for (const subject of this.#unswept.splice(0, MAX_SWEPT_LOOKS)) {
      const last = swept < limit ? await this.#last(subject) : undefined;
      if (last === undefined || last.expiresMs > Date.now()) continue;
      // By its sequence: what was put there meanwhile has another one.
      await link.call(() => streams.deleteMessage(this.#stream, last.sequence, false));
      swept += 1;
    }
    return swept;
  }

  async *keys(): AsyncGenerator<string> {
    for (const subject of await this.#subjects()) {
      const last = await this.#last(subject);
      if (last !== undefined && !isOver(last)) yield subject.slice(`$KV.${this.options.bucket}.`.length).replaceAll('/', '.');
    }
  }

  async #subjects(): Promise<string[]> {
    const { link, streams, context: { context } } = this.#started;
    const { state } = await link.call(() => streams.info(this.#stream, { subjects_filter: `$KV.${this.options.bucket}.${context}.>` }));
    return Object.keys(state.subjects ?? {});
  }

  async #put(subject: string, lastSubjectSequence: number, { value, lifetimeMs }: Entry): Promise<string | undefined> {
    const { link, expires } = this.#started;
    const expiresMs = expires ? Infinity : Math.ceil(Date.now() + lifetimeMs);
    const head = headers();
    head.set(EXPECTED, String(lastSubjectSequence));
    if (expires) head.set('Nats-TTL', ttlOf(lifetimeMs));
    else head.set(EXPIRES, String(expiresMs));
    try {
      const { seq: sequence } = await link.ask<{ seq: number }>(subject, value, { headers: head });
      // An older state of the stream, or another stream, of which nobody told.
      if (sequence <= this.#lastSequence) this.#epoch += 1;
      this.#lastSequence = sequence;
      return revisionOf({ sequence, expiresMs });
    } catch (error) {
      if (CONFLICTS.includes(refusalOf(error))) return undefined;
      throw error;
    }
  }

  /** As the leader of the stream has it. */
  async #last(subject: string): Promise<Last | undefined> {
    try {
      const request = JSON.stringify({ last_by_subj: subject });
      const { message: { data, seq: sequence, hdrs } } = await this.#started.link.ask<Stored>(`$JS.API.STREAM.MSG.GET.${this.#stream}`, request);
      return { value: decoded(data), sequence, expiresMs: Number(EXPIRES_IN.exec(decoded(hdrs))?.[1] ?? Infinity) };
    } catch (error) {
      if (refusalOf(error) === NO_MESSAGE) return undefined;
      throw error;
    }
  }

  #changed(up: boolean): void {
    const running = this.#running;
    if (running === undefined) return;
    this.#epoch += 1;
    running.context.listening(up);
    // A server that keeps its streams in memory comes back without them.
    if (up) void openBucket(running.link, this.options).then((expires) => { running.expires = expires; }, () => undefined);
  }

  /** The context is one token, the rest another: a key may have dots where a subject must not. */
  #subject(key: string): string {
    return `$KV.${this.options.bucket}.${key.replaceAll('.', '/').replace('/', '.')}`;
  }

  #mailbox({ context }: DriverContext, instanceId: string): string {
    return `cluster.${this.options.bucket}.${context}.${instanceId}`;
  }

  get #started(): Running {
    if (this.#running === undefined) throw new ClusterError('CLUSTER_STOPPED', 'the NATS store is not running');
    return this.#running;
  }
}

/** The client's own decoding drops a byte order mark. */
const textOf = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();

const decoded = (base64 = ''): string => Buffer.from(base64, 'base64').toString();

/** What has no content says that there was something: it expired, or was deleted by hand. */
const isOver = ({ value, expiresMs }: Last): boolean => value === '' || expiresMs <= Date.now();

const revisionOf = ({ sequence, expiresMs }: Omit<Last, 'value'>): string => `${sequence}/${expiresMs}`;

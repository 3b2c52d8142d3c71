import { headers } from 'nats';
import { ClusterError } from '@cluster/core';
import type { DriverContext, Entry, Found, Message, SessionMap } from '@cluster/core/driver';
import { openBucket, streamOf, type ApiError, type Bucket, type BucketSettings } from './bucket.js';
import { isNobody, Link, type Source } from './link.js';

export interface NatsMapOptions extends BucketSettings { readonly source: Source }

interface Running { readonly link: Link; readonly context: DriverContext; bucket: Bucket }

/** The last message of a key; `expiresMs` only if an instance and no server lets it expire. */
interface Last { readonly value: string; readonly sequence: number; readonly expiresMs: number }

interface Answer {
  readonly error?: ApiError;
  readonly seq?: number;
  readonly message?: { readonly seq: number; readonly data?: string; readonly hdrs?: string };
  readonly state?: { readonly subjects?: Readonly<Record<string, number>> };
}

/** Who is not there is told at once; one who is there and does not answer is waited for in vain. */
const SIGNAL_MS = 150;
/** Servers take no shorter one. */
const SHORTEST_TTL_MS = 1_000;
const EXPIRES = 'Cluster-Expires';
const NO_MESSAGE = 10037;
/** The second one: another put to that key is being replicated. */
const CONFLICTS: readonly (number | undefined)[] = [10071, 10164];
/** The store of the leader failed in the middle of it. */
const STORE_FAILED = 10077;
const MAX_SWEPT_LOOKS = 10_000;

/**
 * A map over a key-value bucket of JetStream: a put is one publish, refused unless the key's last sequence is the expected one.
 * Keys expire by the server's clock where it can do that, else by a header, the instances' wall clocks and the sweeper.
 */
export class NatsMap implements SessionMap {
  readonly capabilities;
  #running: Running | undefined;
  #epoch = 0;
  #unswept: string[] = [];

  constructor(private readonly options: NatsMapOptions) {
    // JetStream syncs its files every two minutes unless told otherwise, which no client can see.
    this.capabilities = { rollback: true, gone: 'disconnected', durability: options.storage === 'file' ? 'crash' : 'process' } as const;
  }

  async start(context: DriverContext): Promise<void> {
    if (this.#running !== undefined) throw new ClusterError('CLUSTER_BAD_OPTION', 'this store has been started');
    const link = await Link.open(this.options.source, { changed: (up) => { this.#changed(up); } });
    try {
      const bucket = await openBucket(link, this.options);
      link.subscribe(this.#mailbox(context, context.instanceId), (message) => {
        message.respond();
        // The client's own decoding drops a byte order mark.
        context.receive(Buffer.from(message.data).toString());
      });
      // Another leader, or another stream of that name: what it has may be older.
      link.subscribe(`$JS.EVENT.ADVISORY.STREAM.*.${streamOf(this.options.bucket)}`, () => { this.#epoch += 1; });
      await link.flush();
      this.#running = { link, context, bucket };
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
      const [sequence, expiresMs = Infinity] = expected.split('.').map(Number);
      return expiresMs > Date.now() ? this.#put(subject, sequence ?? 0, entry) : undefined;
    }
    const first = await this.#put(subject, 0, entry);
    if (first !== undefined) return first;
    // It may be a marker that something was here, or an entry whose time is over.
    const last = await this.#last(subject);
    return last !== undefined && isOver(last) ? this.#put(subject, last.sequence, entry) : undefined;
  }

  async signal(instanceId: string, message: Message): Promise<boolean> {
    const { link, context } = this.#started;
    return link.request(this.#mailbox(context, instanceId), message, undefined, SIGNAL_MS).then(() => true, (error: unknown) => !isNobody(error));
  }

  generation(): string {
    return `${this.#running?.bucket.created ?? ''}/${this.#epoch}`;
  }

  async sweep(limit: number): Promise<number> {
    if (this.#started.bucket.expires) return 0;
    if (this.#unswept.length === 0) this.#unswept = await this.#subjects();
    let swept = 0;
    for (const subject of this.#unswept.splice(0, MAX_SWEPT_LOOKS)) {
      const last = swept < limit ? await this.#last(subject) : undefined;
      if (last === undefined || last.expiresMs > Date.now()) continue;
      // By its sequence: what was put there meanwhile has another one.
      await this.#ask(`STREAM.MSG.DELETE.${streamOf(this.options.bucket)}`, { seq: last.sequence, no_erase: true });
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
    const { context } = this.#started.context;
    const { state } = await this.#ask(`STREAM.INFO.${streamOf(this.options.bucket)}`, { subjects_filter: `$KV.${this.options.bucket}.${context}.>` });
    return Object.keys(state?.subjects ?? {});
  }

  async #put(subject: string, sequence: number, { value, lifetimeMs }: Entry): Promise<string | undefined> {
    const { link, bucket } = this.#started;
    const expiresMs = bucket.expires ? Infinity : Date.now() + lifetimeMs;
    const head = headers();
    head.set('Nats-Expected-Last-Subject-Sequence', String(sequence));
    if (bucket.expires) head.set('Nats-TTL', `${Math.max(SHORTEST_TTL_MS, Math.ceil(lifetimeMs))}ms`);
    else head.set(EXPIRES, String(Math.ceil(expiresMs)));
    const { error, seq } = (await link.request(subject, value, head)).json<Answer>();
    if (seq !== undefined && error === undefined) return revisionOf({ sequence: seq, expiresMs: Math.ceil(expiresMs) });
    if (CONFLICTS.includes(error?.err_code)) return undefined;
    // A bucket that is full is found out before anything is stored.
    if (error?.err_code === STORE_FAILED && error.description?.startsWith('maximum') !== true) throw new Error(`NATS could not store it: ${error.description ?? ''}`);
    throw refusal(error);
  }

  async #last(subject: string): Promise<Last | undefined> {
    const { error, message } = await this.#ask(`STREAM.MSG.GET.${streamOf(this.options.bucket)}`, { last_by_subj: subject }, NO_MESSAGE);
    if (error !== undefined || message === undefined) return undefined;
    const head = message.hdrs === undefined ? '' : Buffer.from(message.hdrs, 'base64').toString();
    const expires = new RegExp(`^${EXPIRES}: (\\d+)`, 'm').exec(head)?.[1];
    return { value: Buffer.from(message.data ?? '', 'base64').toString(), sequence: message.seq, expiresMs: Number(expires ?? Infinity) };
  }

  /** Asks the leader of the stream. */
  async #ask(what: string, question: object, accepted?: number): Promise<Answer> {
    const answer = (await this.#started.link.request(`$JS.API.${what}`, JSON.stringify(question))).json<Answer>();
    if (answer.error !== undefined && answer.error.err_code !== accepted) throw refusal(answer.error);
    return answer;
  }

  #changed(up: boolean): void {
    const running = this.#running;
    if (running === undefined) return;
    this.#epoch += 1;
    running.context.listening(up);
    // A server that keeps its streams in memory comes back without them.
    if (up) void openBucket(running.link, this.options).then((bucket) => { running.bucket = bucket; }, () => undefined);
  }

  /** The context is one token, the rest another: a key may have dots where a subject must not. */
  #subject(key: string): string {
    const [context = '', ...rest] = key.split('.');
    return `$KV.${this.options.bucket}.${context}.${rest.join('/')}`;
  }

  #mailbox({ context }: DriverContext, instanceId: string): string {
    return `cluster.${this.options.bucket}.${context}.${instanceId}`;
  }

  get #started(): Running {
    if (this.#running === undefined) throw new ClusterError('CLUSTER_STOPPED', 'the NATS store is not running');
    return this.#running;
  }
}

/** What has no content says that there was something: it expired, or was deleted by hand. */
const isOver = ({ value, expiresMs }: Last): boolean => value === '' || expiresMs <= Date.now();

const revisionOf = ({ sequence, expiresMs }: Omit<Last, 'value'>): string => (expiresMs === Infinity ? `${sequence}` : `${sequence}.${expiresMs}`);

const refusal = (error: ApiError | undefined): ClusterError =>
  new ClusterError('CLUSTER_UNAVAILABLE', `NATS refused: ${error?.description ?? 'without a reason'}; nothing was changed`);

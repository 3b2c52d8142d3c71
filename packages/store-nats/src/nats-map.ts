import { headers } from 'nats';
import { ClusterError } from '@cluster/core';
import type { DriverContext, Entry, Found, Message, SessionMap } from '@cluster/core/driver';
import { EXPECTED, openBucket, streamOf, type BucketSettings } from './bucket.js';
import { isConflict, messageOf, reasonOf, Unanswered } from './failures.js';
import { Link, type Source } from './link.js';

export interface NatsMapOptions extends BucketSettings { readonly source: Source }

interface Running {
  readonly context: DriverContext;
  readonly link: Link;
  /** How long an answer to a signal is waited for. */
  readonly signalMs: number;
  /** The server lets each key expire by itself. */
  expires: boolean;
  /** Why the bucket cannot be used since the last reconnection; puts fail by it until it can. */
  refused?: Error | undefined;
}

/** The last message of a key; `expiresMs` is finite only if an instance and no server lets it expire. */
interface Last { readonly value: string; readonly sequence: number; readonly expiresMs: number; readonly putMs: number }

/** Its content and its headers in base64. */
interface Stored { readonly message: { readonly data?: string; readonly hdrs?: string; readonly seq: number; readonly time: string } }

/** That nobody is there is told within a round trip; one who is there and does not answer is waited for in vain. */
const SIGNAL_MS = { least: 25, most: 150 } as const;
const OWN_SIGNAL_MS = 2_000;
/** Servers count in whole seconds, and cut off the rest. */
const ttlOf = (lifetimeMs: number): string => `${Math.max(1, Math.ceil(lifetimeMs / 1_000))}s`;
const EXPIRES = 'Cluster-Expires';
const NO_MESSAGE = 10037;
const EXPIRES_IN = new RegExp(`^${EXPIRES}: (\\d+)`, 'm');
const MAX_SWEPT_LOOKS = 10_000;
/** Servers choose no other leader within 4 s after they have heard of the present one. */
const LED_MS = 3_000;
/** There is no such message any more. The last one may also mean that the disk failed; the next sweep tries again. */
const GONE: readonly unknown[] = [NO_MESSAGE, 10043, 10057];

interface Listed { readonly total?: number; readonly state: { readonly subjects?: object } }

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
  #opening = false;
  /** When the last put was sent that was taken. */
  #takenMs = -Infinity;
  #confirming: Promise<void> | undefined;
  #unswept: string[] = [];

  constructor(private readonly options: NatsMapOptions) {
    this.#stream = streamOf(options.bucket);
    // JetStream syncs its files every two minutes unless told otherwise, which no client can see.
    this.capabilities = { rollback: true, gone: 'disconnected', durability: options.storage === 'file' ? 'crash' : 'process' } as const;
  }

  async start(context: DriverContext): Promise<void> {
    if (this.#running !== undefined) throw new ClusterError('CLUSTER_BAD_OPTION', 'this store has been started');
    const link = await Link.open(this.options.source, this.options.replicas > 1, (up) => { this.#changed(up); });
    try {
      // Before anything is asked, of which the answers could not come.
      await link.settled();
      checkSize(context, link.connection.info?.max_payload);
      const expires = await openBucket(link, this.options);
      link.subscribe(this.#mailbox(context, context.instanceId), (message) => {
        message.respond('{}');
        if (message.data.length > 0) context.receive(textOf(message.data));
      });
      // Another leader, or another stream of that name: what it has may be older.
      link.subscribe(`$JS.EVENT.ADVISORY.STREAM.*.${this.#stream}`, () => { this.#epoch += 1; });
      const signalMs = Math.min(SIGNAL_MS.most, SIGNAL_MS.least + 2 * await link.settled());
      const running = { link, context, signalMs, expires };
      await this.#tryRights(running);
      this.#running = running;
      context.listening(true);
    } catch (error) {
      await link.close();
      throw error;
    }
  }

  /** Does what is done from the first session on, so that a missing right is known by now. */
  async #tryRights(running: Running): Promise<void> {
    await this.#last(this.#subject('probe.probe'), running);
    if (!running.expires) await this.#delete(Number.MAX_SAFE_INTEGER, running);
    await running.link.ask(this.#mailbox(running.context, running.context.instanceId), '', { withinMs: OWN_SIGNAL_MS });
  }

  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    await running?.link.close();
  }

  async get(key: string): Promise<Found | undefined> {
    const subject = this.#subject(key);
    // Who waits for a lease to be over would else count from its own first look. Leaders have a clock each.
    if (subject.includes('.l/') && this.options.replicas === 1) return this.#dated(subject);
    return foundOf(await this.#last(subject));
  }

  /**
   * With its age, where the server says what time it is (since 2.11). What was before this connection does not count: while a server is
   * away nobody can beat.
   */
  async #dated(subject: string): Promise<Found | undefined> {
    const { link } = this.#started;
    const [last, { ts }] = await Promise.all([this.#last(subject), link.ask<{ readonly ts?: string }>(`$JS.API.STREAM.INFO.${this.#stream}`)]);
    const found = foundOf(last);
    if (found === undefined || last === undefined || ts === undefined) return found;
    return { ...found, ageMs: Math.max(0, Math.min(Date.parse(ts) - last.putMs, link.upMs)) };
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
    const { link, context, signalMs: withinMs } = this.#started;
    return link.ask(this.#mailbox(context, instanceId), message, { withinMs }).then(() => true, (error: unknown) => reasonOf(error) !== 'nobody');
  }

  generation(): string {
    return String(this.#epoch);
  }

  async sweep(limit: number): Promise<number> {
    const running = this.#started;
    if (running.expires) return 0;
    if (this.#unswept.length === 0) this.#unswept = await this.#subjects();
    let swept = 0;
    for (const subject of this.#unswept.splice(0, MAX_SWEPT_LOOKS)) {
      const last = swept < limit ? await this.#last(subject) : undefined;
      if (last === undefined || last.expiresMs > Date.now()) continue;
      // By its sequence: what was put there meanwhile has another one.
      if (await this.#delete(last.sequence, running)) swept += 1;
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
    const { link, context: { context } } = this.#started;
    const found: string[] = [];
    for (;;) {
      const request = JSON.stringify({ subjects_filter: `$KV.${this.options.bucket}.${context}.>`, offset: found.length });
      const { total = 0, state: { subjects = {} } } = await link.ask<Listed>(`$JS.API.STREAM.INFO.${this.#stream}`, request);
      const page = Object.keys(subjects);
      for (const subject of page) found.push(subject);
      if (page.length === 0 || found.length >= total) return found;
    }
  }

  async #put(subject: string, lastSubjectSequence: number, { value, lifetimeMs }: Entry): Promise<string | undefined> {
    const running = this.#started;
    if (running.refused !== undefined) {
      this.#openAgain(running);
      throw running.refused;
    }
    const { link, expires } = running;
    const expiresMs = expires ? Infinity : Math.ceil(Date.now() + lifetimeMs);
    const head = headers();
    head.set(EXPECTED, String(lastSubjectSequence));
    if (expires) head.set('Nats-TTL', ttlOf(lifetimeMs));
    else head.set(EXPIRES, String(expiresMs));
    const sentMs = performance.now();
    try {
      const { seq: sequence } = await link.ask<{ readonly seq: number }>(subject, value, { headers: head });
      this.#taken(sentMs);
      // An older state of the stream, or another stream, of which nobody told.
      if (sequence <= this.#lastSequence) this.#epoch += 1;
      this.#lastSequence = sequence;
      return revisionOf({ sequence, expiresMs });
    } catch (error) {
      if (!isConflict(error)) throw error;
      return error.copies === 1 ? undefined : this.#foundOut(subject, lastSubjectSequence, value);
    }
  }

  /** What became of a put of which several copies were sent, and one was refused since another one had been taken, or a stranger's put. */
  async #foundOut(subject: string, before: number, value: string): Promise<string> {
    const last = await this.#last(subject);
    if (last?.value === value && last.sequence > before) return revisionOf(last);
    throw new Unanswered('NATS: it was asked more than once, and another change is there by now');
  }

  /**
   * As the leader of the stream has it. One that is cut off goes on answering look-ups while another one leads, so with replicas a look-up
   * counts that is made soon after a put was answered, for which a majority is needed: the read by lease of Raft (Ongaro's thesis, 6.4.1).
   */
  async #last(subject: string, running: Running = this.#started): Promise<Last | undefined> {
    if (this.options.replicas === 1) return this.#look(subject, running);
    for (;;) {
      if (!this.#isLed(running)) await this.#confirm(running);
      const last = await this.#look(subject, running);
      if (this.#isLed(running)) return last;
    }
  }

  /** Before this connection stood it may have been to another server. */
  #isLed({ link }: Running): boolean { return performance.now() - this.#takenMs < Math.min(LED_MS, link.upMs); }

  /** Puts what is of no use but that it is taken. */
  #confirm(running: Running): Promise<void> {
    const sentMs = performance.now();
    return this.#confirming ??= running.link.ask(`$KV.${this.options.bucket}.probe.led`).then(() => { this.#taken(sentMs); })
      .finally(() => { this.#confirming = undefined; });
  }

  #taken(sentMs: number): void { this.#takenMs = Math.max(this.#takenMs, sentMs); }

  async #look(subject: string, { link }: Running): Promise<Last | undefined> {
    try {
      const request = JSON.stringify({ last_by_subj: subject });
      const { message: { data, seq: sequence, hdrs, time } } = await link.ask<Stored>(`$JS.API.STREAM.MSG.GET.${this.#stream}`, request);
      return { value: decoded(data), sequence, expiresMs: Number(EXPIRES_IN.exec(decoded(hdrs))?.[1] ?? Infinity), putMs: Date.parse(time) };
    } catch (error) {
      if (reasonOf(error) === NO_MESSAGE) return undefined;
      throw error;
    }
  }

  /** Resolves to false if there is no such message any more: another instance sweeps as well, and was there first. */
  async #delete(sequence: number, { link }: Running): Promise<boolean> {
    return link.ask(`$JS.API.STREAM.MSG.DELETE.${this.#stream}`, JSON.stringify({ seq: sequence })).then(() => true, (error: unknown) => {
      if (!GONE.includes(reasonOf(error))) throw error;
      return false;
    });
  }

  #changed(up: boolean): void {
    const running = this.#running;
    if (running === undefined) return;
    this.#epoch += 1;
    running.context.listening(up);
    // A server that keeps its streams in memory comes back without them.
    if (up) this.#openAgain(running);
  }

  #openAgain(running: Running): void {
    if (this.#opening) return;
    this.#opening = true;
    void openBucket(running.link, this.options).then((expires) => {
      running.expires = expires;
      running.refused = undefined;
    }, (error: unknown) => { running.refused = error instanceof Error ? error : new Error(messageOf(error)); }).finally(() => { this.#opening = false; });
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

function checkSize({ maxRecordBytes = 0 }: DriverContext, maxPayload = Infinity): void {
  if (maxRecordBytes <= maxPayload) return;
  throw new ClusterError('CLUSTER_UNAVAILABLE', `NATS: expected a server whose max_payload is at least maxRecordBytes (${maxRecordBytes}), found ${maxPayload}. `
    + 'Raise max_payload on all servers, or give the manager a lower maxRecordBytes');
}

/** The client's own decoding drops a byte order mark. */
const textOf = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();

const decoded = (base64 = ''): string => Buffer.from(base64, 'base64').toString();

/** What has no content says that there was something: it expired, or was deleted by hand. */
const isOver = ({ value, expiresMs }: Last): boolean => value === '' || expiresMs <= Date.now();

const foundOf = (last: Last | undefined): Found | undefined => (last === undefined || isOver(last) ? undefined : { value: last.value, revision: revisionOf(last) });

const revisionOf = ({ sequence, expiresMs }: Pick<Last, 'sequence' | 'expiresMs'>): string => `${sequence}/${expiresMs}`;

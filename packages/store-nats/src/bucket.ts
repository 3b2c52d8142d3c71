import { MsgHdrsImpl, type StreamConfig } from 'nats';
import type { Entry } from '@cluster/core/driver';
import { Doubted, isConflict, messageOf, reasonOf, Unanswered, unavailable } from './failures.js';
import type { Link } from './link.js';
import { checkServer, checkStream, streamOf, toMake, type BucketSettings } from './stream.js';

/** An entry's place in the stream; `expiresMs` is finite only if an instance and no server lets it expire. */
export interface Place { readonly sequence: number; readonly expiresMs: number }

/** The last message of a key. */
export interface Last extends Place { readonly value: string; readonly putMs: number; readonly ageMs?: number }

/** Its content and its headers in base64. */
interface Stored { readonly message: { readonly data?: string; readonly hdrs?: string; readonly seq: number; readonly time: string } }

/** What JetStream says of a stream; the time since 2.11. */
interface Found {
  readonly config: StreamConfig & { readonly allow_msg_ttl?: boolean };
  readonly state: { readonly subjects?: object };
  readonly ts?: string;
}

const EXPECTED = 'Nats-Expected-Last-Subject-Sequence';
const EXPIRES = 'Cluster-Expires';
const EXPIRES_IN = new RegExp(`^${EXPIRES}: (\\d+)`, 'm');
const NO_STREAM = 10059;
const NO_MESSAGE = 10037;
/** There is no such message any more. The last one may also mean that the disk failed; the next sweep tries again. */
const GONE: readonly unknown[] = [NO_MESSAGE, 10043, 10057];
const TAKEN_WITHIN_MS = 1_000;
/**
 * Servers choose no other leader within 4 s after they have heard of the present one; sooner only if one that did not hear it before comes
 * back to a server that has just lost it.
 */
const LED_MS = 3_000;
const MOST_LOOKS = 4;

/** Servers count in whole seconds, and cut off the rest. */
const ttlOf = (lifetimeMs: number): string => `${Math.max(1, Math.ceil(lifetimeMs / 1_000))}s`;

const decoded = (base64 = ''): string => Buffer.from(base64, 'base64').toString();

/** A key-value bucket, by the requests that JetStream has for the stream behind it. */
export class Bucket {
  /** The server lets each key expire by itself (since 2.11). */
  expires = false;
  /** Why it cannot be used since the last reconnection. */
  #unfit: Error | undefined;
  #isOpening = false;
  /** When the last put was sent that was taken. */
  #takenMs = -Infinity;
  #confirming: Promise<void> | undefined;

  constructor(private readonly link: Link, private readonly settings: BucketSettings, private readonly maxRecordBytes = 0) {}

  /**
   * Finds the bucket or makes it. Resolves when puts from here reach its leader, in a new cluster a while after that is elected.
   * @throws ClusterError CLUSTER_UNAVAILABLE if there is one that differs from what was asked for, or the server cannot keep it
   */
  async open(): Promise<void> {
    const { link: { connection }, settings } = this;
    if (connection.info !== undefined) checkServer(connection.info, settings, this.maxRecordBytes);
    const { config } = await this.#ask<Found>('STREAM.INFO').catch((error: unknown) => {
      if (reasonOf(error) !== NO_STREAM) throw error;
      return this.#ask<Found>('STREAM.CREATE', toMake(settings));
    }).catch((error: unknown) => {
      const isOff = reasonOf(error) === 'nobody' && connection.info?.jetstream !== true;
      const why = isOff ? `expected a server with JetStream, found ${connection.getServer()} without; add 'jetstream {}' to its configuration`
        : messageOf(error);
      throw unavailable(`NATS: the bucket '${settings.bucket}' cannot be used: ${why}`, error);
    });
    checkStream(config, settings);
    this.expires = config.allow_msg_ttl === true;
    // A former leader that is cut off says at once what it had, and takes nothing.
    const leaving = setInterval(() => { this.link.leave(); }, TAKEN_WITHIN_MS).unref();
    // Where one server leads by itself it must refuse this, and nothing is changed.
    const probed = settings.replicas > 1 ? this.#confirm() : this.#publish('probe.probe', Number.MAX_SAFE_INTEGER, { value: '', lifetimeMs: 0 });
    await probed.finally(() => { clearInterval(leaving); });
  }

  /** A server that keeps its streams in memory comes back without them. If the bucket is found unfit, puts fail until it is mended. */
  reconnected(): void {
    this.#unfit = undefined;
    void this.#openAgain();
  }

  /** One publish; resolves to undefined if the key's last message is not the expected one. */
  put(key: string, expected: number, entry: Entry): Promise<Place | undefined> {
    if (this.#unfit === undefined) return this.#publish(key, expected, entry);
    void this.#openAgain();
    return Promise.reject(this.#unfit);
  }

  /**
   * As the leader of the stream has it. One that is cut off goes on answering look-ups while another one leads, so with replicas a look-up
   * counts that is made soon after a put was answered, for which a majority is needed: the read by lease of Raft (Ongaro's thesis, 6.4.1).
   * @throws Unanswered also if puts and look-ups take so long that none counts
   */
  async last(key: string): Promise<Last | undefined> {
    for (let looks = 0; looks < MOST_LOOKS; looks += 1) {
      if (!this.#isLed(this.#takenMs)) await this.#confirm();
      // A put that is taken after the look-up says nothing of it.
      const takenMs = this.#takenMs;
      const last = this.#isLed(takenMs) ? await this.#look(key) : undefined;
      if (this.#isLed(takenMs)) return last;
    }
    throw new Unanswered(`NATS: what is put and looked up takes longer than ${LED_MS} ms`);
  }

  /**
   * With its age, where one server leads that says what time it is: others have a clock each. What was before this connection does not
   * count: while a server is away nobody can beat.
   */
  async lastDated(key: string): Promise<Last | undefined> {
    if (this.settings.replicas > 1) return this.last(key);
    const [last, { ts }] = await Promise.all([this.last(key), this.#ask<Found>('STREAM.INFO')]);
    if (last === undefined || ts === undefined) return last;
    return { ...last, ageMs: Math.max(0, Math.min(Date.parse(ts) - last.putMs, this.link.upMs)) };
  }

  /** Resolves to false if there is no such message any more: another instance sweeps as well, and was there first. */
  async delete(sequence: number): Promise<boolean> {
    return this.#ask('STREAM.MSG.DELETE', { seq: sequence }).then(() => true, (error: unknown) => {
      if (!GONE.includes(reasonOf(error))) throw error;
      return false;
    });
  }

  /** All keys that begin with `<context>.`, also of entries that are over. */
  async keys(context: string): Promise<string[]> {
    const keys: string[] = [];
    for (;;) {
      const request = { subjects_filter: this.#subject(`${context}.>`), offset: keys.length };
      const page = Object.keys((await this.#ask<Found>('STREAM.INFO', request)).state.subjects ?? {});
      if (page.length === 0) return keys;
      for (const subject of page) keys.push(subject.slice(this.#subject('').length).replaceAll('/', '.'));
    }
  }

  async #openAgain(): Promise<void> {
    if (this.#isOpening) return;
    this.#isOpening = true;
    this.#unfit = await this.open().then(() => undefined, (error: unknown) => (error instanceof Error ? error : new Error(messageOf(error))));
    this.#isOpening = false;
  }

  async #publish(key: string, expected: number, { value, lifetimeMs }: Entry): Promise<Place | undefined> {
    const expiresMs = this.expires ? Infinity : Math.ceil(Date.now() + lifetimeMs);
    const until = this.expires ? { 'Nats-TTL': [ttlOf(lifetimeMs)] } : { [EXPIRES]: [String(expiresMs)] };
    const headers = MsgHdrsImpl.fromRecord({ [EXPECTED]: [String(expected)], ...until });
    const sentMs = performance.now();
    try {
      const { seq: sequence } = await this.link.ask<{ readonly seq: number }>(this.#subject(key), value, { headers });
      this.#taken(sentMs);
      return { sequence, expiresMs };
    } catch (error) {
      if (isConflict(error)) return undefined;
      const last = error instanceof Doubted ? await this.last(key) : undefined;
      if (last?.value === value && last.sequence > expected) return last;
      throw error;
    }
  }

  async #look(key: string): Promise<Last | undefined> {
    try {
      const { message: { data, seq, hdrs, time } } = await this.#ask<Stored>('STREAM.MSG.GET', { last_by_subj: this.#subject(key) });
      const expiresMs = Number(EXPIRES_IN.exec(decoded(hdrs))?.[1] ?? Infinity);
      return { value: decoded(data), sequence: seq, expiresMs, putMs: Date.parse(time) };
    } catch (error) {
      if (reasonOf(error) === NO_MESSAGE) return undefined;
      throw error;
    }
  }

  /** Before this connection stood it may have been to another server. */
  #isLed(takenMs: number): boolean { return this.settings.replicas === 1 || performance.now() - takenMs < Math.min(LED_MS, this.link.upMs); }

  /** Puts what is of no use but that it is taken. */
  #confirm(): Promise<void> {
    const sentMs = performance.now();
    return this.#confirming ??= this.link.ask(this.#subject('probe.led')).then(() => { this.#taken(sentMs); })
      .finally(() => { this.#confirming = undefined; });
  }

  #taken(sentMs: number): void { this.#takenMs = Math.max(this.#takenMs, sentMs); }

  #ask<T>(what: string, request?: object): Promise<T> {
    return this.link.ask<T>(`$JS.API.${what}.${streamOf(this.settings.bucket)}`, request && JSON.stringify(request));
  }

  /** The context is one token, the rest another: a key may have dots where a subject must not. */
  #subject(key: string): string {
    return `$KV.${this.settings.bucket}.${key.replaceAll('.', '/').replace('/', '.')}`;
  }
}

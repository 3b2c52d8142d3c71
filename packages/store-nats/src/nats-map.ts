import { ClusterError } from '@cluster/core';
import type { DriverContext, Entry, Found, Message, SessionMap } from '@cluster/core/driver';
import { Bucket, type Last, type Place } from './bucket.js';
import { reasonOf } from './failures.js';
import { Link, type Source } from './link.js';
import { streamOf, type BucketSettings } from './stream.js';

export interface NatsMapOptions extends BucketSettings { readonly source: Source }

interface Running {
  readonly context: DriverContext;
  readonly link: Link;
  readonly bucket: Bucket;
  /** How long an answer to a signal is waited for. */
  readonly signalMs: number;
}

/** That nobody is there is told within a round trip; one who is there and does not answer is waited for in vain. */
const SIGNAL_MS = { least: 25, most: 150 } as const;
const OWN_SIGNAL_MS = 2_000;
const MAX_SWEPT_LOOKS = 10_000;

/**
 * A map over a key-value bucket of JetStream: a put is one publish, refused unless the key's last sequence is the expected one.
 * Keys expire by the server's clock where it can do that, else by a header, the instances' wall clocks and the sweeper.
 */
export class NatsMap implements SessionMap {
  readonly capabilities;
  #running: Running | undefined;
  #epoch = 0;
  /** Of the last put from here. */
  #lastSequence = 0;
  #unswept: string[] = [];

  constructor(private readonly options: NatsMapOptions) {
    // JetStream syncs its files every two minutes unless told otherwise, which no client can see.
    this.capabilities = { rollback: true, gone: 'disconnected', durability: options.storage === 'file' ? 'crash' : 'process' } as const;
  }

  async start(context: DriverContext): Promise<void> {
    if (this.#running !== undefined) throw new ClusterError('CLUSTER_BAD_OPTION', 'this store has been started');
    const link = await Link.open(this.options.source, this.options.replicas > 1, (up) => { this.#changed(up); });
    try {
      const bucket = new Bucket(link, this.options, context.maxRecordBytes);
      link.subscribe(this.#mailbox(context, context.instanceId), (message) => {
        message.respond('{}');
        // The client's own decoding drops a byte order mark.
        if (this.#running !== undefined) context.receive(Buffer.from(message.data).toString());
      });
      // Another leader, or another stream of that name: what it has may be older.
      link.subscribe(`$JS.EVENT.ADVISORY.STREAM.*.${streamOf(this.options.bucket)}`, () => { this.#epoch += 1; });
      // Before anything is asked, of which the answers could not come.
      await link.settled();
      await bucket.open();
      // What is done from the first session on, so that a missing right is known by now.
      await bucket.last('probe.probe');
      if (!bucket.expires) await bucket.delete(Number.MAX_SAFE_INTEGER);
      await link.ask(this.#mailbox(context, context.instanceId), '', { withinMs: OWN_SIGNAL_MS });
      const signalMs = Math.min(SIGNAL_MS.most, SIGNAL_MS.least + 2 * await link.connection.rtt());
      this.#running = { link, bucket, context, signalMs };
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
    const { bucket } = this.#started;
    // Who waits for a lease to be over would else count from its own first look.
    const last = key.split('.')[1] === 'l' ? await bucket.lastDated(key) : await bucket.last(key);
    if (last === undefined || isOver(last)) return undefined;
    const { value, ageMs } = last;
    return { value, revision: revisionOf(last), ...(ageMs === undefined ? {} : { ageMs }) };
  }

  async compareAndSet(key: string, expected: string | undefined, entry: Entry): Promise<string | undefined> {
    const [sequence = NaN, expiresMs = NaN] = expected === undefined ? [0, Infinity] : expected.split('/').map(Number);
    const put = expiresMs > Date.now() ? await this.#put(key, sequence, entry) : undefined;
    if (put !== undefined || expected !== undefined) return put;
    // It may be a marker that something was here, or an entry whose time is over.
    const last = await this.#started.bucket.last(key);
    return last !== undefined && isOver(last) ? this.#put(key, last.sequence, entry) : undefined;
  }

  async signal(instanceId: string, message: Message): Promise<boolean> {
    const { link, context, signalMs: withinMs } = this.#started;
    return link.ask(this.#mailbox(context, instanceId), message, { withinMs }).then(() => true, (error: unknown) => reasonOf(error) !== 'nobody');
  }

  generation(): string {
    return String(this.#epoch);
  }

  async sweep(limit: number): Promise<number> {
    const { bucket, context: { context } } = this.#started;
    if (bucket.expires) return 0;
    if (this.#unswept.length === 0) this.#unswept = await bucket.keys(context);
    let swept = 0;
    for (let looks = 0; looks < MAX_SWEPT_LOOKS && swept < limit; looks += 1) {
      const key = this.#unswept.pop();
      if (key === undefined) break;
      const last = await bucket.last(key);
      // By its sequence: what was put there meanwhile has another one.
      if (last !== undefined && last.expiresMs <= Date.now() && await bucket.delete(last.sequence)) swept += 1;
    }
    return swept;
  }

  /** Also of what is over and not yet cleared away. */
  async *keys(): AsyncGenerator<string> {
    const { bucket, context: { context } } = this.#started;
    yield* await bucket.keys(context);
  }

  async #put(key: string, expected: number, entry: Entry): Promise<string | undefined> {
    const place = await this.#started.bucket.put(key, expected, entry);
    if (place === undefined) return undefined;
    // An older state of the stream, or another stream, of which nobody told.
    if (place.sequence <= this.#lastSequence) this.#epoch += 1;
    this.#lastSequence = place.sequence;
    return revisionOf(place);
  }

  #changed(up: boolean): void {
    if (this.#running === undefined) return;
    const { bucket, context } = this.#running;
    this.#epoch += 1;
    context.listening(up);
    if (up) bucket.reconnected();
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

const revisionOf = ({ sequence, expiresMs }: Place): string => `${sequence}/${expiresMs}`;

import type { Socket } from 'node:net';
import {
  connect, createInbox, ErrorCode, Events, NatsError,
  type ApiError, type ConnectionOptions, type Msg, type NatsConnection, type PublishOptions, type Subscription,
} from 'nats';
import { ClusterError } from '@cluster/core';

/** Where to connect to, or the application's own connection, which is used and never closed. */
export type Source = { readonly client: NatsConnection } | { readonly connect: ConnectionOptions };

/** A server that is back is found at once; one from which nothing comes is left after three pings. */
const settings = {
  reconnect: true, maxReconnectAttempts: -1, reconnectTimeWait: 50, reconnectJitter: 20, pingInterval: 500, maxPingOut: 2,
  // Only this ends an attempt to connect that was cut off while the server greeted.
  timeout: 1_000,
  ignoreAuthErrorAbort: true, noAsyncTraces: true,
} as const satisfies ConnectionOptions;

/** What the client keeps inside and does not declare; where a later version keeps it elsewhere, nothing is found. */
interface Inside {
  readonly protocol?: { readonly transport?: { readonly socket?: Socket } };
  readonly options?: { readonly inboxPrefix?: string };
}

interface Waiting {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly round: number;
}

/** Over one or two of them every caller has given up. */
const ROUND_MS = 30_000;

/**
 * A connection whose calls fail as soon as it breaks. The client alone would keep back what is asked meanwhile, send it later,
 * and leave what is unanswered to its time-out.
 */
export class Link {
  readonly #waiting = new Map<string, Waiting>();
  readonly #subscriptions: Subscription[] = [];
  readonly #inbox: string;
  readonly #rounds = setInterval(() => { this.#nextRound(); }, ROUND_MS).unref();
  #round = 0;
  #tokens = 0;
  #unsent: (() => void)[] = [];
  #transport: { readonly socket?: Socket } | undefined;
  #isUp: boolean;
  #isClosed = false;

  /** @param changed called with false when the connection is lost; with true when it stands again, perhaps to another server */
  private constructor(readonly connection: NatsConnection, private readonly isOwn: boolean, private readonly changed: (up: boolean) => void) {
    this.#isUp = !connection.isClosed();
    this.#inbox = `${createInbox((connection as unknown as Inside).options?.inboxPrefix)}.`;
    this.subscribe(`${this.#inbox}*`, (message) => { this.#settle(message.subject.slice(this.#inbox.length), () => contentOf(message)); });
    void this.#watch();
  }

  static async open(source: Source, changed: (up: boolean) => void): Promise<Link> {
    if ('client' in source) return new Link(source.client, false, changed);
    try {
      return new Link(await connect({ ...settings, ...source.connect }), true, changed);
    } catch (error) {
      throw new ClusterError('CLUSTER_UNAVAILABLE', `NATS cannot be connected to: ${messageOf(error)}`, { cause: error });
    }
  }

  /** Rejects with a ClusterError if what the client is asked to do certainly changed nothing, else the outcome is unknown. */
  call<T>(work: () => Promise<T>): Promise<T> {
    return this.#wait((token) => { work().then((answer) => { this.#settle(token, () => answer); }, (error: unknown) => { this.#fail(token, error); }); });
  }

  /**
   * The same for a request that is answered in JSON, as JetStream does. The client's own requests make an error, a timer and several
   * promises each, and each is a write to the socket; these leave together, once per turn of the event loop.
   */
  ask<T>(subject: string, content: string, options: Pick<PublishOptions, 'headers'> = {}): Promise<T> {
    return this.#wait((token) => {
      if (this.#unsent.length === 0) setImmediate(() => { for (const send of this.#unsent.splice(0)) send(); });
      this.#unsent.push(() => {
        try {
          if (this.#waiting.has(token)) this.connection.publish(subject, content, { ...options, reply: this.#inbox + token });
        } catch (error) {
          this.#fail(token, error);
        }
      });
    });
  }

  /** Until the link is closed, also over reconnections. */
  subscribe(subject: string, receive: (message: Msg) => void): void {
    this.#subscriptions.push(this.connection.subscribe(subject, { callback: (error, message) => { if (error === null) receive(message); } }));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#rounds);
    this.#lose();
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    if (!this.isOwn) return;
    this.#tidy();
    await this.connection.close();
    this.#transport?.socket?.destroy();
  }

  #wait<T>(start: (token: string) => void): Promise<T> {
    if (!this.#isUp) return Promise.reject(new ClusterError('CLUSTER_UNAVAILABLE', 'there is no connection to NATS; nothing was changed'));
    return new Promise((resolve, reject) => {
      const token = String(this.#tokens += 1);
      // What answers to it is of the type that its caller names.
      this.#waiting.set(token, { resolve: resolve as Waiting['resolve'], reject, round: this.#round });
      start(token);
    });
  }

  #settle(token: string, answer: () => unknown): void {
    const waiting = this.#waiting.get(token);
    this.#waiting.delete(token);
    try {
      waiting?.resolve(answer());
    } catch (error) {
      waiting?.reject(failureOf(error));
    }
  }

  #fail(token: string, error: unknown): void {
    // Only to be caught by it.
    this.#settle(token, () => { throw error; });
  }

  #nextRound(): void {
    for (const [token, { round }] of this.#waiting) if (round < this.#round) this.#fail(token, new Error('no answer came'));
    this.#round += 1;
  }

  async #watch(): Promise<void> {
    for await (const { type } of this.connection.status()) {
      if (this.#isClosed) return;
      if (this.isOwn) this.#tidy();
      if (type === Events.Disconnect) this.#lose();
      if (type === Events.Reconnect) this.#isUp = true;
      if (type === Events.Disconnect || type === Events.Reconnect) this.changed(this.#isUp);
    }
    this.#lose();
    this.changed(false);
  }

  /** The client leaves the socket of an attempt to connect open when that times out, and it would keep the process alive. */
  #tidy(): void {
    const { transport } = (this.connection as unknown as Inside).protocol ?? {};
    if (transport === this.#transport) return;
    // Without its listeners, or the client would take its end for that of the connection which stands by then.
    this.#transport?.socket?.removeAllListeners().destroy();
    this.#transport = transport;
  }

  #lose(): void {
    this.#isUp = false;
    for (const token of this.#waiting.keys()) this.#fail(token, new Error('the connection was lost before an answer came'));
  }
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const causeOf = (error: unknown): NatsError | undefined => (error instanceof ClusterError && error.cause instanceof NatsError ? error.cause : undefined);

const NOBODY: string = ErrorCode.NoResponders;
const TOO_LARGE: string = ErrorCode.MaxPayloadExceeded;

/** Nobody listens to that subject. */
export const isNobody = (error: unknown): boolean => causeOf(error)?.code === NOBODY;

/** The number that JetStream has for why it refused; undefined if it did not. */
export const refusalOf = (error: unknown): number | undefined => causeOf(error)?.api_error?.err_code;

/** @throws NatsError if nobody is there, or JetStream refused */
function contentOf(message: Msg): unknown {
  if (message.data.length === 0 && message.headers?.code === Number(NOBODY)) throw NatsError.errorForCode(ErrorCode.NoResponders);
  const content = message.json<{ readonly error?: ApiError }>();
  if (content.error === undefined) return content;
  const refusal = new NatsError(content.error.description, ErrorCode.Unknown);
  refusal.api_error = content.error;
  throw refusal;
}

/** The store of the leader failed in the middle of it. */
const STORE_FAILED = 10077;

function failureOf(error: unknown): Error {
  if (!(error instanceof NatsError)) return new Error(`NATS: ${messageOf(error)}`, { cause: error });
  const { code, message, api_error: refusal } = error;
  // A bucket that is full is found out before anything is stored.
  if (refusal?.err_code === STORE_FAILED && !refusal.description.startsWith('maximum')) return new Error(`NATS could not store it: ${refusal.description}`, { cause: error });
  if (refusal !== undefined) return new ClusterError('CLUSTER_UNAVAILABLE', `NATS refused: ${refusal.description}; nothing was changed`, { cause: error });
  if (code === NOBODY) {
    return new ClusterError('CLUSTER_UNAVAILABLE', 'nobody answers for the sessions in NATS: their stream has no leader at the moment, or JetStream '
      + 'is off; nothing was changed', { cause: error });
  }
  if (code === TOO_LARGE) {
    return new ClusterError('CLUSTER_TOO_LARGE', "the record is larger than the server's max_payload; raise that, or lower maxRecordBytes", { cause: error });
  }
  return new Error(`NATS: ${message}`, { cause: error });
}

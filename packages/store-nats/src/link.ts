import { Socket } from 'node:net';
import { connect, NatsError, type ConnectionOptions, type Msg, type MsgHdrs, type NatsConnection, type Subscription } from 'nats';
import { ClusterError } from '@cluster/core';

/** Where to connect to, or the application's own connection, which is used and never closed. */
export type Source = { readonly client: NatsConnection } | { readonly connect: ConnectionOptions };

/** Over this time every caller has given up. */
const CALL_MS = 30_000;
/** The client does not see that an attempt was cut off while it was greeted: only this ends it. */
const CONNECT_MS = 1_000;

/** A server that is back is found at once; one from which nothing comes is left after three pings. */
const settings = {
  reconnect: true, maxReconnectAttempts: -1, reconnectTimeWait: 50, reconnectJitter: 20, pingInterval: 500, maxPingOut: 2, timeout: CONNECT_MS,
  ignoreAuthErrorAbort: true, noAsyncTraces: true,
} as const satisfies ConnectionOptions;

export interface LinkEvents {
  /** The connection was lost (false), or stands again, perhaps to another server or to one that was restarted. */
  readonly changed: (up: boolean) => void;
}

/**
 * A connection whose calls fail as soon as it breaks. The client alone would keep back what is asked meanwhile, send it later,
 * and leave what is unanswered to its time-out.
 */
export class Link {
  readonly #waiting = new Set<(error: Error) => void>();
  readonly #subscriptions: Subscription[] = [];
  readonly #attempts = new Attempts();
  #isUp: boolean;
  #isClosed = false;

  private constructor(private readonly connection: NatsConnection, private readonly isOwn: boolean, private readonly events: LinkEvents) {
    this.#isUp = !connection.isClosed();
    void this.#watch();
  }

  static async open(source: Source, events: LinkEvents): Promise<Link> {
    if ('client' in source) return new Link(source.client, false, events);
    try {
      return new Link(await connect({ ...settings, ...source.connect }), true, events);
    } catch (error) {
      throw new ClusterError('CLUSTER_UNAVAILABLE', `NATS cannot be connected to: ${messageOf(error)}`, { cause: error });
    }
  }

  /**
   * Rejects with a ClusterError if the request certainly reached nobody, else the outcome is unknown.
   * @param timeoutMs how long to wait for an answer
   */
  request(subject: string, payload: string, headers?: MsgHdrs, timeoutMs = CALL_MS): Promise<Msg> {
    if (!this.#isUp) return Promise.reject(new ClusterError('CLUSTER_UNAVAILABLE', 'there is no connection to NATS; nothing was changed'));
    return new Promise((resolve, reject) => {
      const fail = (error: Error) => {
        this.#waiting.delete(fail);
        reject(error);
      };
      this.#waiting.add(fail);
      this.connection.request(subject, payload, { timeout: timeoutMs, ...headers !== undefined && { headers } }).then((answer) => {
        this.#waiting.delete(fail);
        resolve(answer);
      }, (error: unknown) => { fail(failureOf(error)); });
    });
  }

  /** Until the link is closed, also over reconnections. */
  subscribe(subject: string, receive: (message: Msg) => void): void {
    this.#subscriptions.push(this.connection.subscribe(subject, { callback: (error, message) => { if (error === null) receive(message); } }));
  }

  /** Resolves when the server has seen every subscription. */
  async flush(): Promise<void> {
    await this.connection.flush();
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#lose();
    for (const subscription of this.#subscriptions) if (!subscription.isClosed()) subscription.unsubscribe();
    if (!this.isOwn) return;
    this.#attempts.see(this.connection);
    await this.connection.close();
    this.#attempts.end();
  }

  async #watch(): Promise<void> {
    for await (const status of this.connection.status()) {
      // Of one of the client's enumerations; only two of its values matter.
      const type: string = status.type;
      if (this.#isClosed) return;
      if (this.isOwn) this.#attempts.see(this.connection);
      if (type !== 'disconnect' && type !== 'reconnect') continue;
      if (type === 'reconnect') this.#isUp = true;
      else this.#lose();
      this.events.changed(this.#isUp);
    }
    if (this.#isClosed) return;
    this.#lose();
    this.events.changed(false);
  }

  #lose(): void {
    this.#isUp = false;
    for (const fail of this.#waiting) fail(new Error('the connection to NATS was lost before an answer came'));
  }
}

/**
 * The client leaves the socket of an attempt to connect that timed out open, and it would keep the process alive. Each attempt has
 * a transport of its own, which nothing but the client's inside names; where there is none this does nothing.
 */
class Attempts {
  readonly #transports = new Set<object>();

  see(connection: NatsConnection): void {
    const present = within(within(connection, 'protocol'), 'transport');
    for (const transport of this.#transports) if (transport !== present) this.#destroy(transport);
    if (present !== undefined) this.#transports.add(present);
  }

  end(): void {
    for (const transport of this.#transports) this.#destroy(transport);
  }

  #destroy(transport: object): void {
    const socket = within(transport, 'socket');
    if (!(socket instanceof Socket)) return;
    socket.destroy();
    this.#transports.delete(transport);
  }
}

function within(object: object | undefined, name: string): object | undefined {
  const value: unknown = object === undefined ? undefined : Reflect.get(object, name);
  return typeof value === 'object' && value !== null ? value : undefined;
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Nobody listens to that subject: while its stream has no leader, or where JetStream is off. */
export const isNobody = (error: unknown): boolean => error instanceof ClusterError && error.cause instanceof NatsError && error.cause.code === '503';

function failureOf(error: unknown): Error {
  const code = error instanceof NatsError ? error.code : undefined;
  if (code === '503') {
    return new ClusterError('CLUSTER_UNAVAILABLE', 'nobody answers for the sessions in NATS: their stream has no leader at the moment, or JetStream '
      + 'is off; nothing was changed', { cause: error });
  }
  if (code === 'MAX_PAYLOAD_EXCEEDED') {
    return new ClusterError('CLUSTER_TOO_LARGE', "the record is larger than the server's max_payload; raise that, or lower maxRecordBytes", { cause: error });
  }
  return new Error(`NATS: ${messageOf(error)}`, { cause: error });
}

import type { Socket } from 'node:net';
import {
  connect, createInbox, Events, type ConnectionOptions, type Msg, type NatsConnection, type QueuedIterator, type Status, type Subscription,
} from 'nats';
import { denied, messageOf, Refusal, unavailable } from './failures.js';
import { Requests, type How } from './requests.js';

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
  readonly protocol?: { readonly transport?: { readonly socket?: Socket }; readonly connectPromise?: Promise<void> | null };
  readonly options?: { readonly inboxPrefix?: string };
}

const ROUND_MS = 500;
/**
 * So long without an answer, and another server of the cluster may hear more than this one. Shorter than any choice of a leader: one that
 * is cut off takes no puts, and goes on answering look-ups while another one leads.
 */
const LEAVE_ROUNDS = 6;
/** How long another server of the cluster is looked for before calls fail. */
const MOVE_MS = 1_000;

/**
 * A connection whose calls fail as soon as it is lost. The client alone would keep back what is asked meanwhile, send it later,
 * and leave what is unanswered to its time-out.
 */
export class Link {
  readonly #requests: Requests;
  readonly #subscriptions: Subscription[] = [];
  readonly #status: QueuedIterator<Status>;
  readonly #rounds = setInterval(() => { this.#nextRound(); }, ROUND_MS).unref();
  #transport: { readonly socket?: Socket } | undefined;
  #upSinceMs = performance.now();
  /** It is down, and no other server is looked for any more. */
  #isLost = false;
  #moving: NodeJS.Timeout | undefined;
  #left: string | undefined;
  #denied: Error | undefined;
  #lastError: string | undefined;

  /**
   * @param hasOthers whether other servers have it too: what is asked while nobody leads is asked again, and of another one if this one goes
   * @param changed called with false when the connection breaks; with true when it stands again, perhaps to another server
   */
  private constructor(
    readonly connection: NatsConnection, private readonly isOwn: boolean,
    private readonly hasOthers: boolean, private readonly changed: (up: boolean) => void,
  ) {
    const inbox = `${createInbox((connection as unknown as Inside).options?.inboxPrefix)}.`;
    this.#requests = new Requests(connection, inbox, hasOthers);
    this.subscribe(`${inbox}*`, (message) => { this.#requests.answered(message); });
    // It is one, and declared as what can only be iterated.
    this.#status = connection.status() as QueuedIterator<Status>;
    void this.#watch();
  }

  static async open(source: Source, hasOthers: boolean, changed: (up: boolean) => void): Promise<Link> {
    if ('client' in source) {
      if (source.client.isClosed()) throw unavailable('NATS: expected a client that is connected, found one that was closed');
      return new Link(source.client, false, hasOthers, changed);
    }
    try {
      return new Link(await connect({ ...settings, ...source.connect }), true, hasOthers, changed);
    } catch (error) {
      const servers = [source.connect.servers].flat().join(', ');
      const said = messageOf(error);
      throw unavailable(`NATS cannot be connected to at ${servers}: ${said === 'tls' ? 'it has no TLS, which `connect.tls` asks for' : said}`, error);
    }
  }

  /** For how long it has stood by now. */
  get upMs(): number { return performance.now() - this.#upSinceMs; }

  /**
   * What is answered in JSON, as by JetStream.
   * @throws Refusal, CLUSTER_TOO_LARGE; or Unanswered: it may have been done
   */
  ask<T>(subject: string, content = '', how: How = {}): Promise<T> {
    if (!this.#isLost) return this.#requests.ask<T>(subject, content, how);
    const why = this.#lastError === undefined ? '' : ` (it said ${this.#lastError})`;
    return Promise.reject(new Refusal('lost', `there is no connection to NATS at ${this.connection.getServer()}${why}`));
  }

  /** Until the link is closed, also over reconnections. */
  subscribe(subject: string, receive: (message: Msg) => void): void {
    this.#subscriptions.push(this.connection.subscribe(subject, {
      callback: (error, message) => {
        if (error === null) receive(message);
        else this.#denied ??= denied(error.message);
      },
    }));
  }

  /** Resolves when the server has taken all subscriptions. @throws Refusal naming the subject that this user may not subscribe to */
  async settled(): Promise<void> {
    await this.connection.flush();
    if (this.#denied !== undefined) throw this.#denied;
  }

  /** Goes to another server, if there are others; the application's own connection stays where it is. */
  leave(): void {
    if (!this.isOwn || !this.hasOthers) return;
    this.#left = this.connection.getServer();
    void this.connection.reconnect();
  }

  async close(): Promise<void> {
    clearInterval(this.#rounds);
    this.#status.stop();
    this.#lose();
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    if (!this.isOwn) return;
    const { protocol } = this.connection as unknown as Inside;
    await this.connection.close();
    // An attempt to connect that is under way has no socket yet, goes on, and leaves the one it gets open.
    void protocol?.connectPromise?.catch(() => undefined).then(() => { protocol.transport?.socket?.destroy(); });
    protocol?.transport?.socket?.destroy();
  }

  async #watch(): Promise<void> {
    for await (const { type, data, permissionContext: right } of this.#status) {
      this.#tidy();
      if (right?.operation === 'publish') this.#requests.deny(right.subject, denied(`publish to "${right.subject}"`));
      // A code of the client's, without anything that was sent.
      else if (type === Events.Error && typeof data === 'string') this.#lastError = data;
      if (type === Events.Disconnect) this.#down();
      if (type === Events.Reconnect) this.#up();
    }
    this.#lose();
    this.changed(false);
  }

  #down(): void {
    if (this.hasOthers) this.#moving ??= setTimeout(() => { this.#lose(); }, MOVE_MS).unref();
    else this.#lose();
    this.changed(false);
  }

  #up(): void {
    clearTimeout(this.#moving);
    this.#moving = undefined;
    this.#isLost = false;
    this.#upSinceMs = performance.now();
    this.#lastError = undefined;
    // The client begins with the first server of its list, which may be the same.
    if (this.#left === this.connection.getServer()) void this.connection.reconnect();
    this.#left = undefined;
    this.#requests.askAgain();
    this.changed(true);
  }

  #lose(): void {
    this.#isLost = true;
    this.#requests.failAll('NATS: the connection was lost before an answer came');
  }

  #nextRound(): void {
    const oldest = this.#requests.nextRound();
    if (oldest > 0 && oldest % LEAVE_ROUNDS === 0) this.leave();
  }

  /** The client leaves the socket of an attempt to connect open when that times out, and it would keep the process alive. */
  #tidy(): void {
    const { transport } = (this.connection as unknown as Inside).protocol ?? {};
    if (!this.isOwn || transport === this.#transport) return;
    // Without its listeners, or the client would take its end for that of the connection which stands by then.
    this.#transport?.socket?.removeAllListeners().destroy();
    this.#transport = transport;
  }
}

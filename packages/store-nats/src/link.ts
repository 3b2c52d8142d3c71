import type { Socket } from 'node:net';
import {
  connect, createInbox, Events, type ConnectionOptions, type Msg, type MsgHdrs, type NatsConnection, type QueuedIterator, type Status, type Subscription,
} from 'nats';
import { ClusterError } from '@cluster/core';
import { contentOf, denied, IN_PROGRESS, isConflict, isLeaderless, messageOf, Refusal, Unanswered, unsent } from './failures.js';

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

/** What is asked and has no answer yet. */
interface Asked {
  readonly subject: string;
  readonly content: string;
  readonly headers: MsgHdrs | undefined;
  /** Not where that nobody is there is an answer. */
  readonly isRepeated: boolean;
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly round: number;
  /** How many were sent that somebody may have got. */
  copies: number;
  /** Why the last one was not taken. */
  refusal: unknown;
}

const ROUND_MS = 500;
/** Choosing a leader takes 4 to 9 s. Longer, and what nobody waits for any more would be sent again and again. */
const MAX_ROUNDS = 30;
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
  readonly #asked = new Map<string, Asked>();
  readonly #subscriptions: Subscription[] = [];
  readonly #inbox: string;
  readonly #status: QueuedIterator<Status>;
  readonly #rounds = setInterval(() => { this.#nextRound(); }, ROUND_MS).unref();
  #round = 0;
  #leftInRound = 0;
  #left: string | undefined;
  #tokens = 0;
  #unsent: string[] = [];
  #transport: { readonly socket?: Socket } | undefined;
  #isUp: boolean;
  #upSinceMs = performance.now();
  /** It is down, and no other server is looked for any more. */
  #isLost: boolean;
  #moving: NodeJS.Timeout | undefined;
  #isClosed = false;
  #denied: Error | undefined;
  #lastError: string | undefined;

  /**
   * @param isRepeated whether what is asked while nobody leads is asked again, and of another server if this one goes
   * @param changed called with false when the connection breaks; with true when it stands again, perhaps to another server
   */
  private constructor(
    readonly connection: NatsConnection, private readonly isOwn: boolean, private readonly isRepeated: boolean, private readonly changed: (up: boolean) => void,
  ) {
    this.#isUp = !connection.isClosed();
    this.#isLost = !this.#isUp;
    this.#inbox = `${createInbox((connection as unknown as Inside).options?.inboxPrefix)}.`;
    this.subscribe(`${this.#inbox}*`, (message) => { this.#answered(message); });
    // It is one, and declared as what can only be iterated.
    this.#status = connection.status() as QueuedIterator<Status>;
    void this.#watch();
  }

  static async open(source: Source, isRepeated: boolean, changed: (up: boolean) => void): Promise<Link> {
    if ('client' in source) return new Link(source.client, false, isRepeated, changed);
    try {
      return new Link(await connect({ ...settings, ...source.connect }), true, isRepeated, changed);
    } catch (error) {
      throw new ClusterError('CLUSTER_UNAVAILABLE', `NATS cannot be connected to at ${[source.connect.servers].flat().join(', ')}: ${messageOf(error)}`, { cause: error });
    }
  }

  /**
   * What is answered in JSON, as by JetStream. The client's own requests make an error, a timer and several promises each, and each
   * is a write to the socket; these leave together, once per turn of the event loop.
   * @param withinMs then it is asked once, and fails by Unanswered after that time
   * @throws Refusal, CLUSTER_TOO_LARGE; or Unanswered: it may have been done
   */
  ask<T>(subject: string, content = '', { headers, withinMs }: { readonly headers?: MsgHdrs; readonly withinMs?: number } = {}): Promise<T> {
    if (this.#isLost) return Promise.reject(new Refusal('lost', `there is no connection to NATS at ${this.connection.getServer()}${this.#why}`));
    return new Promise((resolve, reject) => {
      const token = String(this.#tokens += 1);
      const isRepeated = this.isRepeated && withinMs === undefined;
      // What answers to it is of the type that its caller names.
      const asked = { subject, content, headers, isRepeated, resolve: resolve as Asked['resolve'], reject, round: this.#round, copies: 0, refusal: undefined };
      this.#asked.set(token, asked);
      this.#send(token);
      if (withinMs !== undefined) setTimeout(() => { this.#fail(token, new Unanswered(`NATS: no answer came within ${withinMs} ms`)); }, withinMs).unref();
    });
  }

  /** For how long it has stood by now. */
  get upMs(): number { return performance.now() - this.#upSinceMs; }

  /** Until the link is closed, also over reconnections. */
  subscribe(subject: string, receive: (message: Msg) => void): void {
    this.#subscriptions.push(this.connection.subscribe(subject, {
      callback: (error, message) => {
        if (error === null) receive(message);
        else this.#denied ??= denied(error.message);
      },
    }));
  }

  /**
   * Resolves to how long the server takes to answer, when it has taken all subscriptions.
   * @throws Refusal naming the subject that this user may not subscribe to
   */
  async settled(): Promise<number> {
    const tookMs = await this.connection.rtt();
    if (this.#denied !== undefined) throw this.#denied;
    return tookMs;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#rounds);
    this.#status.stop();
    this.#lose();
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    if (!this.isOwn) return;
    this.#tidy();
    await this.connection.close();
    this.#transport?.socket?.destroy();
  }

  #send(token: string): void {
    if (this.#unsent.length === 0) setImmediate(() => { for (const each of this.#unsent.splice(0)) this.#sendNow(each); });
    this.#unsent.push(token);
  }

  #sendNow(token: string): void {
    const asked = this.#asked.get(token);
    if (asked === undefined || !this.#isUp) return;
    try {
      const { subject, content, headers } = asked;
      this.connection.publish(subject, content, headers === undefined ? { reply: this.#inbox + token } : { headers, reply: this.#inbox + token });
      asked.copies += 1;
    } catch (error) {
      this.#fail(token, unsent(error));
    }
  }

  #answered(message: Msg): void {
    const token = message.subject.slice(this.#inbox.length);
    const asked = this.#asked.get(token);
    if (asked === undefined) return;
    try {
      asked.resolve(contentOf(message));
    } catch (error) {
      if (asked.isRepeated && isLeaderless(error)) {
        asked.copies -= 1;
        asked.refusal = error;
        return;
      }
      if (isConflict(error)) {
        error.copies = asked.copies;
        // Perhaps another copy of it.
        if (asked.copies > 1 && error.reason === IN_PROGRESS) return;
      }
      asked.reject(error);
    }
    this.#asked.delete(token);
  }

  #fail(token: string, error: unknown): void {
    this.#asked.get(token)?.reject(error);
    this.#asked.delete(token);
  }

  /** What nobody answered is asked again, then of another server; in the end it fails. */
  #nextRound(): void {
    this.#round += 1;
    let oldest = 0;
    for (const [token, { round, isRepeated, copies, refusal }] of this.#asked) {
      const age = this.#round - round;
      if (age > MAX_ROUNDS) this.#fail(token, copies === 0 && refusal !== undefined ? refusal : new Unanswered('NATS: no answer came'));
      else if (isRepeated && age > 1) this.#send(token);
      if (isRepeated) oldest = Math.max(oldest, age);
    }
    if (oldest < LEAVE_ROUNDS || this.#round - this.#leftInRound < LEAVE_ROUNDS || !this.isOwn || !this.#isUp) return;
    this.#leftInRound = this.#round;
    this.#left = this.connection.getServer();
    void this.connection.reconnect();
  }

  async #watch(): Promise<void> {
    for await (const { type, data, permissionContext: right } of this.#status) {
      if (this.isOwn) this.#tidy();
      if (right !== undefined) this.#deny(right.operation, right.subject);
      // A code of the client's, without anything that was sent.
      else if (type === Events.Error) this.#lastError = typeof data === 'string' ? data : 'an error';
      if (type === Events.Disconnect) this.#down();
      if (type === Events.Reconnect) this.#up();
    }
    if (this.#isClosed) return;
    this.#lose();
    this.changed(false);
  }

  #deny(operation: string, subject: string): void {
    const error = denied(`${operation} to "${subject}"`);
    if (operation !== 'publish') return;
    // An answer to oneself.
    if (subject.startsWith(this.#inbox)) this.#fail(subject.slice(this.#inbox.length), error);
    else for (const [token, asked] of this.#asked) if (asked.subject === subject) this.#fail(token, error);
  }

  #down(): void {
    this.#isUp = false;
    if (this.isRepeated) this.#moving ??= setTimeout(() => { this.#lose(); }, MOVE_MS).unref();
    else this.#lose();
    this.changed(false);
  }

  #up(): void {
    clearTimeout(this.#moving);
    this.#moving = undefined;
    this.#isUp = true;
    this.#upSinceMs = performance.now();
    this.#isLost = false;
    this.#lastError = undefined;
    // The client begins with the first server of its list, which may be the same.
    if (this.#left === this.connection.getServer()) void this.connection.reconnect();
    this.#left = undefined;
    for (const [token, { isRepeated }] of this.#asked) if (isRepeated) this.#send(token);
    this.changed(true);
  }

  /** The client leaves the socket of an attempt to connect open when that times out, and it would keep the process alive. */
  #tidy(): void {
    const { transport } = (this.connection as unknown as Inside).protocol ?? {};
    if (transport === this.#transport) return;
    // Without its listeners, or the client would take its end for that of the connection which stands by then.
    this.#transport?.socket?.removeAllListeners().destroy();
    this.#transport = transport;
  }

  get #why(): string { return this.#lastError === undefined ? '' : ` (it said ${this.#lastError})`; }

  #lose(): void {
    clearTimeout(this.#moving);
    this.#moving = undefined;
    this.#isUp = false;
    this.#isLost = true;
    for (const token of this.#asked.keys()) this.#fail(token, new Unanswered('NATS: the connection was lost before an answer came'));
  }
}

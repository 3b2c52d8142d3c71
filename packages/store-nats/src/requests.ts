import type { Msg, MsgHdrs, NatsConnection } from 'nats';
import { contentOf, Doubted, IN_PROGRESS, isConflict, isPassing, reasonOf, Unanswered, unsent } from './failures.js';

/** With `withinMs` it is asked once, and fails by Unanswered after that time. */
export interface How { readonly headers?: MsgHdrs; readonly withinMs?: number }

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
}

/** Choosing a leader takes 4 to 9 s. Longer, and what nobody waits for any more would be sent again and again. */
const MAX_ROUNDS = 30;

/**
 * Requests that are answered to one subject with a token each. The client's own make an error, a timer and several promises each, and
 * each is a write to the socket; these leave together, once per turn of the event loop.
 */
export class Requests {
  readonly #asked = new Map<string, Asked>();
  #unsent: string[] = [];
  #tokens = 0;
  #round = 0;

  /**
   * @param inbox the subject of the answers, up to the token
   * @param repeats whether what nobody answers is asked again in each round
   */
  constructor(private readonly connection: NatsConnection, private readonly inbox: string, private readonly repeats: boolean) {}

  /** @throws Refusal, CLUSTER_TOO_LARGE; or Unanswered: it may have been done */
  ask<T>(subject: string, content: string, { headers, withinMs }: How): Promise<T> {
    return new Promise((resolve, reject) => {
      const token = String(this.#tokens += 1);
      const isRepeated = this.repeats && withinMs === undefined;
      // What answers to it is of the type that its caller names.
      const asked = { subject, content, headers, isRepeated, resolve: resolve as Asked['resolve'], reject, round: this.#round, copies: 0 };
      this.#asked.set(token, asked);
      this.#send(token);
      if (withinMs === undefined) return;
      setTimeout(() => { this.#fail(token, new Unanswered(`NATS: no answer came within ${withinMs} ms`)); }, withinMs).unref();
    });
  }

  answered(message: Msg): void {
    const token = message.subject.slice(this.inbox.length);
    const asked = this.#asked.get(token);
    if (asked === undefined) return;
    try {
      asked.resolve(contentOf(message));
    } catch (error) {
      if (asked.isRepeated && isPassing(error)) {
        asked.copies -= 1;
        return;
      }
      const isDoubted = asked.copies > 1 && isConflict(error);
      // Another copy of it may be the one that is in progress, and is answered then.
      if (isDoubted && reasonOf(error) === IN_PROGRESS) return;
      asked.reject(isDoubted ? new Doubted() : error);
    }
    this.#asked.delete(token);
  }

  /** Asks again what nobody answered. Returns how many rounds the oldest of it has seen. */
  nextRound(): number {
    this.#round += 1;
    let oldest = 0;
    for (const [token, { round, isRepeated }] of this.#asked) {
      const age = this.#round - round;
      if (age > MAX_ROUNDS) this.#fail(token, new Unanswered('NATS: no answer came: nobody leads the stream, or JetStream is off'));
      else if (isRepeated) {
        if (age > 1) this.#send(token);
        oldest = Math.max(oldest, age);
      }
    }
    return oldest;
  }

  /** Over a connection that is new. */
  askAgain(): void {
    for (const [token, { isRepeated }] of this.#asked) if (isRepeated) this.#send(token);
  }

  /** What was asked at that subject fails, and what it was to answer, if one asked oneself. */
  deny(subject: string, error: Error): void {
    for (const [token, asked] of this.#asked) if (asked.subject === subject || this.inbox + token === subject) this.#fail(token, error);
  }

  failAll(text: string): void {
    for (const token of this.#asked.keys()) this.#fail(token, new Unanswered(text));
  }

  #send(token: string): void {
    if (this.#unsent.length === 0) setImmediate(() => { for (const each of this.#unsent.splice(0)) this.#sendNow(each); });
    this.#unsent.push(token);
  }

  #sendNow(token: string): void {
    const asked = this.#asked.get(token);
    if (asked === undefined) return;
    const { subject, content, headers } = asked;
    const reply = this.inbox + token;
    try {
      // A Buffer, which has its place in a pool: the client's own encoding allocates each.
      this.connection.publish(subject, Buffer.from(content), headers === undefined ? { reply } : { headers, reply });
      asked.copies += 1;
    } catch (error) {
      this.#fail(token, unsent(error, Buffer.byteLength(content), this.connection.info?.max_payload));
    }
  }

  #fail(token: string, error: unknown): void {
    this.#asked.get(token)?.reject(error);
    this.#asked.delete(token);
  }
}

import type { Cluster } from './cluster.js';
import type { KnownSession } from './recorder.js';

/** Which session a request asks for, and under which of its ids. */
export interface Target { readonly known: KnownSession; readonly idIndex: number }

/** A browser with one session. Its cookie follows from the responses that have arrived; without a cookie it simply knows the latest id. */
export class Browser {
  known: KnownSession;
  #cookie: string | undefined;

  constructor(private readonly cluster: Cluster, private readonly hasCookie: boolean) { this.known = this.#fresh(); }

  /** What a request that leaves now carries. */
  get cookie(): string | undefined { return this.#cookie; }

  /** Undefined: it has no session yet. */
  target(cookie: string | undefined): Target | undefined {
    if (!this.hasCookie) return this.known.ids.length === 0 ? undefined : { known: this.known, idIndex: this.known.ids.length - 1 };
    return cookie === undefined ? undefined : this.cluster.recorder.whose(cookie);
  }

  /** The session is over; without a cookie the next request begins another one. */
  startOver(): void {
    if (!this.hasCookie) this.known = this.#fresh();
  }

  /** Who has a cookie that leads nowhere closes the browser one day. */
  forget(cookie: string | undefined): void {
    if (this.#cookie === cookie) this.#cookie = undefined;
  }

  /** The response to a request that carried `sent` arrives; '' ends the cookie. */
  receive(label: string, sent: string | undefined, setCookie: string): void {
    const { recorder, world } = this.cluster;
    const before = this.target(this.#cookie);
    const asked = this.target(sent);
    if (before !== undefined && before.known === asked?.known && before.idIndex > asked.idIndex) {
      recorder.violation('cookie', `${label}: its response to the id ${before.known.name}.${asked.idIndex} takes ${before.known.name}.${before.idIndex} away, which a login has given since`);
    }
    this.#cookie = setCookie === '' ? undefined : setCookie;
    const after = this.target(this.#cookie);
    world.trace?.('', `${label}: the cookie is ${after === undefined ? 'none' : `${after.known.name}.${after.idIndex}`}`);
    if (after !== undefined) this.known = after.known;
  }

  #fresh(): KnownSession {
    const { recorder } = this.cluster;
    return recorder.know(`s${recorder.sessions.length}`);
  }
}

import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { ClusterError, type Session } from '@cluster/core';
import { session, type SessionMiddleware } from '@cluster/http';
import type { Life } from './cluster.js';
import type { Access, Face } from './face.js';

type HttpSession = NonNullable<Awaited<ReturnType<SessionMiddleware['open']>>>;

const NAME = 'sid';
const METHODS = { exclusive: 'POST', shared: 'PUT', snapshot: 'GET' } as const;

/** The middleware of one process: GET reads a snapshot, PUT shares, POST has the session to itself. */
export const sessionsOf = (manager: Life['manager']): SessionMiddleware =>
  session({ manager, name: NAME, access: ({ method }) => (method === 'PUT' ? 'shared' : 'auto') });

/** Never connected: requests and responses want one that they can ask. */
const nowhere = new Socket();

/** A response that says when it has ended. */
class Answer extends ServerResponse {
  readonly ended: Promise<void>;
  #end: () => void = () => undefined;

  constructor(request: IncomingMessage) {
    super(request);
    this.ended = new Promise((resolve) => { this.#end = resolve; });
  }

  override end(): this {
    this.#end();
    return this;
  }
}

/** A session that began in a request whose cookie named one that is not there. */
export interface Begun { readonly session: Session; readonly attribute: string; readonly token: number }

/** One request and its response, as the application behind @cluster/http sees them. */
export class HttpFace implements Face {
  readonly label: string;
  readonly #request = new IncomingMessage(nowhere);
  readonly #response = new Answer(this.#request);
  #isOver = false;
  begun: Begun | undefined;

  /** @param token for what an application writes that does not know whose session it has */
  constructor(private readonly life: Life, private readonly sessions: SessionMiddleware, name: string, access: Access, private readonly token: () => number) {
    this.#request.method = METHODS[access];
    this.#request.url = `/${name}`;
    this.label = `${METHODS[access]} /${name}`;
  }

  /** What the browser is to keep: an id, '' for none any more, undefined for what it has. */
  get setCookie(): string | undefined {
    const [header] = [this.#response.getHeader('set-cookie')].flat();
    return header === undefined ? undefined : new RegExp(`^${NAME}=([^;]*)`).exec(String(header))?.[1];
  }

  async find(id: string | undefined): Promise<Session | undefined> {
    if (id !== undefined) this.#request.headers.cookie = `${NAME}=${id}`;
    await new Promise<void>((resolve, reject) => {
      this.sessions(this.#request, this.#response, (error) => {
        if (error === undefined) resolve();
        else reject(error instanceof Error ? error : new Error('not an error', { cause: error }));
      });
    });
    const found = this.#session;
    if (id === undefined || found.id === id) return found;
    return this.#asStranger(found);
  }

  send(_session: Session, goesOn: boolean): Promise<void> { return goesOn ? this.#session.save() : this.#ended(); }

  async changeId(): Promise<Session> {
    await this.#session.regenerate({ keep: true });
    return this.#session;
  }

  async release(): Promise<void> {
    await this.#session.release();
    await this.#ended();
  }

  /** What was thrown is answered as a framework does. */
  async close(): Promise<void> {
    if (this.#isOver) return;
    this.#response.statusCode = 500;
    await this.#ended().catch(() => undefined);
  }

  get #session(): HttpSession { return (this.#request as IncomingMessage & { session: HttpSession }).session; }

  /** An application takes what it gets for a visitor's first session, and the response shows whether it is one. */
  async #asStranger(found: Session): Promise<undefined> {
    const begun = { session: found, attribute: 'a', token: this.token() };
    found.set(begun.attribute, begun.token);
    await this.#ended().catch((cause: unknown) => { throw new ClusterError('CLUSTER_UNAVAILABLE', 'no session could be begun', { cause }); });
    if (this.setCookie === undefined) throw new ClusterError('CLUSTER_MOVED', 'the cookie stays as it is');
    this.begun = begun;
    return undefined;
  }

  async #ended(): Promise<void> {
    this.#isOver = true;
    this.#response.end();
    await this.#response.ended;
    if (this.#response.statusCode < 400) return;
    // The response has no code; the manager told it.
    throw this.life.failures.get(this.label) ?? new ClusterError('CLUSTER_UNKNOWN_OUTCOME', `answered with ${this.#response.statusCode}`);
  }
}

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Session } from '@cluster/core';
import { behind, type Behind } from '@cluster/core/driver';
import type { Site } from './site.js';
import { explain } from './warnings.js';

/** Why `req.session` is an empty one that is never stored, although there is a cookie; also the warning when it is changed. */
export type Detached = 'MOVED' | 'NOT_LOOKED_UP' | 'STORE_DOWN';

export const isStored = (session: Session) => behind(session).stored;

/** The session's id as the client of one request has it, and what the response has to tell it. */
export class ClientId {
  #id: string | undefined;
  #sentS: number | undefined;
  #aged = false;
  #again = false;
  #forget = false;

  constructor(private readonly site: Site, private readonly req: IncomingMessage) {}

  /** The client knows this id, and the store its session. */
  knows(id: string, sentS: number | undefined): void {
    this.#id = id;
    this.#sentS = sentS;
  }

  /** The cookie gets another age than the client thinks it has. */
  aged(): void { this.#aged = true; }

  /** The session has been ended. */
  forget(): void { this.#forget = this.#id !== undefined; }

  /** Whether the client should be told an id again that it knows. */
  isDue(session: Behind): boolean {
    return session.id === this.#id && (this.#aged || this.site.transport.isDue(this.#sentS, session.ownIdleTimeoutMs));
  }

  /** Tells the id again if it is still good: a login in another tab may have replaced it, here and in the client. */
  async tellAgain(id: string): Promise<void> {
    const { manager } = this.site;
    const found = await manager.findSession(id, { access: 'snapshot' }).catch(() => undefined);
    if (found === undefined) return;
    this.#again = true;
    manager.releaseSession(found).catch(() => undefined);
  }

  /** @param session what the request ends with; `detached`: why it is none that has an id */
  announcement(session: Behind | undefined, detached: Detached | undefined): ((res: ServerResponse) => void) | undefined {
    const { site: { transport }, req } = this;
    if (session?.stored === true && detached === undefined) {
      const { id } = session;
      const isKnown = id === this.#id;
      if (isKnown && !this.#again) return undefined;
      const { ownIdleTimeoutMs } = session;
      explain(req, isKnown ? "gets its id again, since half of the cookie's age is over, or the age is another" : 'gets a new id');
      return (res) => { transport.write(req, res, id, ownIdleTimeoutMs); };
    }
    if (this.#forget) {
      explain(req, 'is told to forget its id');
      return (res) => { transport.clear(req, res); };
    }
    explain(req, 'gets no id: %s', detached ?? 'nothing is in its session, so it is not stored');
    return undefined;
  }
}

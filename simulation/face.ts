import type { FindOptions, Session } from '@cluster/core';
import type { Life } from './cluster.js';

export type Access = NonNullable<FindOptions['access']>;

/** How a request uses its session: by the manager itself, or through the middleware of @cluster/http. */
export interface Face {
  /** What the request calls itself. */
  readonly label: string;
  /** The session of that id, or a new one; undefined: there is none. */
  find(id: string | undefined, access: Access): Promise<Session | undefined>;
  send(session: Session, goesOn: boolean): Promise<void>;
  changeId(session: Session): Promise<Session>;
  release(session: Session): Promise<void>;
  /** The request is over, whatever became of it. */
  close(): Promise<void>;
}

export class ManagerFace implements Face {
  /** @param isNested it asks again for the session that it has */
  constructor(private readonly life: Life, readonly label: string, private readonly isNested = false) {}

  find(id: string | undefined, access: Access): Promise<Session | undefined> {
    const { manager } = this.life;
    return id === undefined ? Promise.resolve(manager.createSession()) : manager.findSession(id, { access, label: this.label, reentrant: this.isNested });
  }

  send(session: Session, goesOn: boolean): Promise<void> { return this.life.manager.sendSession(session, { release: !goesOn }); }
  changeId(session: Session): Promise<Session> { return this.life.manager.changeSessionId(session); }
  release(session: Session): Promise<void> { return this.life.manager.releaseSession(session); }
  close(): Promise<void> { return Promise.resolve(); }
}

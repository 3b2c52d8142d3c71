import type { IncomingMessage, ServerResponse } from 'node:http';
import { ClusterError, type FindOptions, type Session } from '@cluster/core';
import { behind, type Behind } from '@cluster/core/driver';
import { asError } from './answer.js';
import { accessOf, labelOf } from './access.js';
import { ClientId, isStored, type Detached } from './client-id.js';
import { ageOf, type OwnCookie } from './cookie-view.js';
import { hearDeparture, spareController, takeBack } from './departure.js';
import type { HttpSession } from './http-session.js';
import { gone, notEnded, storeDown, tooLate } from './refusals.js';
import { holdBack, type Commit } from './response-gate.js';
import { carryOver, dropOthers, Face, keepOf, type Actions } from './session-methods.js';
import type { Site } from './site.js';
import type { Found } from './transport.js';
import { explain, warn, warnNotStored } from './warnings.js';

/** How long a handler whose client has left may keep the session. */
export const LEFT_GRACE_MS = 5_000;

const ignored = () => { /* the session is given up: what comes of it changes nothing for the request */ };

const TURN = Symbol('turn');

/** The turn of a request that has passed `session`. */
export const turnOf = (req: IncomingMessage): Turn | undefined => (req as { [TURN]?: Turn })[TURN];

/** One request's use of its session, from the cookie to the acknowledged change. */
export class Turn implements Commit, Actions {
  #handle: Session | undefined;
  readonly #client: ClientId;
  #detached: Detached | undefined;
  #finding: AbortController | undefined;
  /** A method of the session that is under way; the response waits for it. */
  #running: Promise<void> | undefined;
  /** Of a method that was to store or end the session: maybe nobody awaits it. */
  #failure: Error | undefined;
  #used = false;
  #flushed = false;
  /** The present handle has been sent or released. */
  #over = false;
  /** By the application, and what it changed is stored. */
  #released = false;
  #left = false;
  #isWatched = false;
  /** The client left {@link LEFT_GRACE_MS} ago. */
  #isGraceOver = false;

  constructor(readonly site: Site, readonly req: IncomingMessage, readonly res: ServerResponse | undefined) {
    (req as { [TURN]?: Turn })[TURN] = this;
    this.#client = new ClientId(site, req);
  }

  /** Finds the session that the request names, then calls `next`; `gone` instead, when the client has left meanwhile or was sent elsewhere. */
  open(next: (error?: unknown) => void, gone: () => void): void {
    const { site, req } = this;
    let named: Found | undefined;
    let access: ReturnType<typeof accessOf>;
    try {
      named = site.transport.read(req);
      if (named !== undefined) access = this.res === undefined ? 'snapshot' : accessOf(req, site.access);
    } catch (error) {
      explain(req, 'no session: %o', error);
      next(error);
      return;
    }
    if (named === undefined || access === undefined) {
      if (named !== undefined) this.#detached = 'NOT_LOOKED_UP';
      explain(req, named === undefined ? 'names no session' : 'has no session, whatever it names');
      this.#enter(next);
      return;
    }
    const { id, sentS } = named;
    const found = (session: Session | undefined) => { if (this.#found(session, access, sentS)) this.#enter(next); else gone(); };
    const lost = (error: unknown) => {
      if (this.#left || site.redirects?.answer(error, req, this.res) === true) gone();
      else if (this.#lost(error)) this.#enter(next); else next(error);
    };
    const redirect = access !== 'snapshot' && site.redirects !== undefined && site.redirects.open(req, this.res);
    site.manager.findSession(id, access === 'snapshot' ? { access, label: labelOf(req), reentrant: site.reentrant } : this.#queued(access, redirect)).then(found, lost);
  }

  /** A client that leaves gives its place in the queue up, and the lock; a snapshot has neither. */
  #queued(access: 'exclusive' | 'shared', redirect: FindOptions['redirect'] = false): FindOptions {
    this.#finding = spareController();
    this.#watch();
    return { access, label: labelOf(this.req), signal: this.#finding.signal, redirect, reentrant: this.site.reentrant };
  }

  #enter(next: () => void): void {
    // Before the handler, used or not: `res.end(req.session.name)` takes `res.end` first and the session then.
    if (this.res !== undefined && !this.res.headersSent) {
      holdBack(this.res, this);
    } else {
      // No end of a response will store a change or give the session on.
      this.#flushed = true;
      if (this.#handle !== undefined) this.#giveUp(this.#handle);
    }
    next();
  }

  #looked(): void { takeBack(this.#finding); this.#finding = undefined; }

  #found(session: Session | undefined, access: string, sentS: number | undefined): boolean {
    this.#looked();
    if (session === undefined) {
      explain(this.req, 'its session is not in the store');
      warn('UNKNOWN_ID');
      return !this.#left;
    }
    this.#take(session);
    if (this.#left) {
      this.#giveUp(session);
      return false;
    }
    explain(this.req, 'has its session, %s', access);
    this.#client.knows(session.id, sentS);
    return true;
  }

  /** True if the request goes on without its session. */
  #lost(error: unknown): boolean {
    this.#looked();
    if (ClusterError.is(error, 'CLUSTER_MOVED')) this.#detached = 'MOVED';
    else if (this.site.onStoreError === 'anonymous' && (ClusterError.is(error, 'CLUSTER_UNAVAILABLE') || ClusterError.is(error, 'CLUSTER_UNKNOWN_OUTCOME'))) this.#detached = 'STORE_DOWN';
    explain(this.req, 'no session: %s', this.#detached ?? String(error));
    return this.#detached !== undefined;
  }

  /** What `req.session` shows; made when it is first asked for. */
  get session(): HttpSession {
    if (!this.#used || this.#handle === undefined) this.#use();
    // `#use` has made one, and every handle here was dressed with the methods.
    return this.#handle as HttpSession;
  }

  #use(): void {
    this.#used = true;
    const handle = this.#handle ?? this.#take(this.site.manager.createSession({ label: labelOf(this.req), reentrant: this.site.reentrant }));
    // Too late for a cookie, and for a change: the handle is ended, so that a change throws.
    if (this.#flushed) this.#giveUp(handle);
  }

  /** @throws ClusterError CLUSTER_BAD_OPTION for anything but null */
  assign(value: unknown): void {
    if (value === this.#handle && value !== undefined) return;
    if (value !== null) throw new ClusterError('CLUSTER_BAD_OPTION', `req.session: expected null, which ends the session, found ${typeof value}; set attributes on it`);
    const isLate = this.#flushed;
    this.destroy().catch((error: unknown) => { if (isLate) warnNotStored(error); });
  }

  /** A change that came too late has thrown; maybe nobody saw it. */
  late(): void { if (this.#flushed && this.res !== undefined) warn('LATE_CHANGE'); }

  begin(): Promise<void> | undefined {
    this.#flushed = true;
    const settle = () => this.#settle();
    return this.#running === undefined ? settle() : this.#running.then(settle, settle);
  }

  /** What a method could not do fails the response, unless the application answers an error of its own. */
  #settle(): Promise<void> | undefined {
    if (this.#failure === undefined || this.res === undefined || this.res.statusCode >= 400) return this.#send();
    if (this.#handle !== undefined && !this.#over) this.#giveUp(this.#handle);
    return Promise.reject(this.#failure);
  }

  /** The handler has ended: nobody else would say why its answer is replaced. */
  failed(error: unknown): void {
    explain(this.req, 'not stored: %o', error);
    if (ClusterError.is(error, 'CLUSTER_UNAVAILABLE') || ClusterError.is(error, 'CLUSTER_UNKNOWN_OUTCOME')) warn('STORE_FAILED', error);
    else if (!ClusterError.is(error) || error.status === 500) warnNotStored(error);
  }

  #send(): Promise<void> | undefined {
    const handle = this.#handle;
    if (handle === undefined || this.#over) return undefined;
    this.#over = true;
    const { manager } = this.site;
    const state = behind(handle);
    if (state.stored) {
      const sent = manager.sendSession(handle, { final: true });
      if (this.#client.isDue(state)) return this.#sentThenTold(state.id, sent);
      if (this.#used) return sent;
      // Nobody has looked at it, so nothing can have changed and there is nothing to acknowledge.
      sent.catch(ignored);
      return undefined;
    }
    const isEmpty = Object.keys(handle).length === 0;
    if (!isEmpty && this.#detached === undefined) return manager.sendSession(handle);
    if (!isEmpty && this.#detached !== undefined) warn(this.#detached);
    this.#giveUp(handle);
    return undefined;
  }

  async #sentThenTold(id: string, sent: Promise<void>): Promise<void> {
    try {
      await sent;
    } catch (error) {
      if (this.#used) throw error;
      return;
    }
    await this.#client.tellAgain(id);
  }

  announcement(): ((res: ServerResponse) => void) | undefined {
    return this.#client.announcement(this.#handle && behind(this.#handle), this.#detached);
  }

  ownCookie(state: Behind): OwnCookie { return { behind: state, options: this.site.cookie, aged: () => { this.#client.aged(); } }; }

  /** The client has left, or everything has been sent. */
  left(): void {
    if (this.#flushed || this.#left) return;
    this.#left = true;
    this.#finding?.abort();
    this.site.clock.timer(() => { this.#isGraceOver = true; this.#endGrace(); }, LEFT_GRACE_MS);
  }

  #endGrace(): void {
    if (this.#isGraceOver && this.#handle !== undefined && !this.#flushed) this.#giveUp(this.#handle);
  }

  /** From the first moment at which the request may hold a lock; the others are spared the listener. */
  #watch(): void {
    if (this.#isWatched) return;
    this.#isWatched = true;
    hearDeparture(this.req, this.res, this);
  }

  save(): Promise<void> {
    return this.#change(async (handle) => {
      if (this.#detached !== undefined) return;
      await this.#orGiveUp(handle, this.site.manager.sendSession(handle, { release: false }));
      this.#failure = undefined;
    });
  }

  reload(): Promise<void> {
    return this.#run((handle) => this.site.manager.reloadSession(handle));
  }

  release(): Promise<void> {
    return this.#change(async () => {
      const sent = this.#send();
      if (sent !== undefined) {
        await sent;
        this.#failure = undefined;
      }
      this.#released = true;
    });
  }

  /** A find counts as a use. */
  touch(): Promise<void> {
    return this.#run(async (handle) => {
      if (this.#detached !== undefined || !isStored(handle)) return;
      const { manager, cookie } = this.site;
      const found = await manager.findSession(handle.id, { access: 'snapshot', label: labelOf(this.req) });
      if (found === undefined) throw gone();
      manager.releaseSession(found).catch(ignored);
      if (ageOf(behind(found).ownIdleTimeoutMs, cookie) !== undefined) this.#client.aged();
    });
  }

  regenerate(options: unknown): Promise<void> {
    const isLate = this.#flushed;
    return this.#change(async (old) => {
      if (isLate) throw tooLate();
      const keep = keepOf(options);
      const { manager } = this.site;
      if (isStored(old)) {
        const locked = this.#released ? await this.#foundAgain(old.id) : old;
        dropOthers(this.#take(await this.#orGiveUp(locked, manager.changeSessionId(locked))), keep);
      } else {
        // A login once more: the reply that told of the first one may have been lost.
        if (this.#detached === 'MOVED') this.#detached = undefined;
        carryOver(old, this.#take(manager.createSession({ label: labelOf(this.req), reentrant: this.site.reentrant })), keep);
        manager.releaseSession(old).catch(ignored);
      }
      this.#failure = undefined;
    });
  }

  /** The session that was released, locked once more. */
  async #foundAgain(id: string): Promise<Session> {
    const found = await this.site.manager.findSession(id, this.#queued('exclusive')).finally(() => { this.#looked(); });
    if (found === undefined) throw gone();
    return found;
  }

  destroy(): Promise<void> {
    return this.#change(async (handle) => {
      if (this.#detached === 'MOVED') throw notEnded();
      if (this.#detached === 'STORE_DOWN') throw storeDown();
      this.#handle = undefined;
      try {
        if (isStored(handle)) await this.#remove(handle.id);
      } catch (error) {
        // It goes on, so nothing may begin in its place; and another `destroy` tries again.
        this.#dropNew();
        this.#handle = handle;
        this.#over = true;
        throw error;
      } finally {
        this.site.manager.releaseSession(handle).catch(ignored);
      }
    });
  }

  /** What was begun while the removal was under way. */
  #dropNew(): void {
    if (this.#handle !== undefined) this.#giveUp(this.#handle);
  }

  async #remove(id: string): Promise<void> {
    if (await this.site.manager.removeSession(id) === 'moved') throw notEnded();
    this.#client.forget();
    this.#failure = undefined;
  }

  /** A method whose failure the response must not hide. */
  #change(work: (handle: Session) => Promise<void>): Promise<void> {
    return this.#run(async (handle) => {
      try {
        await work(handle);
      } catch (error) {
        this.#failure = asError(error);
        throw error;
      }
    });
  }

  /** One after the other, each on the handle that the one before left. */
  #run(work: (handle: Session) => Promise<void>): Promise<void> {
    this.#watch();
    const onHandle = () => work(this.session);
    const run = this.#running === undefined ? onHandle() : this.#running.then(onHandle, onHandle);
    this.#running = run;
    const settled = () => {
      if (this.#running === run) this.#running = undefined;
      // A handle that was being sent could not be given up before.
      this.#endGrace();
    };
    run.then(settled, settled);
    return run;
  }

  /** A handle whose change was refused or is unknown has ended; the response is then the application's. */
  async #orGiveUp<T>(handle: Session, work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      this.#giveUp(handle);
      throw error;
    }
  }

  #giveUp(handle: Session): void {
    this.#over = true;
    this.site.manager.releaseSession(handle, { final: true }).catch(ignored);
  }

  /** From here on this is the handle of the request. */
  #take(session: Session): Session {
    const state = behind(session);
    state.face = new Face(this, state);
    this.#handle = session;
    this.#over = false;
    this.#released = false;
    return session;
  }
}

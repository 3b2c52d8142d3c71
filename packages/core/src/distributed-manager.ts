import { accessOf, type Access } from './access.js';
import { isClusterStore, type ClusterStore, type FindOptions, type SessionSnapshot } from './cluster-store.js';
import { tableLentBy } from './cluster-store-base.js';
import { Engine, stopped } from './engine/engine.js';
import { moveSession } from './engine/id-change.js';
import { unavailable } from './engine/acquisition.js';
import { endsWithin, pause } from './engine/ownership.js';
import { closeScope, fill, Nesting, type Scope } from './engine/nesting.js';
import type { Place } from './engine/records.js';
import { PlainTable } from './engine/plain-table.js';
import { agreeOnSettings, settingsKey } from './engine/settings-record.js';
import type { Turn } from './engine/turn.js';
import { Turns } from './engine/turns.js';
import { UnknownIds } from './engine/unknown-ids.js';
import { ClusterError } from './errors.js';
import { Events, type ManagerEvents } from './events.js';
import type { Health, Manager } from './manager.js';
import { defaultBounds, originOf, resolveManagerOptions, shown, type ManagerOptions, type ResolvedManagerOptions } from './options.js';
import { stateOf, type Session } from './session.js';
import { checkSessionId, digestOf } from './session-id.js';

const POLL_MS = 10;

/** The {@link Manager} over any {@link ClusterStore}: request life cycle, ownership, queues and leases of one instance. */
export class DistributedManager implements Manager {
  readonly context: string;
  readonly #options: ResolvedManagerOptions;
  readonly #engine: Engine;
  readonly #turns: Turns;
  readonly #unknownIds: UnknownIds;
  readonly #nesting = new Nesting();
  readonly #events = new Events();
  #status: Health['status'] = 'new';
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  /** Finds that are under way: a stop waits for them as well. */
  #finding = 0;

  /**
   * @param store started with the first request and stopped by `stop()`; a client passed into it stays open
   * @throws ClusterError CLUSTER_BAD_OPTION naming every option that is not as expected
   */
  constructor(readonly store: ClusterStore, options: ManagerOptions = {}) {
    if (!isClusterStore(store)) throw new ClusterError('CLUSTER_BAD_OPTION', `DistributedManager: store: expected a ClusterStore as the first argument, found ${shown(store)}`);
    this.#options = resolveManagerOptions(options);
    const { clock, maxInMemory } = this.#options;
    this.context = this.#options.context;
    const table = tableLentBy(store) ?? new PlainTable(store, this);
    this.#engine = new Engine(table, store.instanceId, { ...this.#options, maxInMemory: { ...defaultBounds, ...maxInMemory }, publicUrl: originOf(this.#options.publicUrl) }, clock, this.#events);
    this.#unknownIds = new UnknownIds(clock);
    this.#turns = new Turns(this.#engine, this.#options, (id) => this.#keyOf(id), this.#unknownIds, () => this.#readyToFinish());
  }

  start(): Promise<void> {
    if (this.#status === 'stopped' || this.#stopping !== undefined) return Promise.reject(stopped());
    this.#starting ??= this.#start().catch((error: unknown) => {
      this.#starting = undefined;
      this.#status = 'new';
      throw error;
    });
    return this.#starting;
  }

  async drain(): Promise<void> {
    if (this.#status === 'up') this.#status = 'draining';
    // Also before it has started: nothing is kept from the first request on.
    await this.#engine.drain();
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> { return this.stop(); }

  health(): Health {
    const { lease, slots, calls } = this.#engine;
    let held = 0;
    let waiting = 0;
    for (const slot of slots) {
      if (slot.held !== undefined) held += 1;
      waiting += slot.waiting;
    }
    return {
      status: this.#status, store: lease.incarnation === '' ? 'unknown' : lease.failing ? 'down' : 'up',
      incarnation: lease.incarnation === '' ? undefined : lease.incarnation, listening: lease.hears(),
      held, waiting, running: this.#turns.running, inMemory: { sessions: slots.size, bytes: slots.bytes }, stored: calls.table.stored?.(), storeCalls: { ...calls.counts },
    };
  }

  createSession({ label, reentrant = false }: { readonly label?: string; readonly reentrant?: boolean } = {}): Session {
    return this.#begun(reentrant, undefined, this.#turns.create(label));
  }

  findSession(id: string, options: FindOptions = {}): Promise<Session | undefined> {
    let scope: Scope | undefined;
    try {
      checkSessionId(id);
      const access = accessOf(options);
      const key = this.#keyOf(id);
      const { reentrant = false } = options;
      const begins = reentrant && access !== 'snapshot';
      // One that begins has nothing to come back to: requests of one connection can have one context.
      const nested = begins || access === 'snapshot' ? undefined : this.#nesting.find(key);
      if (nested !== undefined) {
        this.#turns.turnOf(stateOf(nested)).holds += 1;
        return Promise.resolve(nested);
      }
      if (begins) scope = this.#nesting.enter(key);
      else if (reentrant) this.#nesting.leave();
      if (this.#isServing() && options.signal?.aborted !== true) {
        const session = this.#findNow(id, key, access, options.label);
        if (session !== undefined) return Promise.resolve(this.#begun(reentrant, scope, session));
      }
      const found = this.#find(id, key, access, options);
      return reentrant ? this.#beginning(found, scope) : found;
    } catch (error) {
      closeScope(scope);
      return Promise.reject(error);
    }
  }

  sendSession(session: Session, { release = true, final = false }: { readonly release?: boolean; readonly final?: boolean } = {}): Promise<void> {
    try {
      const turn = this.#turns.turnOf(stateOf(session));
      if (this.#status === 'stopped') throw stopped();
      if (final) turn.holds = 0;
      if (release && turn.holds > 0) {
        turn.holds -= 1;
        return this.#turns.send(turn, true);
      }
      const scope = release ? undefined : this.#nest(turn);
      const sent = this.#turns.send(turn, !release);
      return scope === undefined ? sent : this.#filling(sent, scope, turn, session);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async reloadSession(session: Session): Promise<void> {
    await this.#turns.reload(this.#turns.turnOf(stateOf(session)));
  }

  async releaseSession(session: Session, { final = false }: { readonly final?: boolean } = {}): Promise<void> {
    const turn = this.#turns.turnOf(stateOf(session));
    if (final) turn.holds = 0;
    if (turn.holds > 0) turn.holds -= 1;
    else await this.#turns.release(turn);
  }

  async removeSession(id: string): Promise<'confirmed' | 'unconfirmed' | 'moved'> {
    checkSessionId(id);
    await this.#readyToFinish();
    const engine = this.#engine;
    const { storeTimeoutMs } = this.#options;
    const key = this.#keyOf(id);
    const answer = await this.#turns.records.remove(key, undefined, undefined, 'removed', engine.now() + storeTimeoutMs);
    const slot = engine.slots.get(key);
    if (slot !== undefined) engine.dropRemoved(slot);
    if (answer.kind !== 'removed') return 'moved';
    const { holder } = answer;
    if (holder === undefined || engine.lease.owns(holder.incarnation)) return 'confirmed';
    return await engine.revokes.confirm(key, holder, storeTimeoutMs) ? 'confirmed' : 'unconfirmed';
  }

  async changeSessionId(session: Session): Promise<Session> {
    const state = stateOf(session);
    const turn = this.#turns.turnOf(state);
    if (turn.access !== 'new') turn.scope ??= this.#nest(turn);
    await this.#readyToFinish();
    return this.#turns.changeId(turn, (newKey, deadlineMs) => moveSession(this.#engine, this.#turns, turn, newKey, deadlineMs));
  }

  receive(update: SessionSnapshot): void {
    const slot = this.#engine.slots.get(update.id);
    // A copy without a stamp can neither be served nor spare a transfer; what it does show is that an older one is of no use.
    if (slot === undefined || slot.held !== undefined) return;
    slot.forget();
    this.#engine.slots.settle(slot);
  }

  async update<T>(id: string | readonly string[], work: (...sessions: Session[]) => T | Promise<T>, options: FindOptions = {}): Promise<T | undefined> {
    const ids = typeof id === 'string' ? [id] : id;
    const found = new Map<string, Session>();
    const open = new Set<Session>();
    try {
      for (const each of [...new Set(ids)].sort()) {
        const session = await this.findSession(each, { redirect: false, ...options, access: 'exclusive' });
        if (session === undefined) return undefined;
        found.set(each, session);
        open.add(session);
      }
      const turns = [...open].map((session) => [this.#turns.turnOf(stateOf(session)), session] as const).filter(([turn]) => turn.scope === undefined);
      // Every id is in the map by now.
      const result = await this.#nesting.run(turns, () => work(...ids.map((each) => found.get(each) as Session)));
      for (const session of found.values()) {
        open.delete(session);
        await this.sendSession(session);
      }
      return result;
    } finally {
      for (const session of open) await this.releaseSession(session);
    }
  }

  on<E extends keyof ManagerEvents>(event: E, listener: (event: ManagerEvents[E]) => void): this {
    this.#events.on(event, listener);
    return this;
  }

  off<E extends keyof ManagerEvents>(event: E, listener: (event: ManagerEvents[E]) => void): this {
    this.#events.off(event, listener);
    return this;
  }

  #findNow(id: string, key: string, access: Access, label: string | undefined): Session | undefined {
    const { finding } = this.#turns;
    if (access === 'snapshot') {
      const content = finding.contentNow(key);
      return content && this.#turns.openSnapshot(id, key, content, label);
    }
    const place = (access === 'shared' ? finding.joinNow(key) : undefined) ?? finding.lockNow(key, label);
    return place && this.#open(id, place, access, label);
  }

  async #find(id: string, key: string, access: Access, options: FindOptions): Promise<Session | undefined> {
    const { finding } = this.#turns;
    const asking = finding.asking(options);
    await this.#ready(asking.deadlineMs + this.#options.storeTimeoutMs);
    this.#finding += 1;
    try {
      if (access === 'snapshot') {
        const content = await finding.content(key, asking);
        return content && this.#turns.openSnapshot(id, key, content, options.label);
      }
      const place = await finding.lock(key, asking);
      return place && this.#open(id, place, access, options.label);
    } finally {
      this.#finding -= 1;
    }
  }

  #open(id: string, place: Place, access: Access, label: string | undefined): Session {
    return access === 'shared' ? this.#turns.openShared(id, place, label) : this.#turns.openExclusive(id, place, label);
  }

  #begun(reentrant: boolean, scope: Scope | undefined, session: Session): Session {
    const turn = this.#turns.turnOf(stateOf(session));
    turn.isReentrant = reentrant;
    if (scope !== undefined) fill(scope, turn, session);
    return session;
  }

  #beginning(found: Promise<Session | undefined>, scope: Scope | undefined): Promise<Session | undefined> {
    return found.then((session) => {
      if (session !== undefined) return this.#begun(true, scope, session);
      closeScope(scope);
      return undefined;
    }, (error: unknown) => {
      closeScope(scope);
      throw error;
    });
  }

  /** Of a turn that has its lock only now, unless it had nothing to send. */
  #filling(sent: Promise<void>, scope: Scope, turn: Turn, session: Session): Promise<void> {
    return sent.then(() => {
      if (turn.place !== undefined) fill(scope, turn, session);
      else closeScope(scope);
    }, (error: unknown) => {
      closeScope(scope);
      throw error;
    });
  }

  /** For a turn that may get its lock by what it does next. */
  #nest(turn: Turn): Scope | undefined { return turn.isReentrant && turn.place === undefined ? this.#nesting.nest(turn.key) : undefined; }

  #keyOf(id: string): string { return `${this.context}.s.${digestOf(id)}`; }

  #isServing(): boolean { return (this.#status === 'up' || this.#status === 'draining') && this.#stopping === undefined; }

  /** What a request does that was there before the stop, which waits for it. */
  async #readyToFinish(): Promise<void> {
    if (this.#status !== 'up' && this.#status !== 'draining') await this.#ready();
  }

  /** Starts with the first request, which waits no longer than it would for its session. */
  async #ready(untilMs = this.#turns.finding.endBy()): Promise<void> {
    if (this.#isServing()) return;
    const { clock } = this.#options;
    let cancel: (() => void) | undefined;
    const tooLong = new Promise<never>((_, reject) => {
      cancel = clock.timer(() => {
        reject(new ClusterError('CLUSTER_UNAVAILABLE', 'the store has not started yet; check that it can be reached, and retry'));
      }, untilMs - clock.monotonicMs(), true);
    });
    try {
      await Promise.race([this.start(), tooLong]);
    } finally {
      cancel?.();
    }
  }

  async #start(): Promise<void> {
    this.#status = 'starting';
    const engine = this.#engine;
    await engine.start(this.context);
    if (!engine.isPlain) {
      const { leaseMs, readLeaseMs, codec } = this.#options;
      const claim = { incarnation: engine.lease.incarnation, grant: engine.clock.randomHex(16) };
      const agree = () => agreeOnSettings(engine.calls, this.context, claim, { leaseMs, readLeaseMs, codec: codec.name });
      try {
        await agree();
      } catch (error) {
        await engine.stop().catch((cause: unknown) => { this.#events.emit('warning', { message: 'the store did not stop after a failed start', cause }); });
        throw unavailable(error);
      }
      engine.touches.keep(settingsKey(this.context), 3 * leaseMs, agree);
    }
    this.#status = this.#engine.isDraining ? 'draining' : 'up';
  }

  async #stop(): Promise<void> {
    const engine = this.#engine;
    const starting = this.#starting;
    if (starting !== undefined && !await endsWithin(engine.clock, this.#options.storeTimeoutMs, starting)) {
      // The store does not start: it is stopped all the same, and again should it have started after all.
      void starting.then(() => engine.stop()).catch(() => undefined).finally(() => { this.#status = 'stopped'; });
      await engine.calls.stop();
    } else if (starting !== undefined && this.#status !== 'new') {
      await this.drain();
      const untilMs = engine.now() + this.#options.lockTimeoutMs + this.#options.storeTimeoutMs;
      while ((this.#turns.running > 0 || this.#finding > 0) && engine.now() < untilMs) await pause(engine.clock, POLL_MS);
      await engine.stop().finally(() => { this.#status = 'stopped'; });
    }
    this.#status = 'stopped';
  }
}

import type { FindOptions } from '../cluster-store.js';
import type { Absent, Encoded } from '../drivers/session-table.js';
import { ClusterError } from '../errors.js';
import type { ResolvedManagerOptions } from '../options.js';
import { shortName } from '../session-id.js';
import { unavailable, type Asking } from './acquisition.js';
import type { Engine } from './engine.js';
import type { Lifetimes } from './lifetimes.js';
import { copyOf, type Copy, type Held, type Slot } from './ownership.js';
import { Patience } from './patience.js';
import type { Place, Records } from './records.js';
import { Sharing } from './sharing.js';
import type { UnknownIds } from './unknown-ids.js';

type Content = ReadonlyMap<string, Encoded>;

/** Finds sessions for requests: locked, or as the last committed content; from memory where that is allowed. */
export class Finding {
  constructor(
    private readonly engine: Engine, private readonly options: ResolvedManagerOptions, private readonly lifetimes: Lifetimes,
    private readonly records: Records, private readonly unknownIds: UnknownIds,
  ) {}

  asking(options: FindOptions, onLocked = this.options.onLocked): Asking {
    const arrivedMs = this.engine.now();
    const waitMs = options.waitMs ?? (onLocked === 'error' ? 0 : this.options.lockTimeoutMs);
    const patience = new Patience(this.engine, onLocked, options.redirect);
    return { arrivedMs, deadlineMs: arrivedMs + waitMs, signal: options.signal, label: options.label, kind: options.access === 'shared' ? 'shared' : 'request', patience };
  }

  /** When the end of a request, from now on, must have an answer. */
  endBy(): number { return this.engine.now() + this.options.lockTimeoutMs + this.options.storeTimeoutMs; }

  /** Locked at once, if this instance holds it and nobody uses it; undefined: it takes more than one step. */
  lockNow(key: string, label: string | undefined): Place | undefined {
    const { engine } = this;
    const slot = engine.slots.get(key);
    if (slot?.held === undefined || !engine.isFree(slot) || !engine.servesMemory(slot) || !this.lifetimes.isPlainlyAlive(slot.held)) return undefined;
    engine.occupy(slot, label, 'request');
    engine.lease.used();
    engine.countMine();
    return { slot, held: slot.held };
  }

  /** Among those that share the session now, if a request may join them at once; it is expected there. */
  joinNow(key: string): Place | undefined {
    const slot = this.engine.slots.get(key);
    const sharing = slot && this.#joinable(slot);
    return sharing !== undefined && this.engine.isCurrent(sharing.place.held) ? this.#expected(sharing) : undefined;
  }

  /** The committed content at once, if this instance holds the session. */
  contentNow(key: string): Content | undefined {
    const { engine } = this;
    const slot = engine.slots.get(key);
    if (slot?.held === undefined) return undefined;
    // Also if the store must be asked this time: beats that follow make memory readable for the next.
    engine.lease.used();
    if (!engine.servesMemory(slot) || !this.lifetimes.isPlainlyAlive(slot.held)) return undefined;
    engine.countMine();
    this.lifetimes.touchLater(slot.held, key);
    return slot.held.copy.attributes;
  }

  /**
   * Waits for the session and locks it; its slot is entered, or shared with others that expect the request. Undefined: there is none.
   * @throws ClusterError CLUSTER_LOCKED, CLUSTER_QUEUE_FULL, CLUSTER_MOVED, CLUSTER_UNAVAILABLE; or the abort reason
   */
  async lock(key: string, asking: Asking): Promise<Place | undefined> {
    const { engine } = this;
    if (this.unknownIds.has(key)) return undefined;
    const slot = engine.slots.open(key);
    if (asking.kind === 'shared') {
      const joined = await this.#joinOrEnter(slot, asking);
      if (joined !== undefined) return joined;
    } else {
      await this.#enter(slot, asking);
    }
    try {
      const held = await this.#readyAndTouched(slot, key, asking);
      if (held !== undefined) return { slot, held };
    } catch (error) {
      engine.leave(slot);
      throw error;
    }
    engine.leave(slot);
    return undefined;
  }

  async #enter(slot: Slot, asking: Asking): Promise<void> {
    try {
      await this.engine.enter(slot, asking);
    } catch (error) {
      this.engine.slots.settle(slot);
      throw error;
    }
  }

  /** Undefined: the slot is entered, alone. */
  async #joinOrEnter(slot: Slot, asking: Asking): Promise<Place | undefined> {
    // Without a step in between where nothing can be joined: its place in the queue is by arrival.
    const sharing = this.#joinable(slot);
    if (sharing !== undefined) {
      // Before the store is asked, so that the slot is still the one of the session when it has answered.
      const place = this.#expected(sharing);
      if (await this.#holdsStill(slot, place.held) && this.#joinable(slot) === sharing) return place;
      sharing.arrived();
    }
    for (;;) {
      await this.#enter(slot, asking);
      const { user } = slot;
      if (!(user instanceof Sharing)) return undefined;
      if (user.isOpen) return user.place;
      // What it was let in to was lost meanwhile.
      user.arrived();
    }
  }

  /** Those that share the session, if a request may join them: one that waits is not overtaken. */
  #joinable({ user, queue }: Slot): Sharing | undefined {
    return user instanceof Sharing && user.isOpen && queue.isEmpty && this.lifetimes.isPlainlyAlive(user.place.held) ? user : undefined;
  }

  #expected(sharing: Sharing): Place {
    sharing.expect();
    this.engine.lease.used();
    this.engine.countMine();
    return sharing.place;
  }

  /** By memory, or by a read where memory alone does not say. */
  async #holdsStill(slot: Slot, held: Held): Promise<boolean> {
    if (this.engine.isCurrent(held)) return true;
    const record = held.suspect ? undefined : await this.engine.calls.read(slot.key, held.copy.stamp).catch(() => undefined);
    return record?.kind === 'record' && record.holder?.grant === held.claim.grant;
  }

  /** The session of an entered slot, alive; undefined: there is none. */
  async #readyAndTouched(slot: Slot, key: string, asking: Asking): Promise<Held | undefined> {
    const { engine } = this;
    for (;;) {
      const gotten = await engine.ready(slot, asking).catch((error: unknown) => this.#unreadable(error));
      if ('kind' in gotten) {
        this.#noteAbsent(key, gotten.gone);
        return undefined;
      }
      if (this.lifetimes.isOver(engine.now() - gotten.createdMs, engine.now() - gotten.touchedMs, gotten.copy.ownIdleMs)) {
        await this.records.remove(key, gotten.claim.grant, undefined, 'removed', asking.deadlineMs + this.options.storeTimeoutMs);
        slot.forget();
        return undefined;
      }
      await this.lifetimes.touchHeld(gotten, key);
      // Else the touch came too late, or the lease has lapsed meanwhile: the store knows which.
      if (slot.held === gotten) return gotten;
    }
  }

  /** Gives a lock on without a change; the slot stays entered. */
  unlock({ slot, held }: Place): Promise<void> {
    return this.engine.send(slot, held, undefined, this.lifetimes.ofHeld(held), this.endBy());
  }

  /** The last committed content, by one read; waits for nobody. Undefined: there is none. */
  async content(key: string, asking: Asking): Promise<Content | undefined> {
    const { engine } = this;
    if (this.unknownIds.has(key)) return undefined;
    asking.signal?.throwIfAborted();
    if (engine.plain?.readsWithoutLock === false) return this.#contentByLock(key, asking);
    const slot = engine.slots.get(key);
    const held = slot?.held;
    const grant = held?.claim.grant;
    const known = held?.copy ?? slot?.standby;
    const record = await engine.calls.read(key, known?.stamp).catch((error: unknown) => this.#unreadable(unavailable(error)));
    // What the store denies must not be served from memory afterwards.
    const isDenied = slot !== undefined && held !== undefined && slot.held === held && held.claim.grant === grant && !slot.committing;
    if (record.kind === 'absent') {
      if (isDenied) engine.dropRemoved(slot);
      this.#noteAbsent(key, record.gone);
      return undefined;
    }
    if (isDenied && record.holder?.grant !== grant) slot.forget();
    engine.countAffinity(record.holder?.incarnation ?? record.last);
    const copy = record.attributes === undefined && known !== undefined ? known : copyOf(record.stamp, record.attributes ?? new Map<string, Encoded>());
    if (this.lifetimes.isOver(record.ageMs, record.idleMs, copy.ownIdleMs)) return undefined;
    this.#standBy(key, copy);
    // What has ended since the look is not served; the store says why it ended.
    if (await this.lifetimes.touch(key, record, copy.ownIdleMs)) return this.content(key, asking);
    if (record.holder === undefined && engine.keeps(false)) this.#lockInBackground(key);
    return copy.attributes;
  }

  /** The last committed content of a session that was there, whatever memory has; or what says that it has ended. */
  async contentAgain(key: string): Promise<Content | Absent> {
    if (this.engine.plain?.readsWithoutLock === false) {
      return this.contentNow(key) ?? await this.#contentByLock(key, this.asking({})).catch((error: unknown) => {
        if (!ClusterError.is(error, 'CLUSTER_MOVED')) throw error;
        return { kind: 'absent', gone: 'moved' } as const;
      }) ?? { kind: 'absent' };
    }
    const record = await this.engine.calls.read(key).catch((error: unknown) => { throw unavailable(error); });
    return record.kind === 'absent' ? record : record.attributes ?? new Map<string, Encoded>();
  }

  /** For `have` of the next read or acquire, which a hand-written store does not know. */
  #standBy(key: string, copy: Copy): void {
    if (this.engine.isPlain) return;
    const slot = this.engine.slots.open(key);
    if (slot.held === undefined) slot.standby = copy;
    this.engine.slots.settle(slot);
  }

  async #contentByLock(key: string, asking: Asking): Promise<Content | undefined> {
    const place = await this.lock(key, asking);
    if (place === undefined) return undefined;
    const content = place.held.copy.attributes;
    await this.#giveOn(place);
    return content;
  }

  async #giveOn(place: Place): Promise<void> {
    try {
      await this.unlock(place);
    } finally {
      this.engine.leave(place.slot);
    }
  }

  /** So that the next request finds it here; no request waits for it. */
  #lockInBackground(key: string): void {
    const slot = this.engine.slots.get(key);
    if (slot !== undefined && !this.engine.isFree(slot)) return;
    this.lock(key, { ...this.asking({ waitMs: 0 }, 'wait'), kind: 'nobody' }).then((place) => place && this.#giveOn(place)).catch((cause: unknown) => {
      if (ClusterError.is(cause, 'CLUSTER_LOCKED') || ClusterError.is(cause, 'CLUSTER_MOVED')) return;
      this.engine.events.emit('warning', { message: `session ${shortName(key)} could not be acquired ahead of its next request`, cause });
    });
  }

  #noteAbsent(key: string, gone: 'removed' | 'moved' | undefined): void {
    if (gone === 'moved') throw new ClusterError('CLUSTER_MOVED', `session ${shortName(key)} goes on under another id; use the id that the id change returned`);
    if (gone === undefined) this.unknownIds.add(key);
  }

  #unreadable(error: unknown): { readonly kind: 'absent'; readonly gone?: undefined } {
    if (ClusterError.is(error, 'CLUSTER_UNREADABLE') && this.options.onUnreadable === 'absent') return { kind: 'absent' };
    throw error;
  }
}

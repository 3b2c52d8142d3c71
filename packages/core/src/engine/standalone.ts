import type { FindOptions, SessionSnapshot } from '../cluster-store.js';
import type { Clock } from '../clock.js';
import type { Encoded, SessionTable } from '../drivers/session-table.js';
import { ClusterError } from '../errors.js';
import { Events } from '../events.js';
import { defaultBounds, managerOptions } from '../options.js';
import { RECORD_FORMAT } from '../record.js';
import { sameEncoded } from '../session.js';
import { checkSessionId, digestOf, shortName } from '../session-id.js';
import { unavailable, type Gotten } from './acquisition.js';
import type { Changed } from './conflict.js';
import { Engine } from './engine.js';
import type { Held, Slot } from './ownership.js';
import { TOMBSTONE_MS } from './records.js';

const STORE_TIMEOUT_MS = managerOptions.storeTimeoutMs.default;

/** A table used as a ClusterStore of its own, without a manager: find locks, send unlocks. */
export class Standalone {
  readonly #engine: Engine;
  /** Sessions found and not yet sent, by key; a find that is under way is shared. */
  readonly #found = new Map<string, Promise<Gotten>>();
  #context = '';

  constructor(table: SessionTable, instanceId: string, clock: Clock) {
    const { leaseMs, readLeaseMs, maxWaiting } = managerOptions;
    this.#engine = new Engine(table, instanceId, {
      leaseMs: leaseMs.default, readLeaseMs: readLeaseMs.default, storeTimeoutMs: STORE_TIMEOUT_MS, lockHoldMs: 0, maxWaiting: maxWaiting.default,
      maxInMemory: defaultBounds, affinity: 'release',
    }, clock, new Events());
  }

  start(context: string): Promise<void> {
    this.#context = context;
    return this.#engine.start(context);
  }

  stop(): Promise<void> { return this.#engine.stop(); }

  async find(id: string, { waitMs = 0, signal, label }: FindOptions): Promise<SessionSnapshot | undefined> {
    const engine = this.#engine;
    const key = this.#keyOf(id);
    const slot = engine.slots.open(key);
    const arrivedMs = engine.now();
    const asking = { arrivedMs, deadlineMs: arrivedMs + waitMs, signal, label, kind: 'request' } as const;
    // Found before: somebody else may have removed it since.
    const before = this.#found.get(key);
    const finding = before === undefined ? engine.ready(slot, asking) : before.then(() => engine.ready(slot, asking));
    engine.occupy(slot, label, 'request');
    this.#found.set(key, finding);
    const leave = () => { if (this.#found.get(key) === finding) this.#leave(slot); };
    finding.then((gotten) => { if ('kind' in gotten) leave(); }, leave);
    const gotten = await finding;
    if ('kind' in gotten) {
      if (gotten.gone === 'moved') throw movedAway(key);
      return undefined;
    }
    return this.#snapshotOf(id, gotten);
  }

  async send(session: SessionSnapshot, { keep, isNew }: { readonly keep: boolean; readonly isNew: boolean }): Promise<void> {
    const engine = this.#engine;
    const key = this.#keyOf(session.id);
    const slot = engine.slots.open(key);
    if (isNew) {
      await this.#create(slot, session, keep);
      return;
    }
    const gotten = await this.#found.get(key);
    if (gotten === undefined || 'kind' in gotten || slot.held !== gotten) {
      if (gotten === undefined) engine.slots.settle(slot);
      else this.#leave(slot);
      throw this.#fenced(key);
    }
    try {
      const change = changeFrom(gotten.copy.attributes, session.attributes);
      if (keep && change === undefined) await this.#liveOn(slot, gotten, session.lifetimeMs);
      else await engine.send(slot, gotten, change, session.lifetimeMs, engine.now() + STORE_TIMEOUT_MS, keep);
      if (keep) return;
    } catch (error) {
      this.#leave(slot);
      throw ClusterError.is(error, 'CLUSTER_SESSION_ENDED') ? this.#fenced(key, error) : error;
    }
    this.#leave(slot);
  }

  /** A lock that is kept and nothing that is written: what is left is the lifetime. */
  async #liveOn(slot: Slot, held: Held, lifetimeMs: number): Promise<void> {
    const { kind } = await this.#engine.calls.commit(slot.key, held.claim.grant, undefined, { change: undefined, lifetimeMs }, 'keep');
    if (kind !== 'done') {
      slot.forget();
      throw this.#fenced(slot.key);
    }
    held.touchedMs = this.#engine.now();
    held.lifetimeMs = lifetimeMs;
  }

  async remove(id: string, why: 'removed' | 'moved'): Promise<void> {
    const key = this.#keyOf(id);
    const gotten = why === 'moved' ? await this.#found.get(key) : undefined;
    const grant = gotten === undefined || 'kind' in gotten ? undefined : gotten.claim.grant;
    if (why === 'moved' && grant === undefined) throw this.#fenced(key);
    const slot = this.#engine.slots.get(key);
    const answer = await this.#engine.calls.remove(key, grant, undefined, why, TOMBSTONE_MS);
    if (answer.kind === 'removed' && answer.holder !== undefined && !this.#engine.lease.owns(answer.holder.incarnation)) {
      await this.#engine.revokes.confirm(key, answer.holder, STORE_TIMEOUT_MS);
    }
    slot?.forget();
    if (slot !== undefined && this.#found.has(key)) this.#leave(slot);
    else if (slot !== undefined) this.#engine.slots.settle(slot);
    if (answer.kind !== 'removed') throw answer.kind === 'fenced' && answer.gone === 'moved' ? movedAway(key) : this.#fenced(key);
  }

  async read(id: string): Promise<SessionSnapshot | undefined> {
    const record = await this.#engine.calls.read(this.#keyOf(id)).catch((error: unknown) => { throw unavailable(error); });
    if (record.kind === 'record') return { ...record, id, attributes: record.attributes ?? new Map<string, Encoded>() };
    if (record.gone === 'moved') throw movedAway(this.#keyOf(id));
    return undefined;
  }

  async touch(lifetimesMs: ReadonlyMap<string, number>): Promise<void> {
    await this.#engine.calls.touch(new Map([...lifetimesMs].map(([id, lifetimeMs]) => [this.#keyOf(id), lifetimeMs])));
  }

  async #create(slot: Slot, session: SessionSnapshot, keep: boolean): Promise<void> {
    const engine = this.#engine;
    const claim = { incarnation: engine.lease.incarnation, grant: engine.clock.randomHex(16) };
    engine.occupy(slot, undefined, 'request');
    slot.claim = claim;
    const write = { change: { set: session.attributes, remove: [], whole: true }, lifetimeMs: session.lifetimeMs };
    try {
      if (await engine.calls.create(slot.key, claim, write, keep ? 'keep' : 'release') === 'exists') throw this.#fenced(slot.key);
    } catch (error) {
      this.#leave(slot);
      throw error;
    }
    if (!keep) {
      this.#leave(slot);
      return;
    }
    this.#found.set(slot.key, Promise.resolve(engine.acquisition.hold(slot, claim, {
      kind: 'record', format: RECORD_FORMAT, stamp: { grant: claim.grant, version: 1 }, holder: claim, last: undefined,
      ageMs: 0, idleMs: 0, lifetimeMs: session.lifetimeMs, attributes: session.attributes,
    }, false)));
  }

  #leave(slot: Slot): void {
    this.#found.delete(slot.key);
    this.#engine.leave(slot);
  }

  #keyOf(id: string): string {
    checkSessionId(id);
    return `${this.#context}.s.${digestOf(id)}`;
  }

  #snapshotOf(id: string, held: Held): SessionSnapshot {
    const now = this.#engine.now();
    return { id, attributes: held.copy.attributes, ageMs: now - held.createdMs, idleMs: now - held.touchedMs, lifetimeMs: held.lifetimeMs };
  }

  #fenced(key: string, cause?: unknown): ClusterError {
    return new ClusterError('CLUSTER_FENCED', `session ${shortName(key)} is not locked by this instance, or has ended; nothing was changed; find it first`, { cause });
  }
}

const movedAway = (key: string) => new ClusterError('CLUSTER_MOVED', `session ${shortName(key)} goes on under another id`);

function changeFrom(before: ReadonlyMap<string, Encoded>, after: ReadonlyMap<string, Encoded>): Changed | undefined {
  const set = new Map([...after].filter(([name, encoded]) => !sameEncoded(before.get(name), encoded)));
  const remove = [...before.keys()].filter((name) => !after.has(name));
  return set.size === 0 && remove.length === 0 ? undefined : { change: { set, remove, whole: false }, content: after };
}

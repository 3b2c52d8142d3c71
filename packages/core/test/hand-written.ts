import { ClusterError, DistributedManager, type ClusterStore, type FindOptions, type ManagerOptions, type SessionSnapshot } from '../src/index.js';
import { Clock } from '../src/driver.js';

export interface Row { snapshot: SessionSnapshot; holder: string | undefined }

/** What a user's own store might share between its instances. */
export class Shared {
  readonly rows = new Map<string, Row>();
  readonly moved = new Set<string>();
}

export class HandWritten implements ClusterStore {
  calls: string[] = [];
  fail: ((call: string) => Promise<void> | undefined) | undefined;
  /** What becomes of the answer to a call that was done. */
  answer: ((call: string) => Promise<void> | undefined) | undefined;
  isStopped = false;

  constructor(readonly instanceId: string, private readonly shared: Shared) {}

  async start(): Promise<void> { await this.#called('start'); }
  async stop(): Promise<void> {
    this.isStopped = true;
    for (const row of this.shared.rows.values()) if (row.holder === this.instanceId) row.holder = undefined;
  }

  async findSession(id: string, { waitMs }: FindOptions): Promise<SessionSnapshot | undefined> {
    await this.#called(`find ${waitMs ?? 'for ever'}`);
    if (this.shared.moved.has(id)) throw new ClusterError('CLUSTER_MOVED', 'moved');
    const row = this.shared.rows.get(id);
    if (row === undefined) return undefined;
    if (row.holder !== undefined && row.holder !== this.instanceId) throw new ClusterError('CLUSTER_LOCKED', 'locked');
    row.holder = this.instanceId;
    return row.snapshot;
  }

  async sendSession(session: SessionSnapshot, { keep, isNew }: { readonly keep: boolean; readonly isNew: boolean }): Promise<void> {
    await this.#called(keep ? 'send keep' : 'send');
    const row = this.shared.rows.get(session.id);
    if (isNew ? row !== undefined : row?.holder !== this.instanceId) throw new ClusterError('CLUSTER_FENCED', 'not yours');
    this.shared.rows.set(session.id, { snapshot: session, holder: keep ? this.instanceId : undefined });
    await this.answer?.(keep ? 'send keep' : 'send');
  }

  async removeSession(id: string, why: 'removed' | 'moved'): Promise<void> {
    await this.#called(`remove ${why}`);
    if (this.shared.moved.has(id)) throw new ClusterError('CLUSTER_MOVED', 'moved');
    if (why === 'moved' && this.shared.rows.get(id)?.holder !== this.instanceId) throw new ClusterError('CLUSTER_FENCED', 'not yours');
    this.shared.rows.delete(id);
    if (why === 'moved') this.shared.moved.add(id);
    await this.answer?.(`remove ${why}`);
  }

  receiveSession(): void { return undefined; }

  async #called(call: string): Promise<void> {
    this.calls.push(call);
    await this.fail?.(call);
  }
}

export class WithRead extends HandWritten {
  readonly touched: string[] = [];
  constructor(instanceId: string, private readonly space: Shared) { super(instanceId, space); }
  async readSession(id: string): Promise<SessionSnapshot | undefined> {
    this.calls.push('read');
    const snapshot = this.space.rows.get(id)?.snapshot;
    await this.answer?.('read');
    return snapshot;
  }
  async touchSessions(lifetimesMs: ReadonlyMap<string, number>): Promise<void> { this.touched.push(...lifetimesMs.keys()); }
}

export const clock = Clock.manual();
export const managers: DistributedManager[] = [];

export function make(store: ClusterStore, options: ManagerOptions = {}): DistributedManager {
  const manager = new DistributedManager(store, { clock, lockTimeoutMs: 2_000, storeTimeoutMs: 500, affinity: 'keep', ...options });
  managers.push(manager);
  return manager;
}

export async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  const state = { isSettled: false };
  const settled = () => { state.isSettled = true; };
  promise.then(settled, settled);
  for (let passed = 0; passed <= ms; passed += 5) {
    await clock.advance(passed === 0 ? 0 : 5);
    if (state.isSettled) return promise;
  }
  throw new Error(`not settled within ${ms} ms`);
}

export async function created(manager: DistributedManager): Promise<string> {
  const session = manager.createSession();
  session.set('n', 0);
  await within(100, manager.sendSession(session));
  return session.id;
}

import { systemClock, type Clock } from '../clock.js';
import { ClusterError } from '../errors.js';
import type { Stored } from '../record.js';
import { absent, acquireStep, aged, commitStep, createStep, remainingMs, removeStep, sessionRecord, touchStep, type Step } from './record-steps.js';
import type {
  Absent, Acquired, Claim, Committed, DriverContext, Gone, Message, Removed, SessionRecord, SessionTable, Stamp, Then, Write,
} from './session-table.js';

/** `beatMs`: when the last beat came. */
interface Lease { readonly n: number; readonly isEnded: boolean; readonly beatMs: number; readonly endMs: number }
interface Kept { readonly stored: Stored; readonly putMs: number; readonly endMs: number }

/** What several tables of one process have in common. */
interface Space {
  readonly clock: Clock;
  readonly kept: Map<string, Kept>;
  readonly leases: Map<string, Lease>;
  readonly listeners: Map<string, (message: Message) => void>;
}

/**
 * Sessions in this process's memory: gone with it. Tables that share a space are instances of one cluster, and since they share a
 * process, an instance that does not listen has certainly stopped.
 */
export class MemoryTable implements SessionTable {
  readonly capabilities = { delta: true, durability: 'process', gone: 'dead', rollback: false } as const;
  readonly #space: Space;
  #context: DriverContext | undefined;

  /** @param options.shareWith shares its space and its clock */
  constructor(options: { readonly clock?: Clock; readonly shareWith?: MemoryTable } = {}) {
    this.#space = options.shareWith === undefined
      ? { clock: options.clock ?? systemClock, kept: new Map(), leases: new Map(), listeners: new Map() } : options.shareWith.#space;
  }

  /** The clock of the space. */
  get clock(): Clock { return this.#space.clock; }

  async start(context: DriverContext): Promise<void> {
    const address = addressOf(context, context.instanceId);
    if (this.#space.listeners.has(address)) {
      throw new ClusterError('CLUSTER_BAD_OPTION', `instanceId: expected one that no running instance has, found '${context.instanceId}'`);
    }
    this.#space.listeners.set(address, context.receive);
    this.#context = context;
    context.listening(true);
  }

  async stop(): Promise<void> {
    if (this.#context === undefined) return;
    this.#space.listeners.delete(addressOf(this.#context, this.#context.instanceId));
    this.#context = undefined;
  }

  acquire(key: string, claim: Claim, from?: string, have?: Stamp): Promise<Acquired> {
    return this.#step(key, (present) => acquireStep(present, claim, from, have));
  }

  create(key: string, claim: Claim, write: Write, then: 'keep' | 'release'): Promise<'created' | 'exists'> {
    return this.#step(key, (present) => createStep(present, claim, write, then));
  }

  commit(key: string, grant: string, base: Stamp | undefined, write: Write, then: Then): Promise<Committed> {
    return this.#step(key, (present) => commitStep(present, grant, base, write, then));
  }

  remove(key: string, grant: string | undefined, base: Stamp | undefined, why: Gone, keepMs: number): Promise<Removed> {
    return this.#step(key, (present) => removeStep(present, grant, base, why, keepMs));
  }

  read(key: string, have?: Stamp): Promise<SessionRecord | Absent> {
    return this.#step<SessionRecord | Absent>(key, (present) => ({ answer: present?.kind === 'record' ? sessionRecord(present, have) : absent(present) }));
  }

  async touch(lifetimes: ReadonlyMap<string, number>): Promise<ReadonlySet<string>> {
    const gone = new Set<string>();
    for (const [key, lifetimeMs] of lifetimes) {
      if (await this.#step(key, (present) => touchStep(present, lifetimeMs)) === 'gone') gone.add(key);
    }
    return gone;
  }

  async beat(incarnation: string, n: number, leaseMs: number): Promise<{ readonly generation: string } | 'lapsed'> {
    this.#assertStarted();
    const lease = this.#lease(incarnation);
    if (lease === undefined ? n > 0 : lease.isEnded) return 'lapsed';
    if (lease === undefined || lease.n < n) this.#putLease(incarnation, n, false, 3 * leaseMs);
    return { generation: '' };
  }

  async lapse(incarnation: string, quietMs: number): Promise<number> {
    this.#assertStarted();
    const lease = this.#lease(incarnation);
    if (lease === undefined || lease.isEnded) return 0;
    const waitMs = quietMs - (this.#nowMs() - lease.beatMs);
    if (waitMs > 0) return Math.max(1, Math.ceil(waitMs));
    // For as long again as it would have been there: nobody beats under it any more.
    this.#putLease(incarnation, lease.n, true, 2 * (lease.endMs - lease.beatMs));
    return 0;
  }

  async signal(instanceId: string, message: Message): Promise<boolean> {
    const { listeners } = this.#space;
    const address = addressOf(this.#assertStarted(), instanceId);
    const addressed = listeners.get(address);
    if (addressed === undefined) return false;
    queueMicrotask(() => { if (listeners.get(address) === addressed) addressed(message); });
    return true;
  }

  async sweep(limit: number): Promise<number> {
    let swept = 0;
    for (const kept of [this.#space.kept, this.#space.leases]) {
      for (const [key, { endMs }] of kept) {
        if (swept >= limit) return swept;
        if (endMs > this.#nowMs()) continue;
        kept.delete(key);
        swept += 1;
      }
    }
    return swept;
  }

  async *keys(): AsyncGenerator<string> {
    const { context } = this.#assertStarted();
    for (const key of [...this.#space.kept.keys()]) if (key.startsWith(`${context}.`) && this.#present(key) !== undefined) yield key;
  }

  /** Each call is one step: nothing comes between the look and the put. */
  #step<A>(key: string, decide: (present: Stored | undefined) => Step<A>): Promise<A> {
    try {
      this.#assertStarted();
      const { put, answer } = decide(this.#present(key));
      if (put !== undefined) {
        const putMs = this.#nowMs();
        this.#space.kept.set(key, { stored: put, putMs, endMs: putMs + remainingMs(put) });
      }
      return Promise.resolve(answer);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #present(key: string): Stored | undefined {
    const kept = this.#space.kept.get(key);
    if (kept === undefined) return undefined;
    const sinceMs = this.#nowMs() - kept.putMs;
    const present = aged(kept.stored, sinceMs, sinceMs);
    if (present === undefined) this.#space.kept.delete(key);
    return present;
  }

  #lease(incarnation: string): Lease | undefined {
    const lease = this.#space.leases.get(incarnation);
    return lease !== undefined && lease.endMs > this.#nowMs() ? lease : undefined;
  }

  #putLease(incarnation: string, n: number, isEnded: boolean, forMs: number): void {
    const beatMs = this.#nowMs();
    this.#space.leases.set(incarnation, { n, isEnded, beatMs, endMs: beatMs + forMs });
  }

  #nowMs(): number { return this.#space.clock.monotonicMs(); }

  #assertStarted(): DriverContext {
    if (this.#context === undefined) throw new ClusterError('CLUSTER_UNAVAILABLE', 'the memory store has not been started, or was stopped');
    return this.#context;
  }
}

const addressOf = ({ context }: DriverContext, instanceId: string): string => `${context}.${instanceId}`;

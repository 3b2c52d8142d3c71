import { systemClock, type Clock } from '../clock.js';
import { ClusterError } from '../errors.js';
import type { Entry, Found, SessionMap } from './session-map.js';
import type { DriverContext, Message } from './session-table.js';

interface Kept { readonly value: string; readonly revision: string; readonly putMs: number; readonly endMs: number }

/** What several maps of one process have in common. */
interface Space {
  readonly clock: Clock;
  readonly kept: Map<string, Kept>;
  readonly listeners: Map<string, (message: Message) => void>;
  puts: number;
}

/**
 * Sessions in this process's memory: gone with it. Maps that share a space are instances of one cluster, and since they share a
 * process, an instance that does not listen has certainly stopped.
 */
export class MemoryMap implements SessionMap {
  readonly capabilities = { durability: 'process', gone: 'dead', rollback: false } as const;
  readonly #space: Space;
  #context: DriverContext | undefined;

  /** @param options.shareWith shares its space and its clock */
  constructor(options: { readonly clock?: Clock; readonly shareWith?: MemoryMap } = {}) {
    this.#space = options.shareWith === undefined
      ? { clock: options.clock ?? systemClock, kept: new Map(), listeners: new Map(), puts: 0 } : options.shareWith.#space;
  }

  /** The clock of the space. */
  get clock(): Clock {
    return this.#space.clock;
  }

  async start(context: DriverContext): Promise<void> {
    const address = addressOf(context.context, context.instanceId);
    if (this.#space.listeners.has(address)) {
      throw new ClusterError('CLUSTER_BAD_OPTION', `instanceId: expected one that no running instance has, found '${context.instanceId}'`);
    }
    this.#space.listeners.set(address, context.receive);
    this.#context = context;
    context.listening(true);
  }

  async stop(): Promise<void> {
    if (this.#context === undefined) return;
    this.#space.listeners.delete(addressOf(this.#context.context, this.#context.instanceId));
    this.#context = undefined;
  }

  async get(key: string): Promise<Found | undefined> {
    const kept = this.#present(key);
    return kept && { value: kept.value, revision: kept.revision, ageMs: this.#nowMs() - kept.putMs };
  }

  async compareAndSet(key: string, expected: string | undefined, { value, lifetimeMs }: Entry): Promise<string | undefined> {
    if (this.#present(key)?.revision !== expected) return undefined;
    const revision = String(++this.#space.puts);
    this.#space.kept.set(key, { value, revision, putMs: this.#nowMs(), endMs: this.#nowMs() + lifetimeMs });
    return revision;
  }

  async signal(instanceId: string, message: Message): Promise<boolean> {
    const { listeners } = this.#space;
    const address = addressOf(this.#context?.context, instanceId);
    const addressed = listeners.get(address);
    if (addressed === undefined) return false;
    queueMicrotask(() => { if (listeners.get(address) === addressed) addressed(message); });
    return true;
  }

  async sweep(limit: number): Promise<number> {
    let swept = 0;
    for (const [key, kept] of this.#space.kept) {
      if (swept >= limit) break;
      if (kept.endMs > this.#nowMs()) continue;
      this.#space.kept.delete(key);
      swept += 1;
    }
    return swept;
  }

  async *keys(): AsyncGenerator<string> {
    const prefix = this.#context === undefined ? '' : `${this.#context.context}.`;
    for (const key of [...this.#space.kept.keys()]) if (key.startsWith(prefix) && this.#present(key) !== undefined) yield key;
  }

  #nowMs(): number {
    return this.#space.clock.monotonicMs();
  }

  #present(key: string): Kept | undefined {
    const kept = this.#space.kept.get(key);
    if (kept === undefined || kept.endMs > this.#nowMs()) return kept;
    this.#space.kept.delete(key);
    return undefined;
  }
}

const addressOf = (context: string | undefined, instanceId: string): string => `${context ?? ''}.${instanceId}`;

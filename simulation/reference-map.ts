import type { Entry, Found, SessionMap, StoreCapabilities } from '@cluster/core/driver';
import type { Link } from './link.js';
import type { Network } from './network.js';
import type { Process } from './process.js';
import type { Observer } from './reference-table.js';

interface Kept { readonly value: string; readonly revision: string; readonly putMs: number; readonly endMs: number }

/** What all maps of one simulated store share. */
export class MapSpace {
  kept = new Map<string, Kept>();
  generation = 1;
  #puts = 0;

  constructor(private readonly nowMs: () => number, readonly hasClock: boolean, private readonly observe: Observer) {}

  save(): ReadonlyMap<string, Kept> { return new Map(this.kept); }

  rollBack(kept: ReadonlyMap<string, Kept>): void {
    this.kept = new Map(kept);
    this.generation += 1;
  }

  get(key: string): Found | undefined {
    const kept = this.#present(key);
    return kept && { value: kept.value, revision: kept.revision, ...(this.hasClock ? { ageMs: this.nowMs() - kept.putMs } : {}) };
  }

  compareAndSet(key: string, expected: string | undefined, { value, lifetimeMs }: Entry): string | undefined {
    if (this.#present(key)?.revision !== expected) return undefined;
    const revision = String(++this.#puts);
    this.kept.set(key, { value, revision, putMs: this.nowMs(), endMs: this.nowMs() + lifetimeMs });
    if (key.includes('.s.')) this.#show(key, value);
    return revision;
  }

  hasEnded(leaseKey: string): boolean { return (this.#present(leaseKey)?.value ?? 'ended') === 'ended'; }

  #present(key: string): Kept | undefined {
    const kept = this.kept.get(key);
    return kept === undefined || kept.endMs > this.nowMs() ? kept : undefined;
  }

  #show(key: string, value: string): void {
    // Written by the table over this map; what else is in it is not looked at.
    const { kind, stamp, attributes } = JSON.parse(value) as { kind: string; stamp: { grant: string; version: number }; attributes: Record<string, string> };
    if (kind === 'record') this.observe(key, stamp, new Map(Object.entries(attributes)));
  }
}

/** The map of one process: what becomes of each get and put is decided by its link. */
export class LinkedMap implements SessionMap {
  readonly capabilities: Omit<StoreCapabilities, 'delta'>;
  readonly generation?: () => string;
  readonly signal?: (instanceId: string, message: string) => Promise<boolean>;

  constructor(
    private readonly space: MapSpace, capabilities: Omit<StoreCapabilities, 'delta'>, private readonly link: Link, private readonly network: Network,
    private readonly process: Process, hasSignals: boolean,
  ) {
    this.capabilities = capabilities;
    if (hasSignals) this.signal = (instanceId, message) => network.send(process, instanceId, message);
    // A client learns of a fail-over when it reconnects; here at once.
    if (capabilities.rollback) this.generation = () => String(space.generation);
  }

  async start({ receive, listening }: Parameters<NonNullable<SessionMap['start']>>[0]): Promise<void> {
    this.network.listen(this.process, receive, listening);
  }

  async stop(): Promise<void> { this.network.leave(this.process); }

  get(key: string): Promise<Found | undefined> {
    return this.link.call('get', this.link.isTraced ? `get ${shortKey(key)}` : 'get', () => this.space.get(key), false);
  }

  compareAndSet(key: string, expected: string | undefined, entry: Entry): Promise<string | undefined> {
    const name = this.link.isTraced ? `put ${shortKey(key)} over ${expected ?? 'nothing'}: ${entry.value.replaceAll(/([0-9a-f]{6})[0-9a-f]{26}/g, '$1')}` : 'put';
    return this.link.call('put', name, () => this.space.compareAndSet(key, expected, entry), true, (revision) => revision !== undefined);
  }
}

const shortKey = (key: string): string => key.replace(/\.s\.([0-9a-f]{6}).*/, '.s.$1');

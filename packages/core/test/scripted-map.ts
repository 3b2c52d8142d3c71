import type { Entry, Found, SessionMap } from '../src/drivers/session-map.js';
import type { DriverContext } from '../src/drivers/session-table.js';
import type { Clock } from '../src/clock.js';
import { MemoryMap } from './memory-map.js';

type Fate = 'executed, then rejected' | 'rejected';

/** A memory map that counts its calls and misbehaves where a test says so. */
export class ScriptedMap implements SessionMap {
  readonly capabilities = { durability: 'process', gone: 'unknown', rollback: true } as const;
  readonly inner: MemoryMap;
  calls: string[] = [];
  /** What becomes of the next puts, one by one. */
  fates: Fate[] = [];
  /** Runs just before the next put: somebody else was quicker. */
  meanwhile: (() => Promise<unknown>) | undefined;
  /** Runs before every put, if set. */
  always: (() => Promise<unknown>) | undefined;
  dated = true;
  /** Returns entries that have expired, as a store without a clock may do. */
  forgetful = false;
  generationName: string | undefined;
  lastEntry: Entry | undefined;
  readonly #everything = new Map<string, Found>();

  constructor(clock: Clock) {
    this.inner = new MemoryMap(clock);
  }

  start(context: DriverContext): Promise<void> {
    return this.inner.start(context);
  }

  async get(key: string): Promise<Found | undefined> {
    this.calls.push('get');
    const found = await this.inner.get(key) ?? (this.forgetful ? this.#everything.get(key) : undefined);
    return found && (this.dated ? found : { value: found.value, revision: found.revision });
  }

  async compareAndSet(key: string, expected: string | undefined, entry: Entry): Promise<string | undefined> {
    this.calls.push('put');
    this.lastEntry = entry;
    const { meanwhile } = this;
    this.meanwhile = undefined;
    await meanwhile?.();
    await this.always?.();
    const fate = this.fates.shift();
    if (fate === 'rejected') throw new Error('connection lost');
    const lifetimeMs = this.forgetful ? 1e9 : entry.lifetimeMs;
    const revision = await this.inner.compareAndSet(key, expected, { ...entry, lifetimeMs });
    if (revision !== undefined) this.#everything.set(key, { value: entry.value, revision });
    if (fate !== undefined) throw new Error('connection lost');
    return revision;
  }

  generation(): string {
    return this.generationName ?? '';
  }

  /** The calls since the last look, as `get put put`. */
  took(): string {
    const calls = this.calls.join(' ');
    this.calls = [];
    return calls;
  }
}

export const sessionKey = (digit: string): string => `shop.s.${digit.repeat(64)}`;

export const context = (instanceId = 'a'): DriverContext => ({ context: 'shop', instanceId, receive: () => undefined, listening: () => undefined });

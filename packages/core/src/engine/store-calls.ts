import type { Clock } from '../clock.js';
import type { Acquired, Claim, Committed, Creation, DriverContext, Gone, Message, Removed, SessionRecord, SessionTable, Absent, Stamp, Then, Write } from '../drivers/session-table.js';
import { ClusterError } from '../errors.js';
import { Deadlines } from './deadlines.js';

/** True if the store certainly changed nothing; any other rejection leaves the outcome unknown. */
export const refused = (error: unknown): boolean => ClusterError.is(error) && error.code !== 'CLUSTER_UNKNOWN_OUTCOME';

export const RETRY_MS = 50;

/** How long to wait before the next try of something that must end by `untilMs`. */
export const retryInMs = (nowMs: number, untilMs: number): number => Math.max(1, Math.min(RETRY_MS, untilMs - nowMs));

/** A table whose calls are counted and end within `timeoutMs`, and by `untilMs` at the latest: what a driver does not answer by then is unknown. */
export class StoreCalls implements Omit<SessionTable, 'capabilities' | 'sweep' | 'keys' | 'stored'> {
  readonly counts: Record<string, number> = {};
  readonly #deadlines: Deadlines;

  constructor(readonly table: SessionTable, private readonly clock: Clock, private readonly timeoutMs: number) {
    this.#deadlines = new Deadlines(clock);
  }

  get capabilities() { return this.table.capabilities; }

  start(context: DriverContext): Promise<void> { return this.table.start(context); }
  stop(): Promise<void> { return this.table.stop().finally(() => { this.#deadlines.rest(); }); }
  acquire(key: string, claim: Claim, from?: string, have?: Stamp, untilMs?: number): Promise<Acquired> {
    return this.#within('acquire', () => this.table.acquire(key, claim, from, have), untilMs);
  }
  create(key: string, claim: Claim, write: Creation, then: 'keep' | 'release', untilMs?: number): Promise<'created' | 'exists'> {
    return this.#within('create', () => this.table.create(key, claim, write, then), untilMs);
  }
  commit(key: string, grant: string, base: Stamp | undefined, write: Write, then: Then, untilMs?: number): Promise<Committed> {
    return this.#within('commit', () => this.table.commit(key, grant, base, write, then), untilMs);
  }
  remove(key: string, grant: string | undefined, base: Stamp | undefined, why: Gone, keepMs: number, untilMs?: number): Promise<Removed> {
    return this.#within('remove', () => this.table.remove(key, grant, base, why, keepMs), untilMs);
  }
  read(key: string, have?: Stamp): Promise<SessionRecord | Absent> {
    return this.#within('read', () => this.table.read(key, have));
  }
  touch(lifetimes: ReadonlyMap<string, number>): Promise<ReadonlySet<string>> {
    return this.#within('touch', () => this.table.touch(lifetimes));
  }
  beat(incarnation: string, n: number, leaseMs: number): Promise<{ readonly generation: string } | 'lapsed'> {
    return this.#within('beat', () => this.table.beat(incarnation, n, leaseMs));
  }
  lapse(incarnation: string, quietMs: number, untilMs?: number): Promise<number> {
    return this.#within('lapse', () => this.table.lapse(incarnation, quietMs), untilMs);
  }
  /** Signals are hints: one that fails or takes too long counts as unsure. */
  async signal(instanceId: string, message: Message, untilMs?: number): Promise<boolean> {
    try {
      return await this.#within('signal', () => this.table.signal(instanceId, message), untilMs);
    } catch {
      return true;
    }
  }

  #within<T>(method: string, call: () => Promise<T>, untilMs = Infinity): Promise<T> {
    this.counts[method] = (this.counts[method] ?? 0) + 1;
    const timeoutMs = untilMs === Infinity ? this.timeoutMs : Math.max(1, Math.min(this.timeoutMs, untilMs - this.clock.monotonicMs()));
    return new Promise<T>((resolve, reject) => {
      const cancel = this.#deadlines.add(() => {
        reject(new ClusterError('CLUSTER_UNKNOWN_OUTCOME', `the store did not answer '${method}' within ${Math.round(timeoutMs)} ms`));
      }, timeoutMs);
      const fail = (cause: unknown) => {
        cancel();
        reject(ClusterError.is(cause) ? cause : new ClusterError('CLUSTER_UNKNOWN_OUTCOME', `the store failed in '${method}'`, { cause }));
      };
      try {
        call().then((answer) => { cancel(); resolve(answer); }, fail);
      } catch (error) {
        fail(error);
      }
    });
  }
}

import { systemClock, type Clock } from '../clock.js';
import { ClusterError } from '../errors.js';
import { readStored, writeStored, type Stored } from '../record.js';
import { LogLeases } from './log-leases.js';
import { LANDS_MS } from './log-reducer.js';
import { LogSteps, type Present } from './log-steps.js';
import { absent, acquiring, commitStep, createStep, microsecond, remainingMs, removeStep, sessionRecord, touchStep, type Step } from './record-steps.js';
import type { SessionLog } from './session-log.js';
import type {
  Absent, Acquired, Claim, Committed, Creation, DriverContext, Gone, Message, Removed, SessionRecord, SessionTable, Stamp, StoreCapabilities, Then, Write,
} from './session-table.js';

const TOUCHES_AT_ONCE = 64;
/** However short a call may be: a mark is shared by those who come later, and one that got lost is sent again only while somebody waits. */
const LEAST_PATIENCE_MS = 5_000;
/** Than whoever calls gives up: so that he hears why. */
const SOONER_MS = 1_000;
/** By how much a log's time jumps at most: a broker's clock, or that of any instance that writes. */
const HOUR_MS = 3_600_000;
const WEEK_MS = 7 * 24 * HOUR_MS;

/**
 * A session table over any session log. Every instance reads all of it; a step is one record that names the content it was made of,
 * and what became of it is known when its own echo is read. What is answered without a record rests on a barrier of its own.
 */
export class LogTable implements SessionTable {
  readonly capabilities: StoreCapabilities;
  #steps: LogSteps | undefined;
  #leases: LogLeases | undefined;
  #context: DriverContext | undefined;

  constructor(private readonly log: SessionLog, private readonly clock: Clock = systemClock) {
    // Nobody listens, says the log of no instance.
    this.capabilities = { ...log.capabilities, delta: false, gone: log.signal === undefined ? 'unknown' : log.capabilities.gone };
  }

  async start(context: DriverContext): Promise<void> {
    if (this.#context !== undefined) return;
    this.#context = context;
    try {
      await this.#begin(context);
    } catch (error) {
      // A log that was started goes on reading else.
      await this.stop();
      throw error;
    }
  }

  async #begin(context: DriverContext): Promise<void> {
    const patienceMs = Math.min(Math.max((context.storeTimeoutMs ?? 0) - SOONER_MS, LEAST_PATIENCE_MS), LANDS_MS);
    await this.log.start?.({ ...context, storeTimeoutMs: patienceMs });
    // By now it may have been stopped.
    if (this.#context !== context) throw stopped();
    const addressed = this.log.signal === undefined ? addressOf(context, context.instanceId) : undefined;
    const steps = new LogSteps(this.log, this.clock, context, addressed, patienceMs);
    this.#steps = steps;
    this.#leases = new LogLeases(steps, (incarnation) => `${context.context}.l.${incarnation}`, this.log.retainedBytes === undefined ? HOUR_MS : WEEK_MS);
    await steps.start();
  }

  async stop(): Promise<void> {
    const wasStarted = this.#context !== undefined;
    this.#context = undefined;
    this.#steps?.stop(stopped());
    this.#steps = undefined;
    this.#leases = undefined;
    if (wasStarted) await this.log.stop?.();
  }

  acquire(key: string, claim: Claim, from?: string, have?: Stamp): Promise<Acquired> {
    const { decide, contended } = acquiring(claim, from, have);
    return this.#step<Acquired>(key, decide, false, contended);
  }

  create(key: string, claim: Claim, write: Creation, then: 'keep' | 'release'): Promise<'created' | 'exists'> {
    return this.#step(key, (present) => {
      const step = createStep(present, claim, write, then);
      // A change of an id makes room right after, and without settings no instance starts: it may be the one that makes room.
      if (step.put !== undefined && (write.of ?? 'session') === 'session') this.#assertRoom();
      return step;
    }, true);
  }

  commit(key: string, grant: string, base: Stamp | undefined, write: Write, then: Then): Promise<Committed> {
    return this.#step(key, (present) => commitStep(present, grant, base, write, then), write.lifetimeMs > 0);
  }

  remove(key: string, grant: string | undefined, base: Stamp | undefined, why: Gone, keepMs: number): Promise<Removed> {
    return this.#step(key, (present) => removeStep(present, grant, base, why, keepMs), true);
  }

  async read(key: string, have?: Stamp): Promise<SessionRecord | Absent> {
    return this.#step<SessionRecord | Absent>(key, (present) => ({ answer: present?.kind === 'record' ? sessionRecord(present, have) : absent(present) }), false);
  }

  async touch(lifetimes: ReadonlyMap<string, number>): Promise<ReadonlySet<string>> {
    const steps = this.#started;
    const gone = new Set<string>();
    const queue = lifetimes.entries();
    const worker = async () => {
      for (const [key, lifetimeMs] of queue) {
        const isThere = await steps.touch(key, (present) => {
          const { put } = touchStep(storedOf(key, present), lifetimeMs);
          return put?.lifetimeMs;
        });
        if (!isThere) gone.add(key);
      }
    };
    const ends = await Promise.allSettled(Array.from({ length: Math.min(TOUCHES_AT_ONCE, lifetimes.size) }, worker));
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
    return gone;
  }

  async beat(incarnation: string, n: number, leaseMs: number): Promise<{ readonly generation: string } | 'lapsed'> {
    this.#assertStarted();
    return await this.#leases?.beat(incarnation, n, leaseMs) === true ? { generation: this.log.generation?.() ?? '' } : 'lapsed';
  }

  async lapse(incarnation: string, quietMs: number): Promise<number> {
    this.#assertStarted();
    return await this.#leases?.lapse(incarnation, quietMs) ?? 0;
  }

  async signal(instanceId: string, message: Message): Promise<boolean> {
    const steps = this.#started;
    if (this.log.signal !== undefined) return this.log.signal(instanceId, message);
    await steps.tell(addressOf(this.#assertStarted(), instanceId), message);
    return true;
  }

  sweep(limit: number): Promise<number> { return this.#started.sweep(limit); }

  stored(): { readonly bytes: number; readonly maxBytes: number } | undefined {
    const { maxBytes } = this.log;
    return maxBytes === undefined || this.#steps === undefined ? undefined : { bytes: this.#steps.bytes, maxBytes };
  }

  async *keys(): AsyncGenerator<string> {
    const { context } = this.#assertStarted();
    for (const key of await this.#started.keys()) {
      const present = key.startsWith(`${context}.l.`) ? undefined : this.#started.present(key);
      if (present !== undefined) yield key;
    }
  }

  #step<A>(key: string, decide: (present: Stored | undefined) => Step<A>, begins: boolean, contended?: () => A): Promise<A> {
    const steps = this.#steps;
    if (steps === undefined) return Promise.reject(stopped());
    return steps.step<A>(key, (present) => {
      const { put, answer } = decide(storedOf(key, present));
      if (put === undefined) return { answer };
      return { answer, put: { text: writeStored({ ...put, putAtMs: this.clock.wallMs() }), forMs: remainingMs(put), begins } };
    }, contended);
  }

  #assertRoom(): void {
    const { maxBytes = Infinity } = this.log;
    const { bytes, missingSnapshot } = this.#started;
    if (missingSnapshot !== undefined) {
      throw new ClusterError('CLUSTER_FULL', 'the log is about to lose its oldest part and has no whole snapshot of it, since none could be written: an instance '
        + 'that starts then has no sessions. No new ones are taken until one is written; the cause says what came in between, if this instance tried', missingSnapshot);
    }
    if (bytes < maxBytes) return;
    throw new ClusterError('CLUSTER_FULL', `the sessions of this context take ${bytes} bytes in the memory of every instance, `
      + `and no new ones are taken at ${maxBytes}; those that exist go on. Raise the bound, as the store's page says, or let sessions end earlier`);
  }

  get #started(): LogSteps {
    if (this.#steps === undefined) throw stopped();
    return this.#steps;
  }

  #assertStarted(): DriverContext {
    if (this.#context === undefined) throw stopped();
    return this.#context;
  }
}

const stopped = () => new ClusterError('CLUSTER_UNAVAILABLE', 'the table is not started, or has been stopped');

const addressOf = ({ context }: DriverContext, instanceId: string): string => `${context}.m.${instanceId}`;

/** Content as it is by now. */
function storedOf(key: string, present: Present | undefined): Stored | undefined {
  if (present === undefined) return undefined;
  const stored = readStored(key, present.text);
  if (stored.kind === 'tombstone') return stored;
  const { sinceMs, touched } = present;
  const ageMs = microsecond(present.ageMs);
  if (touched === undefined) return { ...stored, ageMs, idleMs: microsecond(stored.idleMs + sinceMs) };
  return { ...stored, ageMs, idleMs: microsecond(touched.idleMs), lifetimeMs: microsecond(touched.idleMs + touched.leftMs) };
}


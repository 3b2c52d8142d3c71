import { systemClock, type Clock } from '../clock.js';
import { ClusterError } from '../errors.js';
import { keyName, readStored, writeStored, type Stored } from '../record.js';
import { LeaseCells } from './lease-cell.js';
import { Mailbox } from './mailbox.js';
import {
  absent, acquiring, aged, commitStep, createStep, remainingMs, removeStep, sessionRecord, touchStep, type Step,
} from './record-steps.js';
import { SeenRecords, type Seen } from './seen-records.js';
import type { SessionMap } from './session-map.js';
import type {
  Absent, Acquired, Claim, Committed, DriverContext, Gone, Message, Removed, SessionRecord, SessionTable, Stamp, StoreCapabilities, Then, Write,
} from './session-table.js';

const MAX_ROUNDS = 8;
const TOUCH_ROUNDS = 4;
const TOUCHES_AT_ONCE = 16;

type SeenNow = Seen<Stored | undefined>;

/**
 * A session table over any map with compare-and-set. A step on a session whose lock is here puts straight at the revision that
 * this instance last put, and looks only when that is refused: the commit of a held session is one call. Whatever is answered
 * without a put rests on a fresh look.
 */
export class MapTable implements SessionTable {
  readonly capabilities: StoreCapabilities;
  readonly sweep?: (limit: number) => Promise<number>;
  readonly keys?: () => AsyncIterable<string>;
  readonly #seen = new SeenRecords();
  readonly #leases: LeaseCells;
  /** Where the map has no signals. */
  readonly #mailbox: Mailbox | undefined;
  #collectedMs: number | undefined;
  #generationSeen: string;
  #context: DriverContext | undefined;

  constructor(private readonly map: SessionMap, private readonly clock: Clock = systemClock) {
    this.capabilities = { ...map.capabilities, delta: false };
    if (map.sweep !== undefined) this.sweep = map.sweep.bind(map);
    if (map.keys !== undefined) this.keys = map.keys.bind(map);
    this.#leases = new LeaseCells(map, clock, (incarnation) => `${this.#started.context}.l.${incarnation}`);
    if (map.signal === undefined) this.#mailbox = new Mailbox(map, (instanceId) => `${this.#started.context}.m.${instanceId}`);
    this.#generationSeen = this.#generation();
  }

  async start(context: DriverContext): Promise<void> {
    await this.map.start?.(context);
    this.#context = context;
    if (this.map.signal === undefined) context.listening(false);
  }

  async stop(): Promise<void> {
    this.#context = undefined; // a map that is closed is not asked about leases, nor for mail
    this.#seen.clear();
    this.#leases.clear();
    await this.map.stop?.();
  }

  acquire(key: string, claim: Claim, from?: string, have?: Stamp): Promise<Acquired> {
    const { decide, contended } = acquiring(claim, from, have);
    return this.#step<Acquired>(key, undefined, decide, contended);
  }

  create(key: string, claim: Claim, write: Write, then: 'keep' | 'release'): Promise<'created' | 'exists'> {
    const nothing = { stored: undefined, revision: undefined, sinceMs: 0, atMs: this.clock.monotonicMs(), generation: this.#generation(), bytes: 0 };
    return this.#step(key, nothing, (present) => createStep(present, claim, write, then));
  }

  commit(key: string, grant: string, base: Stamp | undefined, write: Write, then: Then): Promise<Committed> {
    return this.#step(key, this.#lastPut(key), (present) => commitStep(present, grant, base, write, then));
  }

  remove(key: string, grant: string | undefined, base: Stamp | undefined, why: Gone, keepMs: number): Promise<Removed> {
    return this.#step(key, this.#lastPut(key), (present) => removeStep(present, grant, base, why, keepMs));
  }

  async read(key: string, have?: Stamp): Promise<SessionRecord | Absent> {
    const seen = await this.#look(key);
    const present = seen.stored && aged(seen.stored, seen.sinceMs, seen.sinceMs);
    return present?.kind === 'record' ? sessionRecord(present, have) : absent(present);
  }

  async touch(lifetimes: ReadonlyMap<string, number>): Promise<ReadonlySet<string>> {
    const gone = new Set<string>();
    const queue = lifetimes.entries();
    const worker = async () => {
      for (const [key, lifetimeMs] of queue) {
        const known = this.#seen.has(key);
        // Who lost this often lost to others who touched or wrote it.
        const touched = await this.#step(key, undefined, (present) => touchStep(present, lifetimeMs), () => 'there' as const, TOUCH_ROUNDS);
        if (touched === 'gone') gone.add(key);
        if (!known) this.#seen.delete(key); // nobody here is about to write it
      }
    };
    const ends = await Promise.allSettled(Array.from({ length: Math.min(TOUCHES_AT_ONCE, lifetimes.size) }, worker));
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
    return gone;
  }

  async beat(incarnation: string, n: number, leaseMs: number): Promise<{ readonly generation: string } | 'lapsed'> {
    const answer = await this.#leases.beat(incarnation, n, leaseMs);
    if (answer === 'lapsed') this.#seen.clear();
    const now = this.clock.monotonicMs();
    // Beats come faster while sessions are used; word is not that urgent.
    this.#collectedMs ??= now;
    if (this.#mailbox !== undefined && this.#context !== undefined && now >= this.#collectedMs + leaseMs / 4) {
      this.#collectedMs = now;
      void this.#collect(this.#mailbox);
    }
    return answer;
  }

  lapse(incarnation: string, quietMs: number): Promise<number> {
    return this.#leases.lapse(incarnation, quietMs);
  }

  async signal(instanceId: string, message: Message): Promise<boolean> {
    if (this.#mailbox === undefined) return await this.map.signal?.(instanceId, message) ?? true;
    // Nothing is signalled to oneself: that would say that signals are heard in time.
    if (instanceId !== this.#started.instanceId) await this.#mailbox.put(instanceId, message);
    return true;
  }

  async #collect(mailbox: Mailbox): Promise<void> {
    const { instanceId, receive } = this.#started;
    // What cannot be looked at now is looked at with the next beat.
    for (const message of await mailbox.take(instanceId).catch(() => [])) receive(message);
  }

  /** Decides, puts, and begins again with a fresh look as long as others put first; `contended` answers when they did so `rounds` times. */
  async #step<A>(
    key: string, last: SeenNow | undefined, decide: (present: Stored | undefined) => Step<A>,
    contended: () => A = () => this.#contended(key), rounds = MAX_ROUNDS,
  ): Promise<A> {
    let seen = last;
    for (let round = 0; round < rounds; round += 1) {
      const fresh = seen === undefined;
      seen ??= await this.#look(key);
      const { put, answer, held } = decide(this.#present(seen, fresh));
      if (put === undefined && fresh) {
        if (held === true && seen.stored?.kind === 'record') this.#seen.set(key, { ...seen, stored: seen.stored });
        else this.#seen.delete(key);
        return answer;
      }
      const { generation } = seen;
      // Else the revision may name something else by now.
      if (put !== undefined && generation === this.#generation()) {
        const atMs = this.clock.monotonicMs();
        const stored = { ...put, putAtMs: this.clock.wallMs() };
        const value = writeStored(stored);
        this.#seen.forget(key); // stays so if the put is rejected: it may have been done
        const revision = await this.map.compareAndSet(key, seen.revision, { value, lifetimeMs: remainingMs(stored) });
        if (revision !== undefined) {
          if (held === true && stored.kind === 'record') this.#seen.set(key, { stored, revision, sinceMs: 0, atMs, generation, bytes: value.length });
          else this.#seen.delete(key);
          return answer;
        }
      }
      seen = undefined;
    }
    return contended();
  }

  async #look(key: string): Promise<SeenNow> {
    const generation = this.#generation();
    const atMs = this.clock.monotonicMs();
    // Before the call: this process may be paused while the answer is on its way.
    const wallMs = this.clock.wallMs();
    const found = await this.map.get(key);
    if (found === undefined) return { stored: undefined, revision: undefined, sinceMs: 0, atMs, generation, bytes: 0 };
    const stored = readStored(key, found.value);
    const sinceMs = found.ageMs ?? Math.max(0, wallMs - stored.putAtMs);
    return { stored, revision: found.revision, sinceMs, atMs, generation, bytes: found.value.length };
  }

  /**
   * Durations run on from just before the call that showed them, so that a session's age keeps up however many calls it sees;
   * whether a fresh look shows an expired record is left to the clock that dates it, which must never be early.
   */
  #present({ stored, sinceMs, atMs }: SeenNow, fresh: boolean): Stored | undefined {
    const nowSinceMs = sinceMs + this.clock.monotonicMs() - atMs;
    return stored && aged(stored, nowSinceMs, fresh ? sinceMs : nowSinceMs);
  }

  /** What this instance last put under the key, unless the store's timeline changed since. */
  #lastPut(key: string): SeenNow | undefined {
    if (this.#generation() !== this.#generationSeen) {
      this.#generationSeen = this.#generation();
      this.#seen.clear();
    }
    return this.#seen.get(key);
  }

  #generation(): string {
    return this.map.generation?.() ?? '';
  }

  get #started(): DriverContext {
    if (this.#context === undefined) throw new ClusterError('CLUSTER_UNAVAILABLE', 'the table is not started, or has been stopped');
    return this.#context;
  }

  #contended(key: string): never {
    throw new ClusterError('CLUSTER_UNAVAILABLE', `${keyName(key)}: others changed it ${MAX_ROUNDS} times in a row; nothing was changed`);
  }
}

import { DistributedManager, ClusterError, type ClusterStore, type ManagerOptions, type Session } from '../src/index.js';
import type { ManagerEvents } from '../src/events.js';
import {
  Clock, tableOf, type Absent, type Acquired, type Claim, type Committed, type DriverContext, type Entry, type Found, type Gone,
  type ManualClock, type Message, type Removed, type SessionMap, type SessionRecord, type SessionTable, type Stamp, type StoreCapabilities,
  type Then, type Write,
} from '../src/driver.js';
import { digestOf } from '../src/session-id.js';

interface Kept { readonly value: string; readonly revision: string; readonly endMs: number; readonly putMs: number }

/** What all instances of one test cluster share; it can be rolled back. */
export class Space {
  readonly clock = Clock.manual();
  kept = new Map<string, Kept>();
  readonly listeners = new Map<string, (message: Message) => void>();
  generation = 'g1';
  puts = 0;

  save(): Map<string, Kept> { return new Map(this.kept); }

  rollBack(to: Map<string, Kept>): void {
    this.kept = new Map(to);
    this.generation += '+';
  }
}

class SpaceMap implements SessionMap {
  readonly capabilities = { durability: 'process', gone: 'dead', rollback: true } as const;
  #instanceId = '';

  constructor(private readonly space: Space) {}

  async start({ instanceId, receive, listening }: DriverContext): Promise<void> {
    this.#instanceId = instanceId;
    this.space.listeners.set(instanceId, receive);
    listening(true);
  }

  async stop(): Promise<void> { this.space.listeners.delete(this.#instanceId); }

  async get(key: string): Promise<Found | undefined> {
    const kept = this.#present(key);
    return kept && { value: kept.value, revision: kept.revision, ageMs: this.space.clock.monotonicMs() - kept.putMs };
  }

  async compareAndSet(key: string, expected: string | undefined, { value, lifetimeMs }: Entry): Promise<string | undefined> {
    if (this.#present(key)?.revision !== expected) return undefined;
    const now = this.space.clock.monotonicMs();
    const revision = String(++this.space.puts);
    this.space.kept.set(key, { value, revision, putMs: now, endMs: now + lifetimeMs });
    return revision;
  }

  async signal(instanceId: string, message: Message): Promise<boolean> {
    const listener = this.space.listeners.get(instanceId);
    if (listener === undefined) return false;
    queueMicrotask(() => { listener(message); });
    return true;
  }

  generation(): string { return this.space.generation; }

  #present(key: string): Kept | undefined {
    const kept = this.space.kept.get(key);
    return kept === undefined || kept.endMs > this.space.clock.monotonicMs() ? kept : undefined;
  }
}

const ALL = ['start', 'acquire', 'create', 'commit', 'remove', 'read', 'touch', 'beat', 'lapse', 'signal'] as const;
type Method = typeof ALL[number];
/** What becomes of one call: `run` executes it. */
export type Fate = <T>(run: () => Promise<T>) => Promise<T>;

/** Executed, its answer lost. */
export const answerLost: Fate = async (run) => { await run(); throw new Error('connection lost'); };
/** Never executed, and nobody says so. */
export const callLost: Fate = () => Promise.reject(new Error('connection lost'));
/** Certainly not executed. */
export const refusedByStore: Fate = () => Promise.reject(new ClusterError('CLUSTER_UNAVAILABLE', 'the store is read-only'));
export const hangs: Fate = () => new Promise(() => undefined);

/** A call that hangs until its caller gave up, and is executed when the test says so. */
export class Late {
  execute: () => Promise<unknown> = () => Promise.reject(new Error('was never called'));
  readonly fate: Fate = (run) => {
    this.execute = run;
    return new Promise(() => undefined);
  };
}

/** A call that waits for the test, and answers then. */
export class Gate {
  arrived = false;
  #open: () => void = () => undefined;
  readonly #opened = new Promise<void>((resolve) => { this.#open = resolve; });
  readonly fate: Fate = async (run) => {
    this.arrived = true;
    await this.#opened;
    return run();
  };

  /** Executed at once, its answer waits. */
  readonly afterwards: Fate = async (run) => {
    const answer = await run();
    this.arrived = true;
    await this.#opened;
    return answer;
  };

  open(): void { this.#open(); }
}

/** A table that counts its calls and misbehaves where a test says so. */
export class FaultyTable implements SessionTable {
  readonly #inner: SessionTable;
  readonly #fates = new Map<Method, Fate[]>();
  readonly #always = new Map<Method, Fate>();
  readonly capabilities: StoreCapabilities;
  calls: string[] = [];
  /** Signals to this instance vanish. */
  isDeaf = false;
  /** Says what a signal to an instance answers, instead of asking. */
  answersSignals: ((instanceId: string, message: Message) => boolean | undefined) | undefined;
  readonly heard: Message[] = [];

  constructor(space: Space, gone: StoreCapabilities['gone'] = 'dead') {
    this.#inner = tableOf(new SpaceMap(space), space.clock);
    this.capabilities = { ...this.#inner.capabilities, gone };
  }

  /** The next calls of a method, one by one. */
  next(method: Method, ...fates: Fate[]): void { this.#fates.set(method, [...this.#fates.get(method) ?? [], ...fates]); }

  always(method: Method, fate: Fate | undefined): void {
    if (fate === undefined) this.#always.delete(method);
    else this.#always.set(method, fate);
  }

  /** From now on it behaves. */
  behave(): void {
    this.#fates.clear();
    this.#always.clear();
    this.isDeaf = false;
    this.answersSignals = undefined;
  }

  /** Calls for sessions since the last look; signals, beats and lapses left out. */
  took(): string {
    const calls = this.calls.filter((call) => !['beat', 'signal', 'lapse', 'touch'].includes(call)).join(' ');
    this.calls = [];
    return calls;
  }

  count(method: Method): number { return this.calls.filter((call) => call === method).length; }

  start(context: DriverContext): Promise<void> {
    return this.#do('start', () => this.#inner.start({
      ...context,
      receive: (message) => {
        if (this.isDeaf) return;
        this.heard.push(message);
        context.receive(message);
      },
    }));
  }

  stop(): Promise<void> { return this.#inner.stop(); }
  acquire(key: string, claim: Claim, from?: string, have?: Stamp): Promise<Acquired> { return this.#do('acquire', () => this.#inner.acquire(key, claim, from, have)); }
  create(key: string, claim: Claim, write: Write, then: 'keep' | 'release'): Promise<'created' | 'exists'> {
    return this.#do('create', () => this.#inner.create(key, claim, write, then));
  }
  commit(key: string, grant: string, base: Stamp | undefined, write: Write, then: Then): Promise<Committed> {
    return this.#do('commit', () => this.#inner.commit(key, grant, base, write, then));
  }
  remove(key: string, grant: string | undefined, base: Stamp | undefined, why: Gone, keepMs: number): Promise<Removed> {
    return this.#do('remove', () => this.#inner.remove(key, grant, base, why, keepMs));
  }
  read(key: string, have?: Stamp): Promise<SessionRecord | Absent> { return this.#do('read', () => this.#inner.read(key, have)); }
  touch(lifetimes: ReadonlyMap<string, number>): Promise<ReadonlySet<string>> { return this.#do('touch', () => this.#inner.touch(lifetimes)); }
  beat(incarnation: string, n: number, leaseMs: number): Promise<{ readonly generation: string } | 'lapsed'> {
    return this.#do('beat', () => this.#inner.beat(incarnation, n, leaseMs));
  }
  lapse(incarnation: string, quietMs: number): Promise<number> { return this.#do('lapse', () => this.#inner.lapse(incarnation, quietMs)); }
  signal(instanceId: string, message: Message): Promise<boolean> {
    const answer = this.answersSignals?.(instanceId, message);
    return this.#do('signal', () => (answer === undefined ? this.#inner.signal(instanceId, message) : Promise.resolve(answer)));
  }

  #do<T>(method: Method, run: () => Promise<T>): Promise<T> {
    this.calls.push(method);
    const fate = this.#fates.get(method)?.shift() ?? this.#always.get(method);
    return fate === undefined ? run() : fate(run);
  }
}

export interface Instance {
  readonly manager: DistributedManager;
  readonly table: FaultyTable;
  /** Events as `name` with their value, oldest first. */
  readonly events: { readonly name: keyof ManagerEvents; readonly event: object }[];
}

const EVENTS = ['conflict', 'takeover', 'handover', 'waiting', 'lapsed', 'fenced', 'cutOff', 'generation', 'warning'] as const satisfies (keyof ManagerEvents)[];

/** Several managers over one space and one manual clock. */
export class Cluster {
  readonly space = new Space();
  readonly instances: Instance[] = [];

  get clock(): ManualClock { return this.space.clock; }

  /** A manager that is not started. */
  make(name: string, options: ManagerOptions = {}, gone: StoreCapabilities['gone'] = 'dead'): Instance {
    const table = new FaultyTable(this.space, gone);
    const unused = () => Promise.reject(new Error('a manager drives the table'));
    const store: ClusterStore = {
      instanceId: name, start: unused, stop: unused, findSession: unused, sendSession: unused, removeSession: unused, receiveSession: () => undefined,
    };
    Reflect.set(store, Symbol.for('@cluster/core/table'), table);
    const manager = new DistributedManager(store, { clock: this.clock, affinity: 'keep', ...options });
    const instance: Instance = { manager, table, events: [] };
    for (const event of EVENTS) manager.on(event, (value: object) => { instance.events.push({ name: event, event: value }); });
    this.instances.push(instance);
    return instance;
  }

  /** A started manager, with its signals heard. */
  async add(name: string, options: ManagerOptions = {}, gone: StoreCapabilities['gone'] = 'dead'): Promise<Instance> {
    const instance = this.make(name, options, gone);
    await instance.manager.start();
    await this.clock.advance(0);
    instance.table.calls = [];
    return instance;
  }

  /** The instance falls silent in the middle of whatever it does. */
  kill({ table }: Instance, name: string): void {
    for (const method of ALL) table.always(method, hangs);
    table.isDeaf = true;
    this.space.listeners.delete(name);
  }

  /** A stored session with these attributes; resolves to its id. */
  async session({ manager, table }: Instance, attributes: Readonly<Record<string, unknown>> = { n: 0 }): Promise<string> {
    const session = manager.createSession();
    for (const [name, value] of Object.entries(attributes)) session.set(name, value);
    await this.within(100, manager.sendSession(session));
    await this.clock.advance(0);
    table.calls = [];
    return session.id;
  }

  /** What the store has of a session, read past every cache. */
  async stored(id: string): Promise<Record<string, unknown> | undefined> {
    const table = tableOf(new SpaceMap(this.space), this.clock);
    await table.start({ context: 'default', instanceId: 'reader', receive: () => undefined, listening: () => undefined });
    const record = await table.read(keyOf(id));
    this.space.listeners.delete('reader');
    if (record.kind === 'absent') return undefined;
    return Object.fromEntries([...record.attributes ?? []].map(([name, encoded]) => [name, JSON.parse(String(encoded)) as unknown]));
  }

  async holder(id: string): Promise<string | undefined> {
    const record = await tableOf(new SpaceMap(this.space), this.clock).read(keyOf(id));
    return record.kind === 'record' ? record.holder?.incarnation : undefined;
  }

  /** Moves time on until the promise settles, at most that far. */
  async within<T>(ms: number, promise: Promise<T>): Promise<T> {
    const state = { isSettled: false };
    const settled = () => { state.isSettled = true; };
    promise.then(settled, settled);
    const end = this.clock.monotonicMs() + ms;
    await this.clock.advance(0);
    while (!state.isSettled && this.clock.monotonicMs() < end) await this.clock.advance(Math.min(5, end - this.clock.monotonicMs()));
    if (!state.isSettled) throw new Error(`not settled within ${ms} ms`);
    return promise;
  }

  /** What the promise rejects with, within that time. */
  async failure(ms: number, promise: Promise<unknown>): Promise<ClusterError> {
    const outcome = await this.within(ms, promise.then((value) => ({ value }), (error: unknown) => ({ error })));
    if ('value' in outcome) throw new Error('expected a rejection');
    if (!ClusterError.is(outcome.error)) throw outcome.error;
    return outcome.error;
  }

  async stop(): Promise<void> {
    for (const { manager, table } of this.instances) {
      table.behave();
      await this.within(60_000, manager.stop().catch(() => undefined));
    }
  }
}

export const keyOf = (id: string): string => `default.s.${digestOf(id)}`;

/** The session, which must exist. */
export async function found(promise: Promise<Session | undefined>): Promise<Session> {
  const session = await promise;
  if (session === undefined) throw new Error('expected a session');
  return session;
}

/** Adds one to `n`. */
export const increment = (session: Session): void => { session.set('n', Number(session.get('n')) + 1); };

export const eventsOf = (instance: Instance, name: keyof ManagerEvents): object[] => instance.events.filter((each) => each.name === name).map((each) => each.event);

import { createHash } from 'node:crypto';
import { ClusterError, DistributedManager, MemoryStore, type ClusterStore, type ManagerOptions } from '@cluster/core';
import { tableOf, type SessionLog, type SessionTable, type StoreCapabilities } from '@cluster/core/driver';
import type { SessionMiddleware } from '@cluster/http';
import { sessionsOf } from './http-face.js';
import { Link, type Outage } from './link.js';
import { LinkedTable, type Steps } from './linked-table.js';
import { Network } from './network.js';
import type { Plan } from './plan.js';
import { Process } from './process.js';
import type { Random } from './random.js';
import { Recorder } from './recorder.js';
import { LinkedLog } from './linked-log.js';
import { LogSpace } from './reference-log.js';
import { LinkedMap, MapSpace } from './reference-map.js';
import { ReferenceTable } from './reference-table.js';
import type { Rules } from './rules.js';
import { FaultCounts, type Weather } from './weather.js';
import { World } from './world.js';

const TABLE = Symbol.for('@cluster/core/table');
const EVENTS = ['conflict', 'takeover', 'handover', 'lapsed', 'fenced', 'cutOff', 'generation', 'warning'] as const;

/** One life of an instance. */
export interface Life {
  readonly process: Process;
  readonly manager: DistributedManager;
  /** The middleware of @cluster/http, where requests come by it. */
  readonly sessions: SessionMiddleware | undefined;
  /** By label: why a change was not stored. */
  readonly failures: Map<string, Error>;
  readonly discard: () => void;
  incarnation: string | undefined;
  isDrained: boolean;
  isRetired: boolean;
}

/** What a mutation changes. */
export interface Mutation {
  readonly rules?: Rules;
  readonly steps?: (steps: ReferenceTable, world: World) => Steps;
  readonly table?: (table: SessionTable, world: World) => SessionTable;
  readonly log?: (log: SessionLog, space: LogSpace) => SessionLog;
  readonly options?: ManagerOptions;
  /** Snapshot requests forget what they read. */
  readonly forgetsReads?: boolean;
  /** The manager as requests see it, with and without @cluster/http. */
  readonly manager?: (manager: DistributedManager) => DistributedManager;
}

/** The instances of one run, their store and the network between them. */
export class Cluster {
  readonly faults = new FaultCounts();
  readonly weather: Weather;
  readonly outage: Outage = { mode: 'up' };
  readonly network: Network;
  readonly recorder: Recorder;
  readonly lives: Life[] = [];
  readonly table: ReferenceTable | undefined;
  readonly map: MapSpace | undefined;
  readonly log: LogSpace | undefined;
  readonly #memory: MemoryStore | undefined;
  readonly #capabilities: StoreCapabilities;
  #births = 0;

  constructor(readonly world: World, readonly random: Random, readonly plan: Plan, private readonly mutation: Mutation = {}) {
    const { store, gone, workload } = plan;
    const rollback = workload === 'rollback';
    this.weather = { ...plan.weather };
    this.recorder = new Recorder(world, rollback);
    this.network = new Network(world, random, this.weather, this.faults, gone);
    this.#capabilities = { delta: store === 'table', rollback, gone, durability: 'process' };
    const nowMs = () => world.nowMs;
    const clock = { monotonicMs: nowMs, wallMs: nowMs, timer: () => () => undefined, randomHex: (bytes: number) => random.hex(bytes) };
    if (store === 'table') this.table = new ReferenceTable(nowMs, this.#capabilities, this.recorder.stored, mutation.rules);
    else if (store === 'map') this.map = new MapSpace(nowMs, plan.hasClock, this.recorder.stored);
    else if (store === 'log') this.log = new LogSpace(nowMs, random, plan.partitions, plan, this.faults, this.recorder.stored);
    else this.#memory = new MemoryStore({ clock });
  }

  get running(): Life[] { return this.lives.filter(({ process, isRetired }) => process.isAlive && !isRetired); }

  /** Whether a lease was ended by somebody; undefined where this cannot be seen. */
  hasEnded(incarnation: string | undefined): boolean | undefined {
    if (incarnation === undefined) return undefined;
    return this.table?.hasEnded(incarnation) ?? (this.map ?? this.log)?.hasEnded(`default.l.${incarnation}`);
  }

  /** A new process for an instance. */
  bear(instanceId: string): Life {
    const { plan, random, world } = this;
    this.#births += 1;
    const rate = 1 + random.between(-plan.rateSpread, plan.rateSpread);
    const skewMs = plan.hasClock || plan.retainedBytes !== undefined ? random.between(-5_000, 5_000) : 0;
    if (rate !== 1) this.faults.add('rate', 'clock');
    if (skewMs !== 0) this.faults.add('skew', 'clock');
    const process = new Process(`${instanceId}#${this.#births}`, instanceId, this.#births, world, random, rate, skewMs);
    const link = new Link(world, process, random, this.weather, this.outage, this.faults);
    const { table, discard } = this.#tableOf(process, link);
    const inner = new DistributedManager(lending(instanceId, this.mutation.table?.(table, world) ?? table), { ...plan.options, ...this.mutation.options, clock: process.clock });
    const manager = this.mutation.manager?.(inner) ?? inner;
    const sessions = plan.face === 'http' ? sessionsOf(manager) : undefined;
    const life: Life = { process, manager, sessions, failures: new Map(), incarnation: undefined, discard, isDrained: false, isRetired: false };
    this.#listen(life);
    this.lives.push(life);
    this.#start(life);
    return life;
  }

  #listen({ process, manager, failures }: Life): void {
    const { recorder, world, plan: { options: { lockHoldMs } } } = this;
    manager.on('conflict', ({ label, outcome }) => { if (label !== undefined) recorder.conflicts.set(label, outcome); });
    manager.on('sendFailed', ({ label, error }) => { if (label !== undefined && error instanceof Error) failures.set(label, error); });
    manager.on('cutOff', ({ label, heldMs }) => {
      if (label !== undefined) {
        recorder.cutOffs.add(label);
        recorder.holds.end(label);
      }
      if (heldMs < lockHoldMs) recorder.violation('hold', `${label ?? 'somebody'} was cut off after ${heldMs} ms, lockHoldMs is ${lockHoldMs}`);
    });
    for (const event of world.trace === undefined ? [] : EVENTS) {
      manager.on(event, (value: object) => { world.trace?.(process.name, `event ${event} ${JSON.stringify(value)}`); });
    }
  }

  kill(life: Life): void {
    life.process.kill();
    this.network.leave(life.process);
    life.discard();
    const place = this.lives.indexOf(life);
    if (place >= 0) this.lives.splice(place, 1);
  }

  #start(life: Life): void {
    life.manager.on('lapsed', ({ next }) => { life.incarnation = next; });
    life.manager.start().then(
      () => { life.incarnation = life.manager.health().incarnation; },
      (error: unknown) => { if (!ClusterError.is(error)) this.recorder.violation('start', `${life.process.name}: ${String(error)}`); },
    );
  }

  #tableOf(process: Process, link: Link): { table: SessionTable; discard: () => void } {
    const nothing = () => undefined;
    if (this.table !== undefined) {
      const steps = this.mutation.steps?.(this.table, this.world) ?? this.table;
      return { table: new LinkedTable(steps, link, this.network, process), discard: nothing };
    }
    if (this.map !== undefined) return { table: tableOf(new LinkedMap(this.map, this.#capabilities, link, this.network, process, this.plan.hasSignals), process.clock), discard: nothing };
    if (this.log !== undefined) {
      const log = new LinkedLog(this.log, this.#capabilities, link, this, process, this.plan.hasSignals);
      return { table: tableOf(this.mutation.log?.(log, this.log) ?? log, process.clock), discard: () => { log.discard(); } };
    }
    const store = new MemoryStore({ ...(this.#memory && { shareWith: this.#memory }), clock: process.clock });
    // The door through which a manager gets it.
    const inner = Reflect.get(store, TABLE) as SessionTable;
    void inner.start({ context: 'default', instanceId: createHash('sha256').update(process.name).digest('hex').slice(0, 16), receive: nothing, listening: nothing });
    return { table: new LinkedTable(inner, link, this.network, process), discard: () => { void inner.stop(); } };
  }
}

/** A store that only lends its table, as ClusterStoreBase does. */
function lending(instanceId: string, table: SessionTable): ClusterStore {
  const unused = () => Promise.reject(new Error('a manager drives the table'));
  const store: ClusterStore = {
    instanceId, start: unused, stop: unused, findSession: unused, sendSession: unused, removeSession: unused, receiveSession: () => undefined,
  };
  Reflect.set(store, TABLE, table);
  return store;
}

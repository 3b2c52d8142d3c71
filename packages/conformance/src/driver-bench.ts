import { randomBytes } from 'node:crypto';
import type { Claim, DriverContext, Message, SessionLog, SessionMap, SessionTable, StoreCapabilities } from '@cluster/core/driver';
import type { Clause } from './clause.js';
import type { Pace } from './pace.js';
import type { Proof } from './proof.js';

export type Driver = SessionMap | SessionTable;

export const isTable = (driver: Driver | SessionLog): driver is SessionTable => 'commit' in driver;
export const isLog = (driver: Driver | SessionLog): driver is SessionLog => 'follow' in driver;

export const hex = (bytes: number): string => randomBytes(bytes).toString('hex');

/** What a driver can do, by its shape and by what it declares. */
export interface Offer {
  /** It is a map with `signal`, or a table (over such a map, if over one). */
  readonly signals: boolean;
  readonly gone: StoreCapabilities['gone'];
  readonly starts: boolean;
  readonly stops: boolean;
  readonly sweeps: boolean;
  readonly lists: boolean;
  /** It is a log that loses its oldest part. */
  readonly forgets?: boolean;
}

/** What a log offers of itself; what the table over it does is {@link offerOf}. */
export function offerOfLog(log: SessionLog): Offer {
  return {
    signals: log.signal !== undefined, gone: log.capabilities.gone, starts: log.start !== undefined, stops: log.stop !== undefined, sweeps: false, lists: false,
    forgets: log.forget !== undefined,
  };
}

export function offerOf(driver: Driver): Offer {
  const { capabilities } = driver;
  return {
    signals: driver.signal !== undefined, gone: capabilities.gone, starts: driver.start !== undefined, stops: driver.stop !== undefined,
    sweeps: driver.sweep !== undefined, lists: driver.keys !== undefined,
  };
}

/** What clauses need to know of a harness. */
export interface DriverLimits {
  /** How long after its lifetime an expired entry may still be found. */
  readonly lateMs: number;
  /** How long a signal may take. */
  readonly signalMs: number;
  /** The longest value of a map, the largest content of a record. */
  readonly maxValueBytes: number;
}

/** One driver object of a clause, started. */
export interface Opened<D extends Driver | SessionLog> {
  readonly driver: D;
  readonly instanceId: string;
  /** The messages that arrived, in order. */
  readonly received: readonly Message[];
  /** What `listening` was called with, in order. */
  readonly heard: readonly boolean[];
}

/** One of the two in turn. */
export const inTurn = <T>(pair: readonly [T, T], n: number): T => pair[n % 2 === 0 ? 0 : 1];

/** What one clause works on. Drivers that it opens are stopped when it ends. */
export class DriverBench<D extends Driver | SessionLog> {
  readonly #started: D[] = [];

  constructor(
    readonly proof: Proof,
    readonly time: Pace,
    readonly limits: DriverLimits,
    readonly context: string,
    /** A fresh driver object over the storage that all of a clause's drivers share. */
    readonly make: () => D,
  ) {}

  get paceMs(): number {
    return this.time.paceMs;
  }

  /** Starts a driver object as an instance of its own. */
  async open(instanceId = `kit-${hex(4)}`, context = this.context): Promise<Opened<D>> {
    const driver = this.make();
    const received: Message[] = [];
    const heard: boolean[] = [];
    const start: DriverContext = {
      context, instanceId,
      receive: (message) => { received.push(message); },
      listening: (up) => { heard.push(up); },
    };
    this.#started.push(driver);
    await driver.start?.(start);
    return { driver, instanceId, received, heard };
  }

  /** {@link open}, where only the driver matters. */
  async driver(): Promise<D> {
    return (await this.open()).driver;
  }

  /** Two driver objects: two instances of the application. */
  async two(): Promise<readonly [D, D]> {
    return [await this.driver(), await this.driver()];
  }

  /** A fresh key, as a session has it. */
  key(): string {
    return `${this.context}.s.${hex(32)}`;
  }

  incarnation(instanceId = `kit-${hex(4)}`): string {
    return `${instanceId}.${hex(8)}`;
  }

  claim(incarnation = this.incarnation()): Claim {
    return { incarnation, grant: hex(16) };
  }

  async close(): Promise<void> {
    const ends = await Promise.allSettled(this.#started.map(async (driver) => { await driver.stop?.(); }));
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  }
}

export type TableBench = DriverBench<SessionTable>;
export type MapBench = DriverBench<SessionMap>;
export type LogBench = DriverBench<SessionLog>;
export type LogClause = Clause<Offer, LogBench>;
export type TableClause = Clause<Offer, TableBench>;
export type MapClause = Clause<Offer, MapBench>;
/** A clause that holds for both shapes. */
export type DriverClause = Clause<Offer, DriverBench<Driver>>;

import { tableOf, type Clock, type ManualClock, type SessionLog, type SessionMap, type SessionTable } from '@cluster/core/driver';
import { answeringMap } from './answers.js';
import { registerClauses, type Clause, type Runner } from './clause.js';
import { acquireClauses } from './clauses/acquire.js';
import { commitAgainClauses } from './clauses/commit-again.js';
import { commitClauses, updateOfAbsent } from './clauses/commit.js';
import { contentClauses } from './clauses/content.js';
import { createClauses } from './clauses/create.js';
import { expiryClauses } from './clauses/expiry.js';
import { leaseClauses } from './clauses/lease.js';
import { lifeCycleClauses } from './clauses/life-cycle.js';
import { listingClauses } from './clauses/listing.js';
import { logClauses } from './clauses/log.js';
import { mapClauses } from './clauses/map.js';
import { readClauses } from './clauses/read.js';
import { removeClauses } from './clauses/remove.js';
import { signalClauses } from './clauses/signal.js';
import {
  DriverBench, hex, isLog, isTable, offerOf, offerOfLog, type Driver, type DriverLimits, type MapClause, type Offer, type TableClause,
} from './driver-bench.js';
import { Pace } from './pace.js';

/** A driver under test, and how far its store is to be pushed. */
export interface DriverHarness {
  /**
   * A fresh driver object, not started, over the storage that all of them share. Called several times per clause, and once
   * before any test runs: it must not connect.
   */
  open(): SessionMap | SessionTable | SessionLog;
  /** Empties the storage; called before each clause. Clauses use fresh keys, so it may be left out. */
  erase?(): Promise<void>;
  /** The shortest lifetime, lease and tombstone time that clauses use; default 60. Raise it for a store that counts in seconds. */
  readonly paceMs?: number;
  /** How long after its lifetime an expired entry may still be found: one sweep interval; default 1,000. */
  readonly lateMs?: number;
  /** How long a signal may take, and the news that an instance is gone; default 2,000. */
  readonly signalMs?: number;
  /** The longest value that the store takes; default 1,048,576. */
  readonly maxValueBytes?: number;
  /** For drivers that take their time from this clock: clauses move it instead of waiting. */
  readonly clock?: ManualClock;
}

/** The clauses of a session table, in their order. */
export const tableContents: readonly TableClause[] = [
  updateOfAbsent, ...lifeCycleClauses, ...createClauses, ...acquireClauses, ...commitClauses, ...commitAgainClauses,
  ...removeClauses, ...readClauses, ...expiryClauses, ...leaseClauses, ...signalClauses, ...contentClauses, ...listingClauses,
];

/** The clauses of a session map, in their order. */
export const mapContents: readonly MapClause[] = [...mapClauses, ...lifeCycleClauses, ...signalClauses, ...listingClauses];

function limitsOf({ lateMs = 1_000, signalMs = 2_000, maxValueBytes = 1_048_576 }: DriverHarness): DriverLimits {
  return { lateMs, signalMs, maxValueBytes };
}

function register<D extends Driver | SessionLog>(
  runner: Runner, harness: DriverHarness, clauses: readonly Clause<Offer, DriverBench<D>>[], make: () => D, offer: Offer,
): void {
  const context = `kit-${hex(4)}`;
  registerClauses<Offer, DriverBench<D>>(runner, clauses, offer, async (proof, work) => {
    await harness.erase?.();
    const bench = new DriverBench(proof, new Pace(harness.paceMs ?? 60, harness.clock), limitsOf(harness), context, make);
    try {
      await work(bench);
    } finally {
      await bench.close();
    }
  });
}

/** A harness's driver as what it declared itself to be when it was first opened. */
function openedAs<D extends Driver | SessionLog>(harness: DriverHarness, is: (driver: Driver | SessionLog) => driver is D): D {
  const driver = harness.open();
  if (!is(driver)) throw new TypeError('open() returned drivers of several shapes');
  return driver;
}

const isMap = (driver: Driver | SessionLog): driver is SessionMap => !isTable(driver) && !isLog(driver);

/**
 * Registers the clauses that a driver must pass as tests of the given runner. A session map is held to its own clauses, and
 * then to those of a session table through the table that core makes of it; a session log likewise.
 */
export function testDriver(runner: Runner, harness: DriverHarness): void {
  const sample = harness.open();
  if (isTable(sample)) {
    const open = () => openedAs(harness, isTable);
    runner.describe('as a session table', () => { register(runner, harness, tableContents, open, offerOf(sample)); });
    return;
  }
  const clock: Clock | undefined = harness.clock;
  if (isLog(sample)) {
    const open = () => tableOf(openedAs(harness, isLog), clock);
    runner.describe('as a session log', () => { register(runner, harness, logClauses, () => openedAs(harness, isLog), offerOfLog(sample)); });
    runner.describe('as a session table over its log', () => { register(runner, harness, tableContents, open, offerOf(open())); });
    return;
  }
  const map = () => answeringMap(openedAs(harness, isMap));
  const table = () => tableOf(map(), clock);
  runner.describe('as a session map', () => { register(runner, harness, mapContents, map, offerOf(sample)); });
  runner.describe('as a session table over its map', () => { register(runner, harness, tableContents, table, offerOf(sample)); });
}

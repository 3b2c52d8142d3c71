import { registerClauses, type Runner } from './clause.js';
import { hex } from './driver-bench.js';
import { calmClause, faultClauseOf, stopClause, type ProcessClause, type ProcessSubject, type StoreFault } from './processes/clauses.js';
import type { ManagerSettings } from './processes/instance-calls.js';
import { Instances } from './processes/instances.js';
import { killClauses } from './processes/kill-clauses.js';
import type { Json } from './processes/messages.js';
import { networkClauses } from './processes/network-clauses.js';
import { ProcessBench } from './processes/process-bench.js';
import { Random } from './processes/random.js';
import { rollbackClauseOf } from './processes/rollback-clause.js';
import { serverClausesOf } from './processes/server-clauses.js';
import { silenceClauses } from './processes/silence-clauses.js';
import type { StoreServer } from './processes/store-server.js';

/** A store under test by processes that are killed, stopped and cut off. */
export interface ProcessHarness {
  /** URL of a module that exports `createStore({ instanceId, config, step })`, as for `testStore`. */
  readonly module: string | URL;
  /** Handed to `createStore`; a function is called once, before the first process starts. Not with a `server`. */
  readonly config?: Json | (() => Json | Promise<Json>);
  /** Where the store's server is, if it has one, and what can be done to it: each process reaches it by proxies of its own. */
  readonly server?: StoreServer;
  /** Arguments for Node in those processes, such as a loader of TypeScript; default: those of this process. */
  readonly execArgv?: readonly string[];
  /**
   * Within which time a session can be had again after the process of its holder was killed. Default: what follows from the
   * evidence that the driver declares (`capabilities.gone`). Required for a ClusterStore written by hand.
   */
  readonly takeOverMs?: number;
  /** The same after its holder fell silent; default: `leaseMs`, and 1 s. Infinity: its locks stay where they are. */
  readonly silentTakeOverMs?: number;
  /** Within which time each instance answers again when a fault is over; default 1,000. */
  readonly recoveryMs?: number;
  /** How the managers are set; default: a lease of 1,500 ms, 200 ms for reads, 1,000 ms for the store and 3,000 ms for a lock. */
  readonly settings?: Partial<ManagerSettings>;
  /** What else can happen to this store: its server is restarted, its disk is full. */
  readonly faults?: readonly StoreFault[];
  /** Whatever is left to chance follows from it; default 1. */
  readonly seed?: number;
}

const CLAUSE_TIMEOUT_MS = 180_000;
const SETTINGS: ManagerSettings = { leaseMs: 1_500, readLeaseMs: 200, storeTimeoutMs: 1_000, lockTimeoutMs: 3_000 };

function clausesOf({ server, faults = [] }: ProcessHarness): readonly ProcessClause[] {
  return [calmClause, ...killClauses, ...silenceClauses, ...networkClauses, ...serverClausesOf(server), ...faults.map(faultClauseOf),
    ...faults.filter((fault) => fault.lag !== undefined).map(rollbackClauseOf), stopClause];
}

/**
 * Registers the clauses that a store must pass in three processes, which are killed, stopped, blocked and cut off from it, as
 * tests of the given runner. What their clients see is checked as one history.
 */
export function testProcesses(runner: Runner, harness: ProcessHarness): void {
  const { module, config, server, takeOverMs, silentTakeOverMs, recoveryMs = 1_000, seed = 1, execArgv = process.execArgv } = harness;
  const settings = { ...SETTINGS, ...harness.settings };
  const context = `kit-${hex(4)}`;
  let bench: ProcessBench | undefined;
  const instances = new Instances({
    module: String(module), context, execArgv, settings, server,
    config: async () => (typeof config === 'function' ? config() : config),
  }, (change) => { bench?.recorder.accepted(change); });
  const subject: ProcessSubject = { hasServer: server !== undefined, silentTakeOverMs };
  runner.describe(`as a cluster store in three processes, seed ${seed}`, () => {
    registerClauses(runner, clausesOf(harness), subject, async (proof, work) => {
      bench = new ProcessBench(proof, new Random(seed), instances, { settings, seed, takeOverMs, silentTakeOverMs, recoveryMs });
      try {
        await work(bench);
      } catch (error) {
        // The next clause begins with processes of its own.
        await instances.kill();
        throw error;
      }
    }, CLAUSE_TIMEOUT_MS);
  });
}

import assert from 'node:assert/strict';
import { answeringStore } from './answers.js';
import { registerClauses, type Runner } from './clause.js';
import { storeContentClauses } from './clauses/store-content.js';
import { storeEndingClauses } from './clauses/store-ending.js';
import { storeLockingClauses } from './clauses/store-locking.js';
import { hex } from './driver-bench.js';
import { Pace } from './pace.js';
import type { Json } from './processes/messages.js';
import type { OpenStore, OptionalMethod, RemoteStore } from './processes/remote-store.js';
import { StoreProcess } from './processes/store-process.js';
import { describeError } from './proof.js';
import { StoreBench, StorePair, type StoreClause, type StoreLimits } from './store-bench.js';

/** How far a store is to be pushed. */
export interface StorePushing {
  /** Within which time a session can be had again after its holder was killed. */
  readonly takeOverMs: number;
  /** The optional methods that the store does not have. */
  readonly lacks?: readonly OptionalMethod[];
  /** The shortest lifetime that clauses use; default 60. Raise it for a store that counts in seconds. */
  readonly paceMs?: number;
  /** How long after its lifetime an expired session may still be found; default 1,000. */
  readonly lateMs?: number;
  /** The largest content that the store takes, in bytes; default 1,048,576. */
  readonly maxValueBytes?: number;
}

/** A ClusterStore under test. Its two instances run in two processes. */
export interface StoreHarness extends StorePushing {
  /** URL of a module that exports `createStore({ instanceId, config })`, which returns a ClusterStore or a promise of one. */
  readonly module: string | URL;
  /** Handed to `createStore`; a function is called once, before the first store starts. */
  readonly config?: Json | (() => Json | Promise<Json>);
  /** Arguments for Node in those processes, such as a loader of TypeScript; default: those of this process. */
  readonly execArgv?: readonly string[];
  /** How long one call to a store may take; default 30,000. */
  readonly callTimeoutMs?: number;
}

/** The clauses of a ClusterStore, in their order. */
export const storeContents: readonly StoreClause[] = [...storeLockingClauses, ...storeContentClauses, ...storeEndingClauses];

function limitsOf({ takeOverMs, lateMs = 1_000, maxValueBytes = 1_048_576, lacks = [] }: StorePushing): StoreLimits {
  return { takeOverMs, lateMs, maxValueBytes, lacks };
}

/** Opens a store that is what the harness says of it. */
async function opened(openStore: OpenStore, instanceId: string, { lacks }: StoreLimits): Promise<RemoteStore> {
  const store = await openStore(instanceId).catch((error: unknown): never => assert.fail(`the store cannot be opened: ${describeError(error)}`));
  const missing = store.lacks.filter((method) => !lacks.includes(method));
  const needless = lacks.filter((method) => !store.lacks.includes(method));
  if (missing.length === 0 && needless.length === 0) return answeringStore(store);
  await store.kill();
  return assert.fail(missing.length > 0
    ? `the store has no ${missing.join(' and no ')}; if that is meant, say so in the harness: lacks: ${JSON.stringify(store.lacks)}`
    : `the harness names ${needless.join(' and ')} in lacks, but the store has it`);
}

/** Registers the clauses over stores that are opened in whichever way. */
export function registerStoreClauses(runner: Runner, pushing: StorePushing, openStore: OpenStore): void {
  const limits = limitsOf(pushing);
  const pair = new StorePair((instanceId) => opened(openStore, instanceId, limits));
  registerClauses(runner, storeContents, limits, async (proof, work) => {
    await work(new StoreBench(proof, new Pace(pushing.paceMs ?? 60, undefined), limits, pair));
  }, 60_000 + 2 * limits.takeOverMs);
}

/** Registers the clauses that any ClusterStore must pass as tests of the given runner. */
export function testStore(runner: Runner, harness: StoreHarness): void {
  const { module, execArgv = process.execArgv, callTimeoutMs = 30_000 } = harness;
  const context = `kit-${hex(4)}`;
  let config: Promise<Json | undefined> | undefined;
  const given = async () => (typeof harness.config === 'function' ? harness.config() : harness.config);
  runner.describe('as a cluster store', () => {
    registerStoreClauses(runner, harness, async (instanceId) => {
      config ??= given();
      return StoreProcess.open(instanceId, { module: String(module), context, config: await config, execArgv, callTimeoutMs });
    });
  });
}

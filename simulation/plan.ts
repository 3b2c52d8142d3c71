import type { StoreCapabilities } from '@cluster/core';
import { Random } from './random.js';
import { calm, isCalmWeather, type Weather } from './weather.js';

export type StoreKind = 'table' | 'map' | 'memory' | 'log';
export type Workload = 'mixed' | 'login' | 'removal' | 'expiry' | 'handover' | 'shared' | 'rollback';
export type RequestKind = 'post' | 'save' | 'look' | 'get' | 'write' | 'login' | 'remove' | 'release' | 'share' | 'nested';
export type Episode = 'pause' | 'suspend' | 'crash' | 'overlap' | 'outage' | 'partition' | 'drain' | 'restart' | 'storm' | 'rollback';

/** Everything about a run that follows from its seed before anything happens. */
export interface Plan {
  readonly seed: number;
  readonly store: StoreKind;
  readonly workload: Workload;
  /** Whether requests use the manager themselves, or come through @cluster/http with a cookie. */
  readonly face: 'manager' | 'http';
  readonly gone: StoreCapabilities['gone'];
  /** Whether a map dates its entries. */
  readonly hasClock: boolean;
  /** Whether a map carries signals; else waiters poll, and nothing is kept. Those of a log that has none travel through it. */
  readonly hasSignals: boolean;
  /** How likely something is removed from a log at each append. */
  readonly compaction: number;
  /** Given: a log from which nothing else is removed than its oldest part, and whose records are dated by who appends them. */
  readonly retainedBytes: number | undefined;
  /** Of a log. */
  readonly partitions: number;
  readonly instances: number;
  readonly sessions: number;
  readonly clients: number;
  readonly requests: number;
  /** How likely a client comes back to the instance that it was on before. */
  readonly sticky: number;
  readonly mix: Readonly<Partial<Record<RequestKind, number>>>;
  readonly options: {
    readonly leaseMs: number; readonly readLeaseMs: number; readonly storeTimeoutMs: number; readonly lockTimeoutMs: number;
    readonly lockHoldMs: number;
    readonly idleTimeoutMs: number; readonly absoluteTimeoutMs: number; readonly affinity: 'auto' | 'keep' | 'release'; readonly onConflict: 'merge' | 'error'; readonly maxWaiting: number;
    readonly maxInMemory: { readonly sessions: number };
  };
  readonly weather: Weather;
  readonly episodes: Readonly<Partial<Record<Episode, number>>>;
  /** Mean time between two episodes; Infinity: none. */
  readonly episodeEveryMs: number;
  /** Clocks run at most so much faster or slower than the store's. */
  readonly rateSpread: number;
  /** Nothing goes wrong. */
  readonly isCalm: boolean;
  /** Everybody waits in the same queue as well: it must be kept. */
  readonly keepsOrder: boolean;
  readonly workMs: number;
  /** So many times longer work some requests. */
  readonly slowness: number;
  readonly idleMs: number;
  /** How often a client comes back when its session is about to expire, or has expired. */
  readonly atTheEdge: number;
}

export type PlanChange = Partial<Omit<Plan, 'options' | 'weather' | 'isCalm'>> & { readonly options?: Partial<Plan['options']>; readonly weather?: Partial<Weather> };

const MIXES: Readonly<Record<Workload, Plan['mix']>> = {
  mixed: { post: 34, save: 6, look: 6, get: 26, write: 12, release: 4, share: 6, nested: 5, remove: 2 },
  login: { post: 30, get: 30, write: 8, login: 20, share: 4, remove: 4 },
  removal: { post: 35, get: 30, write: 10, remove: 15, login: 5, share: 5 },
  expiry: { post: 30, get: 40, write: 10, look: 10 },
  handover: { post: 80, get: 15, look: 5 },
  shared: { share: 60, post: 15, get: 15, write: 4, look: 4, remove: 2 },
  rollback: { post: 60, get: 30, look: 10 },
};

/** Each one of so many is about a log: the others stay what they were before there was one. */
const LOG_SEEDS = 7;
/** What is written within about the longest pause of a process takes less. */
const RETAINED_BYTES = 1_000_000;

const EPISODES: Plan['episodes'] = { pause: 25, suspend: 8, crash: 15, overlap: 5, outage: 12, partition: 12, drain: 4, restart: 6, storm: 12 };

/** Some faults often, most of them seldom: so that each run is about something. */
function weatherOf(random: Random, wayMs: number): Weather {
  const rate = () => random.pick([0, 0, 0.002, 0.01, 0.05]);
  return {
    lost: rate() / 2, replyLost: rate(), late: rate(), twice: rate() * 2, repeated: rate(), slow: rate() * 2, refused: rate() / 4,
    signalLost: random.pick([0, 0, 0.02, 0.2, 0.6]), signalTwice: rate() * 2, signalSlow: rate() * 2, signalDenied: random.pick([0, 0, 0, 0.05, 0.3]),
    wayMs, lateMs: random.pick([50, 500, 3_000]),
  };
}

function clientsOf(random: Random, workload: Workload, instances: number): number {
  // Else somebody is always at it.
  if (workload === 'expiry') return random.int(1, 3);
  return Math.max(random.int(2, 8), workload === 'handover' ? instances + random.int(0, 10) : 0);
}

export function planOf(seed: number, requests: number, change: PlanChange = {}): Plan {
  const random = new Random(seed);
  const about = change.workload ?? random.weighted<Workload>({ mixed: 40, login: 15, removal: 10, expiry: 8, handover: 12, shared: 12, rollback: 18 });
  const workload = about === 'rollback' && change.store === 'log' ? 'mixed' : about;
  const drawn = change.store ?? random.weighted<StoreKind>(workload === 'rollback' ? { table: 60, map: 40 } : { table: 45, map: 35, memory: 20 });
  const store = change.store ?? (seed % LOG_SEEDS === 0 && workload !== 'rollback' ? 'log' : drawn);
  const leaseMs = random.pick([1_000, 2_000, 4_000]);
  const instances = workload === 'handover' ? random.int(2, 20) : random.int(1, 6);
  const isCalm = random.chance(workload === 'expiry' ? 0.5 : 0.15);
  const wayMs = random.pick([0.5, 2, 5, 15]);
  // Several round trips fit into it, as they must.
  const storeTimeoutMs = random.pick([200, 400]) * (wayMs > 10 ? 3 : 1);
  const weather = isCalm ? calm(wayMs, 50) : weatherOf(random, wayMs);
  const retainedBytes = 'retainedBytes' in change ? change.retainedBytes : store === 'log' && seed % 3 === 0 ? RETAINED_BYTES : undefined;
  const hasClock = retainedBytes === undefined && (store !== 'map' || random.chance(0.7));
  const hasSignals = store === 'log' ? seed % 2 === 0 : store !== 'map' || random.chance(0.8);
  const idleTimeoutMs = workload === 'expiry' ? random.pick([3_000, 6_000, 15_000]) : 1_800_000;
  const face = workload !== 'rollback' && random.chance(0.25) ? 'http' : 'manager';
  const ofLog = new Random(seed ^ 0x10c);
  const plan: Omit<Plan, 'isCalm'> = {
    compaction: ofLog.pick([0, 0.02, 0.1, 0.4]), retainedBytes, partitions: 1,
    seed, store, workload, face, hasClock, hasSignals, instances, requests,
    gone: store === 'memory' ? 'dead' : hasSignals ? random.pick(['dead', 'disconnected', 'unknown']) : 'unknown',
    sessions: random.int(1, 3), clients: clientsOf(random, workload, instances),
    sticky: random.pick([0, 0.5, 0.9, 1]), mix: MIXES[workload],
    options: {
      leaseMs, storeTimeoutMs, readLeaseMs: random.pick([0, 100, 200, 200, 400]), lockTimeoutMs: leaseMs + 1_500 + 2 * storeTimeoutMs + random.int(0, 1_500),
      lockHoldMs: random.pick([0, 200, 600, 30_000]),
      idleTimeoutMs, absoluteTimeoutMs: workload === 'expiry' && random.chance(0.4) ? 4 * idleTimeoutMs : 0,
      affinity: random.pick(['auto', 'keep', 'keep', 'release']), onConflict: random.chance(0.8) ? 'merge' : 'error', maxWaiting: random.pick([3, 64, 64]),
      maxInMemory: { sessions: random.pick([1, 1_000, 1_000]) },
    },
    weather,
    episodes: { ...EPISODES, ...(workload === 'rollback' ? { rollback: 60 } : {}) },
    episodeEveryMs: isCalm ? Infinity : random.pick([300, 1_000, 3_000]),
    keepsOrder: isCalm && workload === 'handover' && store === 'table' && wayMs < 1,
    rateSpread: random.pick([0, 0.001, 0.05]), workMs: random.pick([1, 10, 40]), slowness: random.pick([20, 20, 60]), idleMs: random.pick([2, 30, 150]),
    atTheEdge: workload === 'expiry' ? 0.3 : 0,
  };
  const { options, weather: changedWeather, ...rest } = change;
  const changed = { ...plan, ...rest, options: { ...plan.options, ...options }, weather: { ...plan.weather, ...changedWeather } };
  return { ...changed, isCalm: isCalmWeather(changed.weather) && changed.episodeEveryMs === Infinity };
}

import { Cluster, type Life, type Mutation } from './cluster.js';
import { Clients } from './clients.js';
import { Episodes } from './episodes.js';
import { ManagerFace } from './face.js';
import { using } from './gone.js';
import { planOf, type PlanChange } from './plan.js';
import { Random } from './random.js';
import type { KnownSession, Operation, Violation } from './recorder.js';
import { checkTimelines } from './timelines.js';
import { SimTurn } from './turn.js';
import { World } from './world.js';

export interface SimulationOptions {
  /** How many requests the clients send. */
  readonly requests?: number;
  readonly change?: PlanChange;
  readonly mutation?: Mutation;
  /** Prints what happens, line by line. */
  readonly print?: (line: string) => void;
}

export interface Outcome {
  readonly seed: number;
  readonly requests: number;
  readonly operations: readonly Operation[];
  /** Those that went through the checker. */
  readonly checked: readonly Operation[];
  readonly storeEvents: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly violations: readonly Violation[];
  /** Acknowledged changes that a rollback of the store took away. */
  readonly lost: number;
}

const MOST_MS = 10_000_000;
/** A claim is heard of at the latest when its first polls have been answered. */
const ORDER_MARGIN_MS = 100;
const MOST_OVERTAKING = 3;
/** Who holds a session is asked for it every 250 ms, and looked at every 100. */
const HOLD_MARGIN_MS = 500;
/** A snapshot is begun again 5 s after one that was left. */
const SNAPSHOT_WAIT_MS = 5_000;
const SNAPSHOT_WAITS = 4;

/** One run: everything in it follows from its seed. */
export async function simulate(seed: number, { requests = 500, change = {}, mutation = {}, print }: SimulationOptions = {}): Promise<Outcome> {
  const plan = planOf(seed, requests, change);
  const world = new World(print);
  const cluster = new Cluster(world, new Random(seed ^ 0x5eed), plan, mutation);
  world.trace?.('plan', JSON.stringify(plan));
  const clients = new Clients(cluster, mutation.forgetsReads ?? false);
  const episodes = new Episodes(cluster);
  for (let instance = 0; instance < plan.instances; instance += 1) cluster.bear(`i${instance}`);
  const { recorder } = cluster;
  const rollsBack = plan.workload === 'rollback';
  let lost = 0;
  try {
    clients.start();
    episodes.start();
    await world.run(() => clients.areDone, MOST_MS);
    episodes.stop();
    await rest(world, plan.options.leaseMs * 2 + plan.weather.lateMs + plan.weather.wayMs * 50);
    const endNs = recorder.now();
    await everySession(cluster, await hasLostItsLog(cluster));
    await rest(world, plan.options.storeTimeoutMs);
    for (const { isDrained, manager, process } of cluster.running) {
      const { held } = manager.health();
      if (isDrained && held > 0) recorder.violation('drain', `${process.name}: ${held} sessions are held, though it has been drained and nobody uses them`);
    }
    if (plan.keepsOrder) recorder.checkOrder(ORDER_MARGIN_MS, MOST_OVERTAKING);
    const { lockHoldMs } = plan.options;
    if (plan.isCalm && plan.hasSignals && lockHoldMs > 0) for (const message of recorder.holds.tooLong(lockHoldMs, HOLD_MARGIN_MS + 40 * plan.weather.wayMs)) recorder.violation('hold', message);
    if (rollsBack) lost = checkTimelines(recorder);
    recorder.check(rollsBack ? endNs : 0, plan.workload === 'expiry');
  } catch (error) {
    recorder.violation('run', String(error instanceof Error ? error.stack : error));
  }
  for (const life of [...cluster.lives]) cluster.kill(life);
  return {
    seed, requests: clients.requests, operations: recorder.operations, checked: recorder.checked, storeEvents: world.events, faults: cluster.faults.counts,
    violations: recorder.violations, lost,
  };
}

async function rest(world: World, ms: number): Promise<void> {
  let isOver = false;
  world.after(ms, () => { isOver = true; });
  await world.run(() => isOver, MOST_MS);
}

/**
 * Whether the faults kept every instance from writing a snapshot until the log had lost its oldest part, and nobody is left who knows
 * what there was (see docs/decisions/session-log.md). Whoever does has time to write one.
 */
async function hasLostItsLog({ log, world, faults }: Cluster): Promise<boolean> {
  for (let waits = 0; waits < SNAPSHOT_WAITS && log?.hasBeginning === false; waits += 1) await rest(world, SNAPSHOT_WAIT_MS);
  if (log?.hasBeginning !== false) return false;
  faults.add('lost', 'log');
  return true;
}

/** After the faults every session can be had again, by one instance alone and then by all at once, within the bounds; of a lost log none. */
async function everySession(cluster: Cluster, isLost: boolean): Promise<void> {
  const { recorder, random } = cluster;
  const known = recorder.sessions.filter(({ ids, isOver, endedNs }) => ids.length > 0 && !isOver && endedNs === undefined);
  const lives = cluster.running;
  await visitAll(cluster, known.map((session) => [random.pick(lives), session]), 'alone', isLost);
  await visitAll(cluster, known.flatMap((session) => lives.map((life) => [life, session] as const)), 'last', isLost);
}

async function visitAll(cluster: Cluster, visits: readonly (readonly [Life, KnownSession])[], name: string, isLost: boolean): Promise<void> {
  let open = visits.length;
  for (const [index, [life, session]] of visits.entries()) {
    const label = `${name}#${index + 1}`;
    using(cluster, session, () => visit(cluster, life, session, label, isLost))
      .catch((error: unknown) => { cluster.recorder.violation('error', `${label}: ${String(error)}`); }).finally(() => { open -= 1; });
  }
  await cluster.world.run(() => open === 0, MOST_MS);
}

async function visit(cluster: Cluster, life: Life, session: KnownSession, label: string, isLost: boolean): Promise<void> {
  const turn = await SimTurn.find({ cluster, life, face: new ManagerFace(life, label), target: { known: session, idIndex: session.ids.length - 1 } }, 'exclusive', !isLost);
  if (turn === undefined) return;
  if (isLost) cluster.recorder.violation('snapshot', `${label}: ${life.process.name} has ${session.name}, and wrote no snapshot though the log has none`);
  turn.write('b', false);
  await turn.send(false);
  if (turn.isAcknowledged || session.isRemovalAsked) return;
  cluster.recorder.violation('liveness', `${label}: ${session.name} cannot be changed, though nothing goes wrong any more`);
}

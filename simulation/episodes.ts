import type { Cluster, Life } from './cluster.js';
import type { Episode } from './plan.js';
import { calm, calmDown } from './weather.js';

const KEPT_STATES = 8;

/** What happens to whole processes, to the store and to the network while a run goes on. Each says what it hit, if anything. */
export class Episodes {
  #isOver = false;
  readonly #ends = new Set<() => void>();
  #states: (() => void)[] = [];

  constructor(private readonly cluster: Cluster) {}

  start(): void {
    const { plan } = this.cluster;
    if (plan.episodeEveryMs === Infinity) return;
    this.#next();
    if (plan.workload === 'rollback') this.#save();
  }

  /** From now on nothing goes wrong: who was paused goes on, who is dead stays so unless an instance would be missing. */
  stop(): void {
    const { cluster } = this;
    this.#isOver = true;
    calmDown(cluster.weather);
    cluster.log?.calmDown();
    for (const end of [...this.#ends]) end();
    cluster.outage.mode = 'up';
    // Of several processes with one address only the newest hears, and none if that one is dead.
    for (const life of cluster.running) if (!cluster.network.reaches(life.process)) cluster.kill(life);
    if (cluster.running.length === 0) cluster.bear('i0');
  }

  #next(): void {
    const { plan, random, world } = this.cluster;
    world.after(-Math.log(1 - random.next()) * plan.episodeEveryMs, () => {
      if (this.#isOver) return;
      this.#begin(random.weighted(plan.episodes));
      this.#next();
    });
  }

  #begin(episode: Episode): void {
    const { cluster, cluster: { random, world } } = this;
    const running = cluster.running.filter(({ process }) => !process.isPaused);
    const crowded = running.filter(({ manager }) => manager.health().waiting > 0);
    const life = running.length === 0 ? undefined : random.pick(crowded.length > 0 && random.chance(0.5) ? crowded : running);
    if (life === undefined) return;
    const what = this[episode](life);
    if (what === undefined) return;
    cluster.faults.add(episode, what);
    world.trace?.('***', `${episode} ${life.process.name}: ${what}`);
  }

  /** Calls back at the end of the episode, or of all. */
  #for(ms: number, end: () => void): void {
    const once = () => { if (this.#ends.delete(once)) end(); };
    this.#ends.add(once);
    this.cluster.world.after(ms, once);
  }

  pause(life: Life, suspends = false): string {
    const { random, plan } = this.cluster;
    life.process.pause(suspends);
    const { readLeaseMs, leaseMs } = plan.options;
    this.#for(random.pick([random.between(0, readLeaseMs), random.between(0, leaseMs), random.between(leaseMs, 2.5 * leaseMs)]), () => { life.process.resume(); });
    return 'process';
  }

  suspend(life: Life): string { return this.pause(life, true); }

  crash(life: Life): string {
    const { cluster, cluster: { random, plan } } = this;
    cluster.kill(life);
    // Some stay dead for the rest of the run.
    const stays = random.chance(0.15) && cluster.running.length > 1;
    if (!stays) this.#for(random.between(1, 2 * plan.options.leaseMs), () => { this.#replace(life); });
    return 'process';
  }

  /** A second process takes the address while the first still serves; signals no longer arrive there. */
  overlap(life: Life): string | undefined {
    const { cluster, cluster: { random, plan } } = this;
    if (plan.gone === 'dead' || plan.store === 'memory') return undefined;
    cluster.bear(life.process.instanceId);
    this.#for(random.between(0, 2 * plan.options.leaseMs), () => { cluster.kill(life); });
    return 'process';
  }

  /** Gives back what is idle and keeps nothing from now on; it goes on serving. */
  drain(life: Life): string {
    const what = crowd(life);
    life.isDrained = true;
    life.manager.drain().catch((error: unknown) => { this.cluster.recorder.violation('error', `${life.process.name}: drain ended with ${String(error)}`); });
    return what;
  }

  /** Stops as it should, then starts anew. */
  restart(life: Life): string {
    const { cluster } = this;
    const what = crowd(life);
    life.isRetired = true;
    const bear = () => {
      if (!life.process.isAlive) return;
      cluster.kill(life);
      this.#replace(life);
    };
    life.manager.stop().then(bear, bear);
    return what;
  }

  #replace({ process: { instanceId } }: Life): void {
    if (!this.cluster.running.some(({ process }) => process.instanceId === instanceId)) this.cluster.bear(instanceId);
  }

  outage(): string {
    const { outage, random, plan } = this.cluster;
    outage.mode = random.pick(['refusing', 'hanging']);
    this.#for(random.between(10, 4 * plan.options.storeTimeoutMs), () => { outage.mode = 'up'; });
    return outage.mode;
  }

  /** Nothing is signalled any more; some drivers notice it. */
  partition(life: Life): string {
    const { cluster, cluster: { random, plan } } = this;
    const heal = cluster.network.cutOff(life.process, random.chance(0.5));
    this.#for(random.between(10, 2 * plan.options.leaseMs), heal);
    return 'signals';
  }

  storm(): string {
    const { weather, random } = this.cluster;
    const before = { ...weather };
    for (const name of ['lost', 'replyLost', 'late', 'twice', 'repeated', 'slow', 'refused', 'signalLost'] as const) {
      if (random.chance(0.4)) weather[name] = random.pick([0.05, 0.2, 0.5]);
    }
    this.#for(random.between(50, 2_000), () => { Object.assign(weather, this.#isOver ? calm(weather.wayMs, weather.lateMs) : before); });
    return 'weather';
  }

  rollback(): string | undefined {
    const { random, plan } = this.cluster;
    if (this.#states.length === 0) return undefined;
    random.pick(this.#states)();
    this.cluster.recorder.rolledBack();
    this.#states = [];
    return plan.store;
  }

  #save(): void {
    const { table, map, random, world } = this.cluster;
    const rows = table?.save();
    const kept = map?.save();
    this.#states.push(() => {
      if (rows !== undefined) table?.rollBack(rows);
      if (kept !== undefined) map?.rollBack(kept);
    });
    if (this.#states.length > KEPT_STATES) this.#states.shift();
    world.after(random.between(20, 300), () => { if (!this.#isOver) this.#save(); });
  }
}

const crowd = ({ manager }: Life): string => (manager.health().waiting > 0 ? 'with waiters queued' : 'with nobody waiting');

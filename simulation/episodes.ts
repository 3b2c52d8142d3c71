import type { Cluster, Life } from './cluster.js';
import type { Episode } from './plan.js';
import { calm, calmDown } from './weather.js';

const KEPT_STATES = 8;

/** What happens to whole processes, to the store and to the network while a run goes on. */
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
    for (const end of [...this.#ends]) end();
    cluster.outage.mode = 'up';
    // Of several processes with one address only the newest hears.
    const newest = new Map(cluster.running.map((life) => [life.process.instanceId, life]));
    for (const life of cluster.running) if (newest.get(life.process.instanceId) !== life) cluster.kill(life);
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
    const life = running.length === 0 ? undefined : random.pick(running);
    if (life === undefined) return;
    if (!this[episode](life)) return;
    cluster.faults.add(episode);
    world.trace?.('***', `${episode} ${life.process.name}`);
  }

  /** Calls back at the end of the episode, or of all. */
  #for(ms: number, end: () => void): void {
    const once = () => { if (this.#ends.delete(once)) end(); };
    this.#ends.add(once);
    this.cluster.world.after(ms, once);
  }

  pause(life: Life, suspends = false): boolean {
    const { random, plan } = this.cluster;
    life.process.pause(suspends);
    const { readLeaseMs, leaseMs } = plan.options;
    this.#for(random.pick([random.between(0, readLeaseMs), random.between(0, leaseMs), random.between(leaseMs, 2.5 * leaseMs)]), () => { life.process.resume(); });
    return true;
  }

  suspend(life: Life): boolean { return this.pause(life, true); }

  crash(life: Life): boolean {
    const { cluster, cluster: { random, plan } } = this;
    cluster.kill(life);
    // Some stay dead for the rest of the run.
    const stays = random.chance(0.15) && cluster.running.length > 1;
    if (!stays) this.#for(random.between(1, 2 * plan.options.leaseMs), () => { this.#replace(life); });
    return true;
  }

  /** A second process takes the address while the first still serves; signals no longer arrive there. */
  overlap(life: Life): boolean {
    const { cluster, cluster: { random, plan } } = this;
    if (plan.gone === 'dead' || plan.store === 'memory') return false;
    cluster.bear(life.process.instanceId);
    this.#for(random.between(0, 2 * plan.options.leaseMs), () => { cluster.kill(life); });
    return true;
  }

  /** Stops as it should, then starts anew. */
  restart(life: Life): boolean {
    const { cluster } = this;
    life.isRetired = true;
    const bear = () => {
      if (!life.process.isAlive) return;
      cluster.kill(life);
      this.#replace(life);
    };
    life.manager.stop().then(bear, bear);
    return true;
  }

  #replace({ process: { instanceId } }: Life): void {
    if (!this.cluster.running.some(({ process }) => process.instanceId === instanceId)) this.cluster.bear(instanceId);
  }

  outage(): boolean {
    const { outage, random, plan } = this.cluster;
    outage.mode = random.pick(['refusing', 'hanging']);
    this.#for(random.between(10, 4 * plan.options.storeTimeoutMs), () => { outage.mode = 'up'; });
    return true;
  }

  /** Nothing is signalled any more; some drivers notice it. */
  partition(life: Life): boolean {
    const { cluster, cluster: { random, plan } } = this;
    const heal = cluster.network.cutOff(life.process, random.chance(0.5));
    this.#for(random.between(10, 2 * plan.options.leaseMs), heal);
    return true;
  }

  storm(): boolean {
    const { weather, random } = this.cluster;
    const before = { ...weather };
    for (const name of ['lost', 'replyLost', 'late', 'twice', 'repeated', 'slow', 'refused', 'signalLost'] as const) {
      if (random.chance(0.4)) weather[name] = random.pick([0.05, 0.2, 0.5]);
    }
    this.#for(random.between(50, 2_000), () => { Object.assign(weather, this.#isOver ? calm(weather.wayMs, weather.lateMs) : before); });
    return true;
  }

  rollback(): boolean {
    const { random } = this.cluster;
    if (this.#states.length === 0) return false;
    random.pick(this.#states)();
    this.cluster.recorder.rolledBack();
    this.#states = [];
    return true;
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

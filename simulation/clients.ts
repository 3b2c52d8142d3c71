import type { Cluster, Life } from './cluster.js';
import type { RequestKind } from './plan.js';
import type { KnownSession } from './recorder.js';
import { codeOf, SimTurn } from './turn.js';

const ATTRIBUTES = ['a', 'b', 'c'];
const REMOVAL_CODES: ReadonlySet<string> = new Set(['CLUSTER_UNAVAILABLE', 'CLUSTER_STOPPED', 'CLUSTER_UNKNOWN_OUTCOME']);

/** People with browsers: each sends one request after another, several share a session. */
export class Clients {
  #left: number;
  #labels = 0;
  #open: number;
  requests = 0;
  readonly #shared: KnownSession[] = [];

  constructor(private readonly cluster: Cluster, private readonly forgetsReads: boolean) {
    this.#left = cluster.plan.requests;
    this.#open = cluster.plan.clients;
    for (let place = 0; place < cluster.plan.sessions; place += 1) this.#replace(place);
  }

  get areDone(): boolean { return this.#open === 0; }

  start(): void {
    for (let client = 0; client < this.cluster.plan.clients; client += 1) void this.#live(client);
  }

  /** One request; resolves when its response has arrived, or its process died. */
  async request(life: Life, place: number, kind: RequestKind): Promise<void> {
    const { cluster } = this;
    const known = this.#shared[place];
    if (known === undefined) return;
    const label = `${kind}#${this.#labels += 1}`;
    const answered = new Promise<void>((resolve) => {
      cluster.world.after(cluster.random.between(0, 2), () => {
        life.process.receive(() => {
          this.#serve(life, place, known, kind, label).catch((error: unknown) => { cluster.recorder.violation('error', `${label}: ${String(error)}`); }).finally(resolve);
        });
      });
    });
    this.requests += 1;
    await Promise.race([answered, life.process.death]);
  }

  async #live(client: number): Promise<void> {
    const { cluster: { plan, random, world }, cluster } = this;
    let usual = random.int(0, plan.instances - 1);
    await world.sleep(random.between(0, 20));
    while (this.#left > 0) {
      this.#left -= 1;
      if (!random.chance(plan.sticky)) usual = random.int(0, plan.instances - 1);
      const running = cluster.running;
      const same = running.filter(({ process }) => process.instanceId === `i${usual}`);
      const life = same.length > 1 ? random.pick(same) : same[0] ?? running[client % Math.max(1, running.length)];
      if (life === undefined) await world.sleep(20);
      else await this.request(life, random.int(0, plan.sessions - 1), random.weighted(plan.mix));
      await world.sleep(random.between(0, 2 * plan.idleMs));
    }
    this.#open -= 1;
  }

  #replace(place: number): KnownSession {
    const { recorder } = this.cluster;
    const known: KnownSession = { name: `s${recorder.sessions.length}`, ids: [], isOver: false, goneNs: [], endedNs: undefined, removedNs: undefined, usedMs: 0, isRemovalAsked: false };
    recorder.sessions.push(known);
    this.#shared[place] = known;
    return known;
  }

  async #serve(life: Life, place: number, known: KnownSession, kind: RequestKind, label: string): Promise<void> {
    if (known.ids.length === 0 && this.#shared[place] === known) {
      await this.#begin(life, place, known, label);
      return;
    }
    if (kind === 'remove') await this.#remove(life, known, label);
    else if (kind === 'get') await this.#get(life, known, label);
    else if (kind === 'write') await this.#getAndWrite(life, known, label);
    else await this.#exclusive(life, known, kind, label);
    if (known.isOver && this.#shared[place] === known) this.#replace(place);
  }

  async #work(life: Life): Promise<void> {
    const { random, plan } = this.cluster;
    if (random.chance(0.2)) return;
    await life.process.sleep(random.between(0, plan.workMs) * (random.chance(0.05) ? 20 : 1));
  }

  /** A new session: only who gets the response knows its id. */
  async #begin(life: Life, place: number, known: KnownSession, label: string): Promise<void> {
    const fresh: KnownSession = { ...known, ids: [], goneNs: [], name: `${known.name}-${label}` };
    const turn = SimTurn.create(this.cluster, life, fresh, label);
    turn.write('a', false);
    if (this.cluster.random.chance(0.5)) turn.write('c', false);
    const callMs = this.cluster.world.nowMs;
    await turn.send(false);
    fresh.usedMs = callMs;
    this.cluster.recorder.sessions.push(fresh);
    if (turn.isAcknowledged && this.#shared[place] === known) this.#shared[place] = fresh;
  }

  async #exclusive(life: Life, known: KnownSession, kind: RequestKind, label: string): Promise<void> {
    const turn = await SimTurn.find(this.cluster, life, known, 'exclusive', label);
    if (turn === undefined) return;
    await this.#work(life);
    if (kind === 'look') {
      await turn.send(false);
      return;
    }
    this.#change(turn);
    if (kind === 'release') {
      await this.#work(life);
      await turn.release();
      return;
    }
    if (kind === 'save' && !await this.#goOn(life, turn)) return;
    if (kind === 'login' && (!await turn.changeId() || !await this.#goOn(life, turn, false))) return;
    await turn.send(false);
  }

  async #goOn(life: Life, turn: SimTurn, saves = true): Promise<boolean> {
    if (saves && !await turn.send(true)) return false;
    await this.#work(life);
    if (this.cluster.random.chance(0.7)) this.#change(turn);
    return true;
  }

  async #get(life: Life, known: KnownSession, label: string): Promise<void> {
    const { random } = this.cluster;
    const turn = await SimTurn.find(this.cluster, life, known, 'snapshot', label);
    if (turn === undefined) return;
    turn.look(random.chance(0.7) ? 'all' : [random.pick(ATTRIBUTES)]);
    await turn.send(false);
  }

  async #getAndWrite(life: Life, known: KnownSession, label: string): Promise<void> {
    const { random } = this.cluster;
    const turn = await SimTurn.find(this.cluster, life, known, 'snapshot', label);
    if (turn === undefined) return;
    if (this.forgetsReads) turn.reader = await life.manager.findSession(turn.session.id, { access: 'snapshot' });
    turn.look(random.chance(0.5) ? 'all' : [random.pick(ATTRIBUTES)]);
    await this.#work(life);
    this.#change(turn);
    await turn.send(false);
  }

  #change(turn: SimTurn): void {
    const { random } = this.cluster;
    const first = random.pick(ATTRIBUTES);
    const second = random.pick(ATTRIBUTES);
    turn.write(first, random.chance(0.05));
    if (second !== first && random.chance(0.3)) turn.write(second, false);
  }

  async #remove(life: Life, known: KnownSession, label: string): Promise<void> {
    const { recorder, world } = this.cluster;
    const idIndex = known.ids.length - 1;
    const id = known.ids[idIndex];
    if (id === undefined) return;
    known.isRemovalAsked = true;
    const operation = recorder.add({ client: label, call_ns: recorder.now(), key: known.name, op: 'write', value: null, result: 'unknown' });
    world.trace?.(life.process.name, `${label}: remove ${known.name}.${idIndex}`);
    try {
      const answer = await life.manager.removeSession(id);
      world.trace?.(life.process.name, `${label}: ${answer}`);
      operation.return_ns = recorder.now();
      if (answer === 'moved') operation.result = 'fail';
      else known.endedNs ??= operation.return_ns;
      if (answer === 'confirmed') {
        operation.result = 'ok';
        known.goneNs[idIndex] ??= operation.return_ns;
        known.removedNs = operation.return_ns;
        known.isOver = true;
      }
    } catch (error) {
      world.trace?.(life.process.name, `${label}: ${String(error)}`);
      operation.return_ns = recorder.now();
      if (!REMOVAL_CODES.has(codeOf(error))) recorder.violation('error', `${label}: removal ended with ${String(error)}`);
      if (codeOf(error) !== 'CLUSTER_UNKNOWN_OUTCOME') operation.result = 'refused';
    }
  }
}

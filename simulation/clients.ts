import { AsyncResource } from 'node:async_hooks';
import { NAMES } from './attributes.js';
import { Browser, type Target } from './browser.js';
import type { Cluster, Life } from './cluster.js';
import { ManagerFace, type Access, type Face } from './face.js';
import { codeOf, type Asker } from './find.js';
import { using } from './gone.js';
import { HttpFace } from './http-face.js';
import type { RequestKind } from './plan.js';
import { SharedTurn } from './shared-turn.js';
import { SimTurn } from './turn.js';

const REMOVAL_CODES: ReadonlySet<string> = new Set(['CLUSTER_UNAVAILABLE', 'CLUSTER_STOPPED', 'CLUSTER_UNKNOWN_OUTCOME']);
/** Just before the idle time-out, in the touch window after it, and later. */
const EDGES: readonly (readonly [number, number])[] = [[0.85, 1], [1, 1.12], [1.12, 2.5]];
const ACCESS: Partial<Record<RequestKind, Access>> = { get: 'snapshot', write: 'snapshot', share: 'shared' };

/** People with browsers: each sends one request after another, several share a session. */
export class Clients {
  #left: number;
  #labels = 0;
  #open: number;
  requests = 0;
  readonly #browsers: readonly Browser[];

  constructor(private readonly cluster: Cluster, private readonly forgetsReads: boolean) {
    const { plan } = cluster;
    this.#left = plan.requests;
    this.#open = plan.clients;
    this.#browsers = Array.from({ length: plan.sessions }, () => new Browser(cluster, plan.face === 'http'));
  }

  get areDone(): boolean { return this.#open === 0; }

  start(): void {
    for (let client = 0; client < this.cluster.plan.clients; client += 1) void this.#live(client);
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
      else await this.#request(life, random.pick(this.#browsers), random.weighted(plan.mix));
      await world.sleep(random.chance(plan.atTheEdge) ? random.between(...random.pick(EDGES)) * plan.options.idleTimeoutMs : random.between(0, 2 * plan.idleMs));
    }
    this.#open -= 1;
  }

  /** One request; resolves when its response has arrived, or its process died. */
  async #request(life: Life, browser: Browser, kind: RequestKind): Promise<void> {
    const { random, world, recorder, plan } = this.cluster;
    const { cookie } = browser;
    const face = this.#face(life, `${kind}#${this.#labels += 1}`, ACCESS[kind] ?? 'exclusive');
    const answered = new Promise<void>((resolve) => {
      const serve = () => {
        this.#serve(life, browser, face, cookie, kind)
          .catch((error: unknown) => { recorder.violation('error', `${face.label}: ${String(error)}`); })
          .then(() => face.close()).then(() => { world.after(random.between(0, plan.face === 'http' ? 2 : 0), resolve); }, resolve);
      };
      // Each request has an asynchronous context of its own, as one that comes from a socket has.
      const context = new AsyncResource('request');
      world.after(random.between(0, 2), () => { life.process.receive(() => { context.runInAsyncScope(serve); }); });
    });
    this.requests += 1;
    await Promise.race([answered, life.process.death]);
    const setCookie = face instanceof HttpFace ? face.setCookie : undefined;
    if (setCookie !== undefined && life.process.isAlive) browser.receive(face.label, cookie, setCookie);
  }

  #face(life: Life, name: string, access: Access): Face {
    const { sessions } = life;
    return sessions === undefined ? new ManagerFace(life, name, name.startsWith('nested')) : new HttpFace(life, sessions, name, access, () => this.cluster.recorder.token());
  }

  async #serve(life: Life, browser: Browser, face: Face, cookie: string | undefined, kind: RequestKind): Promise<void> {
    const { cluster } = this;
    const target = browser.target(cookie);
    if (target === undefined) {
      await this.#begin({ cluster, life, face, target: { known: browser.known, idIndex: 0 } }, browser);
      return;
    }
    await using(cluster, target.known, () => this.#use({ cluster, life, face, target }, kind));
    if (face instanceof HttpFace && face.begun !== undefined) this.#noteBegun(face, target);
    if (target.known.isOver && browser.known === target.known) browser.startOver();
    if (target.known.goneNs[target.idIndex] !== undefined) browser.forget(cookie);
  }

  async #use(asker: Asker, kind: RequestKind): Promise<void> {
    if (kind === 'remove') await this.#remove(asker);
    else if (kind === 'get') await this.#get(asker);
    else if (kind === 'write') await this.#getAndWrite(asker);
    else if (kind === 'share') await this.#share(asker);
    else await this.#exclusive(asker, kind);
  }

  async #work(life: Life): Promise<void> {
    const { random, plan } = this.cluster;
    if (random.chance(0.2)) return;
    await life.process.sleep(random.between(0, plan.workMs) * (random.chance(0.05) ? plan.slowness : 1));
  }

  /** A new session: only who gets the response knows its id. */
  async #begin(asker: Asker, browser: Browser): Promise<void> {
    const { recorder, random, world } = this.cluster;
    const { target: { known }, face } = asker;
    const fresh = recorder.know(`${known.name}-${face.label}`);
    const turn = await SimTurn.create({ ...asker, target: { known: fresh, idIndex: 0 } });
    turn.write('a', false);
    if (random.chance(0.5)) turn.write('c', false);
    fresh.bornMs = fresh.usedMs = world.nowMs;
    await turn.send(false);
    fresh.bornByMs = fresh.usedUntilMs = world.nowMs;
    if (turn.isAcknowledged && browser.known === known) browser.known = fresh;
  }

  /** An application that found no session has begun one. */
  #noteBegun({ begun, label }: HttpFace, { known }: Target): void {
    const { recorder, world } = this.cluster;
    if (begun === undefined) return;
    const fresh = recorder.know(`${known.name}-${label}`);
    fresh.ids.push(begun.session.id);
    fresh.bornMs = fresh.usedMs = known.usedMs;
    fresh.bornByMs = fresh.usedUntilMs = world.nowMs;
    // It took effect somewhere before this; nobody else knows the id yet.
    const nowNs = recorder.now();
    recorder.add({ client: label, call_ns: nowNs, return_ns: recorder.now(), key: fresh.name, op: 'cas', expect: null, value: { $id: 0, [begun.attribute]: begun.token }, result: 'ok' });
  }

  async #exclusive(asker: Asker, kind: RequestKind): Promise<void> {
    const { life } = asker;
    const turn = await SimTurn.find(asker, 'exclusive');
    if (turn === undefined) return;
    await this.#work(life);
    if (kind === 'look') {
      await turn.send(false);
      return;
    }
    this.#change(turn);
    // What HTTP calls release publishes as well.
    if (kind === 'release' && asker.life.sessions === undefined) {
      await this.#work(life);
      await turn.release();
      return;
    }
    if (kind === 'save' && !await this.#goOn(life, turn)) return;
    if (kind === 'nested' && !await this.#nest(life, turn)) return;
    if (kind === 'login' && (!await turn.changeId() || !await this.#goOn(life, turn, false))) return;
    await turn.send(false);
  }

  async #goOn(life: Life, turn: SimTurn, saves = true): Promise<boolean> {
    if (saves && !await turn.send(true)) return false;
    await this.#work(life);
    if (this.cluster.random.chance(0.7)) this.#change(turn);
    return true;
  }

  /** Part of the work asks for the session itself, and ends it. */
  async #nest(life: Life, turn: SimTurn): Promise<boolean> {
    if (!await turn.comeBack()) {
      await turn.send(false);
      return false;
    }
    await this.#work(life);
    this.#change(turn);
    if (!await turn.send(true, true)) return false;
    await this.#work(life);
    this.#change(turn);
    return true;
  }

  async #share(asker: Asker): Promise<void> {
    const { random } = this.cluster;
    const turn = await SharedTurn.find(asker);
    if (turn === undefined) return;
    await this.#work(asker.life);
    this.#change(turn);
    if (random.chance(0.05)) {
      await turn.changeId();
      return;
    }
    if (random.chance(0.3)) {
      if (!await turn.send(true)) return;
      turn.look();
      await this.#work(asker.life);
      if (random.chance(0.7)) this.#change(turn);
    }
    await turn.send(false);
  }

  async #get(asker: Asker): Promise<void> {
    const { random } = this.cluster;
    const turn = await SimTurn.find(asker, 'snapshot');
    if (turn === undefined) return;
    turn.look(random.chance(0.7) ? 'all' : [random.pick(NAMES)]);
    await turn.send(false);
  }

  async #getAndWrite(asker: Asker): Promise<void> {
    const { random } = this.cluster;
    const turn = await SimTurn.find(asker, 'snapshot');
    if (turn === undefined) return;
    if (this.forgetsReads) turn.reader = await asker.life.manager.findSession(turn.session.id, { access: 'snapshot' });
    turn.look(random.chance(0.5) ? 'all' : [random.pick(NAMES)]);
    await this.#work(asker.life);
    this.#change(turn);
    await turn.send(false);
  }

  #change(turn: SimTurn | SharedTurn): void {
    const { random } = this.cluster;
    const first = random.pick(NAMES);
    const second = random.pick(NAMES);
    turn.write(first, random.chance(0.05));
    if (second !== first && random.chance(0.3)) turn.write(second, false);
  }

  async #remove({ life, face: { label }, target: { known } }: Asker): Promise<void> {
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

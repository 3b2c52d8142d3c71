import { ClusterError, type Session } from '@cluster/core';
import type { Cluster, Life } from './cluster.js';
import type { KnownSession, Operation, Scalar, View } from './recorder.js';

const NAMES = ['a', 'b', 'c'] as const;
/** What no request may end with, wherever it stood. */
const BEGIN_CODES: ReadonlySet<string> = new Set(['CLUSTER_LOCKED', 'CLUSTER_QUEUE_FULL', 'CLUSTER_MOVED', 'CLUSTER_UNAVAILABLE', 'CLUSTER_STOPPED']);
const END_CODES: ReadonlySet<string> = new Set([
  'CLUSTER_LOCKED', 'CLUSTER_QUEUE_FULL', 'CLUSTER_CONFLICT', 'CLUSTER_FENCED', 'CLUSTER_UNKNOWN_OUTCOME', 'CLUSTER_UNAVAILABLE', 'CLUSTER_SESSION_ENDED', 'CLUSTER_STOPPED',
]);
const SLACK_MS = 5;

export type Access = 'exclusive' | 'snapshot' | 'new';

const scalarOf = (value: unknown): Scalar => {
  if (value === undefined) return null;
  // `c` is an object, so that changes inside of one are seen too.
  return typeof value === 'object' && value !== null ? Reflect.get(value, 'token') as number : value as number;
};

/** One request's use of a session: does it, records it, and holds it to its bounds. */
export class SimTurn {
  session: Session;
  /** What it has seen and written so far. */
  view: View = {};
  /** Its change, if it made one, was acknowledged. */
  isAcknowledged = false;
  #change: View = {};
  readonly #incarnation: string | undefined;
  /** A handle that what is read does not pass through. */
  reader: Session | undefined;

  private constructor(
    private readonly cluster: Cluster, private readonly life: Life, readonly known: KnownSession, public idIndex: number,
    readonly access: Access, readonly label: string, session: Session, private readonly calledNs: number, private readonly foundNs: number,
  ) {
    this.session = session;
    this.#incarnation = life.incarnation;
  }

  static create(cluster: Cluster, life: Life, known: KnownSession, label: string): SimTurn {
    const session = life.manager.createSession();
    known.ids.push(session.id);
    return new SimTurn(cluster, life, known, 0, 'new', label, session, 0, 0);
  }

  /** Undefined: there is none, or it could not be had. */
  static async find(cluster: Cluster, life: Life, known: KnownSession, access: Access, label: string, mustBeHad = false): Promise<SimTurn | undefined> {
    const { recorder, world } = cluster;
    const idIndex = known.ids.length - 1;
    const id = known.ids[idIndex];
    if (id === undefined) return undefined;
    const callNs = recorder.now();
    const calledMs = world.nowMs;
    world.trace?.(life.process.name, `${label}: find ${known.name}.${idIndex} ${access}`);
    const bound = new Bound(cluster, life, `${label}: find`);
    let session: Session | undefined;
    try {
      session = await life.manager.findSession(id, { access: access === 'new' ? 'exclusive' : access, label });
    } catch (error) {
      bound.end();
      world.trace?.(life.process.name, `${label}: ${codeOf(error)}`);
      if (!BEGIN_CODES.has(codeOf(error))) recorder.violation('error', `${label}: find ended with ${String(error)}`);
      if (mustBeHad && codeOf(error) !== 'CLUSTER_MOVED') recorder.violation('liveness', `${label}: ${known.name} cannot be had: ${String(error)}`);
      if (codeOf(error) === 'CLUSTER_MOVED') markGone(cluster, known, idIndex);
      return undefined;
    }
    bound.end();
    if (session === undefined) {
      world.trace?.(life.process.name, `${label}: ${known.name}.${idIndex} is absent`);
      noteAbsent(cluster, known, idIndex, callNs, label);
      return undefined;
    }
    const goneNs = known.goneNs[idIndex];
    if (goneNs !== undefined && goneNs < callNs && cluster.plan.workload !== 'rollback') recorder.violation('back', `${label}: ${known.name}.${idIndex} was gone, and is found again`);
    known.usedMs = Math.max(known.usedMs, calledMs);
    const turn = new SimTurn(cluster, life, known, idIndex, access, label, session, callNs, recorder.now());
    turn.view.$id = idIndex;
    // Whoever has the lock knows everything.
    if (access === 'exclusive') {
      turn.look('all');
      recorder.granted(known, label, life.process.name, calledMs);
    }
    return turn;
  }

  /** Looks at some of the attributes, or at all with their names. */
  look(names: readonly string[] | 'all'): void {
    const { recorder } = this.cluster;
    const from = this.reader ?? this.session;
    const present = names === 'all' ? new Set(Object.keys(from)) : undefined;
    for (const name of names === 'all' ? NAMES : names) this.view[name] = present?.has(name) === false ? null : scalarOf(from.get(name));
    this.cluster.world.trace?.(this.life.process.name, `${this.label}: sees ${JSON.stringify(this.view)}`);
    const returnNs = this.reader === undefined ? this.foundNs : recorder.now();
    recorder.add({ client: this.label, call_ns: this.calledNs, return_ns: returnNs, key: this.known.name, op: 'read', value: { ...this.view }, result: 'ok' });
  }

  /** Writes a value of its own to an attribute, or removes it. */
  write(name: string, removes: boolean): void {
    const token = removes ? null : this.cluster.recorder.token();
    try {
      if (token === null) {
        if (!this.session.delete(name)) {
          // Nothing was removed: all that it says is that nothing was there.
          this.view[name] = null;
          return;
        }
      } else if (name !== 'c') this.session.set(name, token);
      else this.#writeInside(token);
      this.#change[name] = token;
    } catch (error) {
      // Removed by force, or expired, under the request; its send says so as well.
      if (codeOf(error) !== 'CLUSTER_SESSION_ENDED' || !(this.known.isRemovalAsked || this.cluster.plan.workload === 'expiry' || this.cluster.plan.workload === 'rollback')) throw error;
    }
  }

  /** Publishes; resolves to whether the turn can go on. */
  async send(goesOn: boolean): Promise<boolean> {
    const { recorder, world } = this.cluster;
    const change = this.#change;
    this.#change = {};
    const operation = Object.keys(change).length === 0 ? undefined : this.#operation(change);
    world.trace?.(this.life.process.name, `${this.label}: send ${JSON.stringify(change)}${goesOn ? ' and goes on' : ''}`);
    // The first change of a process may have to wait for its start as well.
    const bound = new Bound(this.cluster, this.life, `${this.label}: send`, this.access === 'new' ? 2 : 1);
    try {
      await this.life.manager.sendSession(this.session, { release: !goesOn });
    } catch (error) {
      bound.end();
      this.#failed(operation, error, 'send');
      return false;
    }
    bound.end();
    world.trace?.(this.life.process.name, `${this.label}: sent`);
    if (operation !== undefined) this.#done(operation);
    for (const [name, value] of Object.entries(change)) this.view[name] = value;
    const endedNs = this.known.endedNs ?? this.known.goneNs[this.idIndex] ?? Infinity;
    if (operation !== undefined && endedNs < operation.call_ns && this.cluster.plan.workload !== 'rollback' && recorder.conflicts.get(this.label) !== 'dropped') {
      recorder.violation('back', `${this.label}: a change of ${this.known.name}.${this.idIndex} was acknowledged after it was gone`);
    }
    return goesOn;
  }

  async changeId(): Promise<boolean> {
    const { world } = this.cluster;
    const change = this.#change;
    this.#change = {};
    const next = this.known.ids.length;
    const operation = this.#operation({ ...change, $id: next });
    world.trace?.(this.life.process.name, `${this.label}: change id of ${this.known.name}.${this.idIndex} to .${next}`);
    const bound = new Bound(this.cluster, this.life, `${this.label}: id change`);
    try {
      this.session = await this.life.manager.changeSessionId(this.session);
    } catch (error) {
      bound.end();
      this.#failed(operation, error, 'id change');
      return false;
    }
    bound.end();
    if (this.known.ids.length !== next) this.cluster.recorder.violation('id', `${this.label}: two id changes of ${this.known.name} succeeded at once`);
    this.known.ids.push(this.session.id);
    this.#done(operation);
    markGone(this.cluster, this.known, this.idIndex);
    this.idIndex = next;
    Object.assign(this.view, change, { $id: next });
    world.trace?.(this.life.process.name, `${this.label}: is ${this.known.name}.${next}`);
    return true;
  }

  async release(): Promise<void> {
    const bound = new Bound(this.cluster, this.life, `${this.label}: release`);
    await this.life.manager.releaseSession(this.session).catch((error: unknown) => {
      if (!END_CODES.has(codeOf(error))) this.cluster.recorder.violation('error', `${this.label}: release ended with ${String(error)}`);
    });
    bound.end();
  }

  #writeInside(token: number): void {
    const value: unknown = this.session.get('c');
    if (typeof value === 'object' && value !== null) Reflect.set(value, 'token', token);
    else this.session.set('c', { token });
  }

  #operation(change: View): Operation {
    const { recorder } = this.cluster;
    const isNew = this.access === 'new' && !Object.hasOwn(this.view, '$id');
    return recorder.add({
      client: this.label, call_ns: recorder.now(), key: this.known.name, op: 'cas', result: 'unknown',
      expect: isNew ? null : { ...this.view }, value: isNew ? { ...change, $id: 0 } : { ...change },
    });
  }

  #done(operation: Operation): void {
    operation.return_ns = this.cluster.recorder.now();
    operation.result = 'ok';
    this.isAcknowledged = true;
    if (operation.expect === null) this.view.$id = 0;
  }

  #failed(operation: Operation | undefined, error: unknown, what: string): void {
    const { recorder, world, plan } = this.cluster;
    const code = codeOf(error);
    world.trace?.(this.life.process.name, `${this.label}: ${what} ended with ${String(error)}`);
    if (!END_CODES.has(code)) recorder.violation('error', `${this.label}: ${what} ended with ${String(error)}`);
    if (operation !== undefined) {
        operation.return_ns = recorder.now();
      operation.result = code === 'CLUSTER_UNKNOWN_OUTCOME' ? 'unknown' : 'refused';
    }
    const isLost = code === 'CLUSTER_FENCED' && this.access !== 'snapshot' && plan.workload !== 'rollback' && plan.workload !== 'expiry';
    if (isLost && this.cluster.hasEnded(this.#incarnation) === false && !this.life.isRetired) {
      recorder.violation('lock', `${this.label}: it lost the lock of ${this.known.name}, and its instance has its lease`);
    }
  }
}

/** A time within which something must have ended, by the clock of its process. */
class Bound {
  readonly #startMs: number;
  readonly #pauses: number;

  constructor(private readonly cluster: Cluster, private readonly life: Life, private readonly what: string, private readonly times = 1) {
    this.#startMs = life.process.clock.monotonicMs();
    this.#pauses = life.process.pauses;
  }

  end(): void {
    const { plan, recorder } = this.cluster;
    if (this.life.process.pauses !== this.#pauses) return;
    const tookMs = this.life.process.clock.monotonicMs() - this.#startMs;
    const limitMs = (plan.options.lockTimeoutMs + plan.options.storeTimeoutMs) * this.times;
    if (tookMs > limitMs + SLACK_MS) recorder.violation('bound', `${this.what} took ${tookMs.toFixed(1)} ms, promised were ${limitMs}`);
  }
}

export const codeOf = (error: unknown): string => (ClusterError.is(error) ? error.code : 'no ClusterError');

function markGone(cluster: Cluster, known: KnownSession, idIndex: number): void {
  known.goneNs[idIndex] ??= cluster.recorder.now();
  if (idIndex === known.ids.length - 1) known.isOver = true;
}

/** What is not there must have been removed, or be old enough. */
function noteAbsent(cluster: Cluster, known: KnownSession, idIndex: number, callNs: number, label: string): void {
  const { plan, recorder, world } = cluster;
  const isLatest = idIndex === known.ids.length - 1;
  if (isLatest && known.isRemovalAsked && known.removedNs === undefined) {
    // Until its removal is confirmed the holder's memory may show it; but nothing is stored any more.
    known.endedNs ??= recorder.now();
    known.isOver = true;
    return;
  }
  if (isLatest) recorder.add({ client: label, call_ns: callNs, return_ns: recorder.now(), key: known.name, op: 'read', value: null, result: 'ok' });
  const isEarly = world.nowMs < known.usedMs + plan.options.idleTimeoutMs;
  if (plan.workload === 'expiry' && isEarly && !known.isRemovalAsked && plan.episodeEveryMs === Infinity) {
    recorder.violation('expiry', `${label}: ${known.name} is gone ${(world.nowMs - known.usedMs).toFixed(1)} ms after its last use, idle time-out is ${plan.options.idleTimeoutMs}`);
  }
  markGone(cluster, known, idIndex);
}

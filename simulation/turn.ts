import type { Session } from '@cluster/core';
import { NAMES, scalarOf, setToken } from './attributes.js';
import { Bound } from './bound.js';
import type { Target } from './browser.js';
import type { Access } from './face.js';
import { codeOf, findFor, mayHaveEnded, noteChanged, noteFailure, noteMoved, type Asker } from './find.js';
import type { KnownSession, Operation, View } from './recorder.js';

/** One request's use of a session that nobody else has: does it, records it, and holds it to its bounds. */
export class SimTurn {
  session: Session;
  /** What it has seen and written so far. */
  view: View = {};
  /** Its change, if it made one, was acknowledged. */
  isAcknowledged = false;
  #change: View = {};
  #target: Target;
  /** A handle that what is read does not pass through. */
  reader: Session | undefined;

  private constructor(
    private readonly asker: Asker, readonly access: Access | 'new', session: Session, private readonly incarnation: string | undefined,
    private readonly calledNs: number, private readonly foundNs: number,
  ) {
    this.session = session;
    this.#target = asker.target;
  }

  get #recorder() { return this.asker.cluster.recorder; }
  get #label(): string { return this.asker.face.label; }
  get #known(): KnownSession { return this.#target.known; }

  /** A new session: nobody else knows its id. */
  static async create(asker: Asker): Promise<SimTurn> {
    const { life, face, target: { known } } = asker;
    const session = await face.find(undefined, 'exclusive');
    if (session === undefined) throw new Error('a new session is always there');
    known.ids.push(session.id);
    return new SimTurn(asker, 'new', session, life.incarnation, 0, 0);
  }

  /** Undefined: there is none, or it could not be had. */
  static async find(asker: Asker, access: Exclude<Access, 'shared'>, mustBeHad = false): Promise<SimTurn | undefined> {
    const found = await findFor(asker, access, mustBeHad);
    if (found === undefined) return undefined;
    const { cluster: { recorder }, life, face, target: { known, idIndex } } = asker;
    const turn = new SimTurn(asker, access, found.session, found.incarnation, found.calledNs, found.foundNs);
    turn.view.$id = idIndex;
    // Whoever has the lock knows everything.
    if (access === 'exclusive') {
      turn.look('all');
      recorder.granted(known, face.label, life.process.name, found.calledMs);
      recorder.holds.begin(known.name, face.label, found.calledMs);
    }
    return turn;
  }

  /** Looks at some of the attributes, or at all with their names. */
  look(names: readonly string[] | 'all'): void {
    const from = this.reader ?? this.session;
    const present = names === 'all' ? new Set(Object.keys(from)) : undefined;
    for (const name of names === 'all' ? NAMES : names) this.view[name] = present?.has(name) === false ? null : scalarOf(from.get(name));
    this.#trace(`sees ${JSON.stringify(this.view)}`);
    const returnNs = this.reader === undefined ? this.foundNs : this.#recorder.now();
    this.#recorder.add({ client: this.#label, call_ns: this.calledNs, return_ns: returnNs, key: this.#known.name, op: 'read', value: { ...this.view }, result: 'ok' });
  }

  /** Writes a value of its own to an attribute, or removes it. */
  write(name: string, removes: boolean): void {
    const token = removes ? null : this.#recorder.token();
    try {
      // Where nothing was removed all that it says is that nothing was there.
      if (setToken(this.session, name, token)) this.#change[name] = token;
      else if (!Object.hasOwn(this.#change, name)) this.view[name] = null;
    } catch (error) {
      // Its send says so as well.
      if (codeOf(error) !== 'CLUSTER_SESSION_ENDED' || !mayHaveEnded(this.asker)) throw error;
    }
  }

  /** Asks for the session that it has, as work inside of other work does: it is there at once. Resolves to false if it has been lost. */
  async comeBack(): Promise<boolean> {
    const { cluster, cluster: { world }, life: { manager } } = this.asker;
    const calledMs = world.nowMs;
    const again = await manager.findSession(this.session.id, { label: this.#label }).catch(() => undefined);
    if (again === this.session && world.nowMs === calledMs) return true;
    if (!mayHaveEnded(this.asker) && cluster.hasEnded(this.incarnation) === false) {
      this.#recorder.violation('nested', `${this.#label}: it waited, or got another handle, for the session that it has`);
    }
    if (again !== undefined) await manager.releaseSession(again);
    return false;
  }

  /** Publishes; resolves to whether the turn can go on. `isInner`: it ends what asked for the session again. */
  async send(goesOn: boolean, isInner = false): Promise<boolean> {
    const change = this.#change;
    this.#change = {};
    const operation = Object.keys(change).length === 0 ? undefined : this.#operation(change);
    this.#trace(`send ${JSON.stringify(change)}${goesOn ? ' and goes on' : ''}`);
    // The first change of a process may have to wait for its start as well.
    const bound = this.#bound('send', this.access === 'new' ? 2 : 1);
    try {
      await (isInner ? this.asker.life.manager.sendSession(this.session) : this.asker.face.send(this.session, goesOn));
    } catch (error) {
      bound.end();
      this.#failed(operation, 'send', error);
      return false;
    }
    bound.end();
    this.#trace('sent');
    if (!goesOn) this.#recorder.holds.end(this.#label);
    if (operation !== undefined) {
      this.#done(operation);
      noteChanged({ ...this.asker, target: this.#target }, operation.call_ns);
    }
    Object.assign(this.view, change);
    return goesOn;
  }

  async changeId(): Promise<boolean> {
    const change = this.#change;
    this.#change = {};
    const { known, idIndex } = this.#target;
    const next = known.ids.length;
    const operation = this.#operation({ ...change, $id: next });
    this.#trace(`change id of ${known.name}.${idIndex} to .${next}`);
    const bound = this.#bound('id change');
    known.openMoves += 1;
    try {
      this.session = await this.asker.face.changeId(this.session);
    } catch (error) {
      bound.end();
      this.#failed(operation, 'id change', error);
      if (operation.result === 'refused') known.openMoves -= 1;
      return false;
    }
    bound.end();
    known.openMoves -= 1;
    this.#target = noteMoved({ ...this.asker, target: this.#target }, this.session, next);
    this.#done(operation);
    Object.assign(this.view, change, { $id: next });
    return true;
  }

  async release(): Promise<void> {
    const bound = this.#bound('release');
    await this.asker.face.release(this.session).catch((error: unknown) => { this.#failed(undefined, 'release', error); });
    bound.end();
    this.#recorder.holds.end(this.#label);
  }

  #operation(change: View): Operation {
    const isNew = this.access === 'new' && !Object.hasOwn(this.view, '$id');
    return this.#recorder.add({
      client: this.#label, call_ns: this.#recorder.now(), key: this.#known.name, op: 'cas', result: 'unknown',
      expect: isNew ? null : { ...this.view }, value: isNew ? { ...change, $id: 0 } : { ...change },
    });
  }

  #done(operation: Operation): void {
    operation.return_ns = this.#recorder.now();
    operation.result = 'ok';
    this.isAcknowledged = true;
    if (operation.expect === null) this.view.$id = 0;
  }

  #failed(operation: Operation | undefined, what: string, error: unknown): void {
    this.#recorder.holds.end(this.#label);
    noteFailure(this.asker, this.access, this.incarnation, operation, what, error);
  }

  #bound(what: string, times = 1): Bound { return new Bound(this.asker.cluster, this.asker.life, `${this.#label}: ${what}`, times); }
  #trace(what: string): void { this.asker.cluster.world.trace?.(this.asker.life.process.name, `${this.#label}: ${what}`); }
}

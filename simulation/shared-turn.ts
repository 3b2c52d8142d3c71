import { NAMES, scalarOf, setToken } from './attributes.js';
import { Bound } from './bound.js';
import { codeOf, findFor, noteChanged, noteFailure, noteMoved, type Asker, type Found } from './find.js';
import type { Operation, Scalar } from './recorder.js';

/**
 * One request's use of a session together with others of its instance. What it writes may be published by any of them from that
 * moment on, attribute by attribute, also if its own end fails; what it sees may not have been published yet.
 */
export class SharedTurn {
  /** Written, and not acknowledged yet. */
  readonly #open: Operation[] = [];

  private constructor(private readonly found: Found) {}

  static async find(asker: Asker): Promise<SharedTurn | undefined> {
    const found = await findFor(asker, 'shared');
    if (found === undefined) return undefined;
    const turn = new SharedTurn(found);
    turn.look();
    return turn;
  }

  /** Nothing that it sees was overwritten, for everybody to know, before it asked. */
  look(): void {
    const { cluster: { recorder }, face, session, target: { known, idIndex } } = this.found;
    const view: Record<string, Scalar> = { $id: idIndex };
    for (const name of NAMES) view[name] = scalarOf(session.get(name));
    this.#trace(`sees ${JSON.stringify(view)}`);
    recorder.checkFresh(face.label, known.name, view, this.found.calledNs);
  }

  write(name: string, removes: boolean): void {
    const { cluster: { recorder }, face, session, target: { known, idIndex } } = this.found;
    const token = removes ? null : recorder.token();
    const callNs = recorder.now();
    try {
      if (!setToken(session, name, token)) return;
    } catch (error) {
      // Whatever ended one of them may have ended them all.
      if (codeOf(error) !== 'CLUSTER_SESSION_ENDED') throw error;
      return;
    }
    this.#trace(`writes ${name}: ${token}`);
    this.#open.push(recorder.add({
      client: face.label, call_ns: callNs, key: known.name, op: 'cas', expect: { $id: idIndex }, value: { [name]: token }, result: 'unknown',
    }));
  }

  /** Publishes; resolves to whether the turn can go on. */
  async send(goesOn: boolean): Promise<boolean> {
    const { face, session } = this.found;
    return await this.#publish(`send${goesOn ? ' and goes on' : ''}`, () => face.send(session, goesOn)) && goesOn;
  }

  /** The others fail then; this one has the session for itself, under the new id. */
  async changeId(): Promise<void> {
    const { cluster: { recorder }, face, session, target: { known, idIndex } } = this.found;
    const next = known.ids.length;
    const operation = recorder.add({
      client: face.label, call_ns: recorder.now(), key: known.name, op: 'cas', expect: { $id: idIndex }, value: { $id: next }, result: 'unknown',
    });
    this.#open.push(operation);
    let moved = session;
    known.openMoves += 1;
    if (!await this.#publish('id change', async () => { moved = await face.changeId(session); })) return;
    known.openMoves -= 1;
    noteMoved(this.found, moved, next);
    await face.send(moved, false).catch((error: unknown) => { noteFailure(this.found, 'exclusive', this.found.incarnation, undefined, 'send', error); });
  }

  async #publish(what: string, work: () => Promise<void>): Promise<boolean> {
    const { cluster, cluster: { recorder }, life, face } = this.found;
    this.#trace(what);
    const operations = this.#open.splice(0);
    const bound = new Bound(cluster, life, `${face.label}: ${what}`, this.#publishers);
    try {
      await work();
    } catch (error) {
      bound.end();
      noteFailure(this.found, 'shared', this.found.incarnation, undefined, what, error);
      return false;
    }
    bound.end();
    this.#trace('sent');
    for (const operation of operations) {
      operation.return_ns = recorder.now();
      operation.result = 'ok';
      noteChanged(this.found, operation.call_ns);
    }
    return true;
  }

  /** They publish one after the other. */
  get #publishers(): number { return this.found.cluster.plan.clients; }

  #trace(what: string): void { this.found.cluster.world.trace?.(this.found.life.process.name, `${this.found.face.label}: ${what}`); }
}

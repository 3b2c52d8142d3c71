import { performance } from 'node:perf_hooks';
import { Ended } from './child.js';
import type { Access, Content, DeadlyMethod, InstanceCalls } from './instance-calls.js';
import type { Life } from './life.js';
import type { KnownSession, Operation, Recorder } from './recorder.js';

/** What a request may end with while something is wrong. */
const CODES: ReadonlySet<unknown> = new Set([
  'CLUSTER_LOCKED', 'CLUSTER_QUEUE_FULL', 'CLUSTER_MOVED', 'CLUSTER_UNAVAILABLE', 'CLUSTER_STOPPED', 'CLUSTER_FENCED',
  'CLUSTER_UNKNOWN_OUTCOME', 'CLUSTER_SESSION_ENDED',
]);

/** What others did to the session, as they may. */
const DECIDED: ReadonlySet<unknown> = new Set(['CLUSTER_MOVED', 'CLUSTER_FENCED', 'CLUSTER_SESSION_ENDED']);

/** By which a turn's calls reach their process. */
export interface Way {
  call<M extends DeadlyMethod>(method: M, ...args: Parameters<InstanceCalls[M]>): Promise<Awaited<ReturnType<InstanceCalls[M]>>>;
}

/** The process dies at the given step of the call, if that has so many. */
export class DeadlyWay implements Way {
  /** How many steps the call had that was survived. */
  steps: number | undefined;

  constructor(private readonly life: Life, private readonly atStep: number) {}

  async call<M extends DeadlyMethod>(method: M, ...args: Parameters<InstanceCalls[M]>): Promise<Awaited<ReturnType<InstanceCalls[M]>>> {
    const { steps, value } = await this.life.call('dying', this.atStep, method, args);
    this.steps = steps;
    return value as Awaited<ReturnType<InstanceCalls[M]>>; // of the method that was called
  }
}

const codeOf = (error: unknown): unknown => (error instanceof Error && 'code' in error ? error.code : undefined);

/** Notes how a call failed; resolves to what is known of its effect. */
function failed(recorder: Recorder, what: string, error: unknown): 'refused' | 'unknown' {
  if (error instanceof Ended) return 'unknown';
  if (!DECIDED.has(codeOf(error))) {
    recorder.counts.unserved += 1;
    recorder.said.add(String(error));
  }
  if (!CODES.has(codeOf(error))) recorder.violation(`${what} ended with ${String(error)}`);
  return codeOf(error) === 'CLUSTER_UNKNOWN_OUTCOME' ? 'unknown' : 'refused';
}

/** Holds a call to its bound; the time for which its process stood still is not counted. */
async function bounded<T>(recorder: Recorder, life: Life, what: string, call: Promise<T>): Promise<T> {
  const startMs = performance.now();
  const stillMs = life.stoodStillMs;
  try {
    return await call;
  } finally {
    if (life.runs) recorder.took(`${what} on ${life.instanceId}`, performance.now() - startMs - (life.stoodStillMs - stillMs));
  }
}

function complete(recorder: Recorder, operation: Operation, result: Operation['result']): void {
  operation.result = result;
  if (result !== 'unknown') operation.return_ns = recorder.now();
}

/** One request's use of a session on one instance: does it, records what it saw, and holds it to its bounds. */
export class Turn {
  #view: Record<string, number | null>;

  private constructor(
    private readonly recorder: Recorder, private readonly life: Life, readonly known: KnownSession, private idIndex: number,
    readonly access: Access, private readonly label: string, private readonly handle: number, content: Content,
  ) {
    this.#view = { ...content, $id: idIndex };
  }

  /** A new session with one attribute; undefined: nobody learned its id. */
  static async create(recorder: Recorder, life: Life): Promise<KnownSession | undefined> {
    const callNs = recorder.now();
    const content = { a: recorder.token() };
    try {
      const known = recorder.session(await bounded(recorder, life, 'new session', life.call('create', content)));
      recorder.add({
        client: recorder.label('new', life), call_ns: callNs, return_ns: recorder.now(), key: known.name, op: 'cas', expect: null,
        value: { ...content, $id: 0 }, result: 'ok',
      });
      return known;
    } catch (error) {
      failed(recorder, 'new session', error);
      return undefined;
    }
  }

  /** Undefined: there is none, or it could not be had. */
  static async find(recorder: Recorder, life: Life, known: KnownSession, access: Access, way: Way = life): Promise<Turn | undefined> {
    const idIndex = known.ids.length - 1;
    const label = recorder.label(access, life);
    const callNs = recorder.now();
    try {
      const found = await bounded(recorder, life, `${access} find`, way.call('find', known.ids[idIndex] ?? '', access, label));
      if (found === undefined) {
        noteAbsent(recorder, known, idIndex, label, callNs);
        return undefined;
      }
      const turn = new Turn(recorder, life, known, idIndex, access, label, found.handle, found.content);
      recorder.add({ client: label, call_ns: callNs, return_ns: recorder.now(), key: known.name, op: 'read', value: { ...turn.#view }, result: 'ok' });
      recorder.counts.found += 1;
      return turn;
    } catch (error) {
      failed(recorder, `${access} find`, error);
      if (codeOf(error) === 'CLUSTER_MOVED') noteMoved(recorder, known, idIndex);
      return undefined;
    }
  }

  /** Ends a session by force, without its lock. */
  static async remove(recorder: Recorder, life: Life, known: KnownSession, way: Way = life): Promise<void> {
    if (known.removal === 'none') known.removal = 'asked';
    const operation = recorder.add({ client: recorder.label('remove', life), call_ns: recorder.now(), key: known.name, op: 'write', value: null, result: 'unknown' });
    try {
      const answer = await bounded(recorder, life, 'removal', way.call('remove', known.ids.at(-1) ?? ''));
      if (answer === 'moved') complete(recorder, operation, 'fail');
      if (answer === 'confirmed') {
        complete(recorder, operation, 'ok');
        known.removal = 'confirmed';
        known.isOver = true;
      }
    } catch (error) {
      complete(recorder, operation, failed(recorder, 'removal', error));
    }
  }

  /** What it has seen and written so far. */
  get content(): Content { return this.#view; }

  /** Values that nobody else writes, to some of the attributes. */
  change(...names: readonly string[]): Content {
    return Object.fromEntries(names.map((name) => [name, this.recorder.token()]));
  }

  /** Publishes and, unless it goes on, ends the turn; resolves to whether it was acknowledged. */
  async send(change: Content = {}, goesOn = false, way: Way = this.life): Promise<boolean> {
    const { recorder, life } = this;
    const operation = Object.keys(change).length === 0 ? undefined : this.#changing(change);
    try {
      const met = await bounded(recorder, life, 'send', way.call('send', this.handle, change, goesOn));
      if (operation === undefined) return true;
      // A merged change counts from its commit, whatever was there; a dropped one never happened.
      if (met === 'merged') operation.expect = { $id: this.idIndex };
      complete(recorder, operation, met === 'dropped' ? 'fail' : 'ok');
    } catch (error) {
      const result = failed(recorder, 'send', error);
      if (operation === undefined) return false;
      complete(recorder, operation, result);
      // Whether it was merged is not known either.
      if (this.access === 'snapshot') Object.assign(operation, { op: 'write', expect: undefined });
      return false;
    }
    recorder.counts.changed += 1;
    this.#view = { ...this.#view, ...change };
    return true;
  }

  /** The session under another id, with a change; the turn goes on if it was acknowledged. */
  async changeId(change: Content, way: Way = this.life): Promise<boolean> {
    const { recorder, life, known } = this;
    const $id = known.ids.length;
    const operation = this.#changing({ ...change, $id });
    known.moving += 1;
    try {
      const id = await bounded(recorder, life, 'id change', way.call('changeId', this.handle, change));
      complete(recorder, operation, 'ok');
      if (known.ids.length !== $id) recorder.violation(`two id changes of ${known.name} were acknowledged at once`);
      known.ids.push(id);
    } catch (error) {
      const result = failed(recorder, 'id change', error);
      complete(recorder, operation, result);
      if (result === 'unknown') known.mayHaveMoved = true;
      return false;
    } finally {
      known.moving -= 1;
    }
    recorder.counts.changed += 1;
    this.idIndex = $id;
    this.#view = { ...this.#view, ...change, $id };
    return true;
  }

  async release(): Promise<void> {
    await bounded(this.recorder, this.life, 'release', this.life.call('release', this.handle))
      .catch((error: unknown) => { failed(this.recorder, 'release', error); });
  }

  #changing(change: Content): Operation {
    const { recorder } = this;
    return recorder.add({
      client: this.label, call_ns: recorder.now(), key: this.known.name, op: 'cas', expect: { ...this.#view }, value: { ...change }, result: 'unknown',
    });
  }
}

/** What is not there must have been removed, or go on under an id that nobody knows. */
function noteAbsent(recorder: Recorder, known: KnownSession, idIndex: number, label: string, callNs: number): void {
  if (idIndex !== known.ids.length - 1 || known.moving > 0) return;
  // Until its removal is confirmed, its holder's memory may show it after it was seen to be gone elsewhere.
  const saysNothing = known.mayHaveMoved || known.removal === 'asked';
  if (!saysNothing) recorder.add({ client: label, call_ns: callNs, return_ns: recorder.now(), key: known.name, op: 'read', value: null, result: 'ok' });
  known.isOver = true;
}

/** Who does not know the new id cannot have the session any more. */
function noteMoved(recorder: Recorder, known: KnownSession, idIndex: number): void {
  if (idIndex !== known.ids.length - 1 || known.moving > 0) return;
  if (!known.mayHaveMoved) recorder.violation(`${known.name} is said to have moved, and nobody changed its id`);
  known.isOver = true;
}

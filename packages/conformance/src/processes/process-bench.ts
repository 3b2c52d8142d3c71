import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Proof } from '../proof.js';
import type { ManagerSettings } from './instance-calls.js';
import type { Instances } from './instances.js';
import type { Life } from './life.js';
import { Load } from './load.js';
import type { Random } from './random.js';
import { Recorder, type KnownSession } from './recorder.js';
import { Turn } from './turn.js';

/** How long a call may take longer than promised: the way to the process and back, on a machine with too much to do. */
const CALL_SLACK_MS = 1_500;
/** A waiter polls every 250 ms at most; then some calls to the store; and a machine with too much to do. */
const TAKE_OVER_SLACK_MS = 1_000;
/** Several requests one after another, on a machine with too much to do. */
const RECOVERY_SLACK_MS = 1_000;
const LEAST_CHANGES = 20;
const ASK_AGAIN_MS = 25;
const AGAIN_MS = 50;

/** What clauses need to know of a harness. */
export interface ProcessLimits {
  readonly settings: ManagerSettings;
  readonly seed: number;
  readonly takeOverMs: number | undefined;
  readonly silentTakeOverMs: number | undefined;
  readonly recoveryMs: number;
}

/** What one clause works on: instances in processes, and the history of what their clients see. */
export class ProcessBench {
  #recorder: Recorder;

  constructor(readonly proof: Proof, readonly random: Random, readonly instances: Instances, readonly limits: ProcessLimits) {
    this.#recorder = new Recorder(this.#boundMs);
  }

  get recorder(): Recorder { return this.#recorder; }
  get settings(): ManagerSettings { return this.limits.settings; }

  get #promisedMs(): number { return this.settings.lockTimeoutMs + this.settings.storeTimeoutMs; }
  get #boundMs(): number { return this.#promisedMs + CALL_SLACK_MS; }

  /** Within which time a session can be had again after its holder was killed: by the evidence that the driver declares. */
  takeOverMs({ capabilities }: Life): number {
    const { takeOverMs } = this.limits;
    if (takeOverMs !== undefined) return takeOverMs;
    if (capabilities === undefined) throw new TypeError('takeOverMs: expected a number of ms, since the locks of a store written by hand are its own business; found none');
    if (capabilities.gone === 'unknown') return this.silentTakeOverMs;
    const { leaseMs, readLeaseMs } = this.settings;
    return TAKE_OVER_SLACK_MS + (capabilities.gone === 'dead' ? 0 : ASK_AGAIN_MS + 1.25 * (readLeaseMs > 0 ? readLeaseMs : leaseMs / 3));
  }

  /** The same after its holder fell silent. */
  get silentTakeOverMs(): number { return this.limits.silentTakeOverMs ?? this.settings.leaseMs + TAKE_OVER_SLACK_MS; }

  /** Clients send requests while `work` goes on; then nothing goes wrong any more, and what they saw is checked. */
  async underLoad(work: () => Promise<void>): Promise<void> {
    await this.instances.all();
    const load = new Load(this);
    load.start();
    try {
      await work();
    } finally {
      await this.instances.calm();
      await this.#settled(load);
    }
    await this.check();
    const { changed } = this.recorder.counts;
    this.proof.ok(changed >= LEAST_CHANGES, `at least ${LEAST_CHANGES} changes were acknowledged, else the history proves little; there were ${changed}`);
  }

  /** Clients send requests while `work` goes on, which may lose what was acknowledged; then the history begins anew. */
  async underLoadLosing(work: () => Promise<void>): Promise<void> {
    await this.instances.all();
    const load = new Load(this);
    load.start();
    await sleep(this.settings.storeTimeoutMs);
    this.#recorder.close();
    await work();
    await this.instances.calm();
    await this.#settled(load);
    this.#prove();
    await this.#beginAnew();
    await this.underLoad(() => sleep(this.settings.storeTimeoutMs));
  }

  /** Each of them soon makes a session again, finds it, and changes it. */
  async answerAgain(lives: readonly Life[], sinceMs: number): Promise<void> {
    const withinMs = this.limits.recoveryMs + RECOVERY_SLACK_MS;
    await Promise.all(lives.map(async (life) => {
      while (!await this.#answers(life) && life.serves && performance.now() - sinceMs <= withinMs) await sleep(ASK_AGAIN_MS);
      const tookMs = Math.round(performance.now() - sinceMs);
      if (tookMs > withinMs) this.recorder.violation(`${life.instanceId} answers again ${tookMs} ms after nothing is wrong any more, or later; the bound is ${withinMs}`);
    }));
  }

  async #answers(life: Life): Promise<boolean> {
    const known = await Turn.create(this.recorder, life);
    const turn = known && await Turn.find(this.recorder, life, known, 'exclusive');
    return turn !== undefined && turn.send(turn.change('a'));
  }

  /** A session that nobody uses, as a clause takes it for granted. */
  async added(life: Life): Promise<KnownSession> {
    const known = await Turn.create(this.recorder, life);
    if (known === undefined) throw new Error(`the ground of this clause: a session can be made on ${life.instanceId}; ${[...this.recorder.said].join('; ')}`);
    return known;
  }

  /** Tries until the session is had on that instance, at most for `withinMs`. */
  async had(life: Life, known: KnownSession, withinMs: number): Promise<Turn | undefined> {
    const endMs = performance.now() + withinMs;
    for (;;) {
      const turn = await Turn.find(this.recorder, life, known, 'exclusive');
      if (turn !== undefined || known.isOver || !life.runs || performance.now() >= endMs) return turn;
      await sleep(AGAIN_MS);
    }
  }

  /** Every session can be had on every instance, and what was seen of it is one history. */
  async check(): Promise<void> {
    const lives = await this.instances.all();
    await Promise.all(this.recorder.sessions.map(async (known) => {
      for (const life of lives) if (!await this.#isHad(life, known)) return;
    }));
    this.#prove();
  }

  /** False: nobody can have it any more. */
  async #isHad(life: Life, known: KnownSession): Promise<boolean> {
    if (known.isOver) return false;
    const turn = await this.had(life, known, this.#boundMs);
    if (turn === undefined) {
      if (!hasEnded(known)) this.recorder.violation(`${known.name} cannot be had on ${life.instanceId}; ${[...this.recorder.said].at(-1) ?? ''}${this.recorder.historyOf(known.name)}`);
      return false;
    }
    await turn.send(turn.change('a'));
    await (await Turn.find(this.recorder, life, known, 'snapshot'))?.send();
    return true;
  }

  #prove(): void {
    const faults = this.recorder.faults();
    this.proof.ok(faults.length === 0, `with seed ${this.limits.seed}:\n${faults.join('\n')}`);
  }

  /** Each part of a request has its bound, so a whole one has too. */
  async #settled(load: Load): Promise<void> {
    const timer = new AbortController();
    const late = sleep(4 * this.#boundMs, 'late', { signal: timer.signal }).catch(() => 'late');
    if (await Promise.race([load.stop(), late]) === 'late') this.recorder.violation(`a request was not answered within ${4 * this.#boundMs} ms`);
    timer.abort();
  }

  async #beginAnew(): Promise<void> {
    const [life] = await this.instances.all();
    const before = this.#recorder;
    this.#recorder = before.successor();
    for (const known of before.sessions) {
      const turn = known.isOver || life === undefined ? undefined : await this.had(life, known, this.#boundMs);
      if (turn === undefined) continue;
      this.#recorder.adopt(known, turn.content);
      await turn.send();
    }
  }
}

/** A find may have shown it. */
const hasEnded = ({ isOver }: KnownSession): boolean => isOver;

import { setTimeout as sleep } from 'node:timers/promises';
import { NAMES } from './instance-calls.js';
import type { Life } from './life.js';
import type { ProcessBench } from './process-bench.js';
import type { KnownSession } from './recorder.js';
import { Turn } from './turn.js';

const KINDS = { post: 40, save: 6, look: 6, get: 30, write: 10, login: 6, remove: 2, release: 2 };
type Kind = keyof typeof KINDS;

const CLIENTS = 6;
/** Few, so that they meet. */
const SESSIONS = 3;
const MOST_WORK_MS = 8;
const MOST_IDLE_MS = 15;
/** How often a client stays with the instance that it used last. */
const STICKY = 0.6;
/** How often a client goes to an instance that stands still. */
const STUCK = 0.05;

/** People with browsers: each sends one request after another, several share a session. */
export class Load {
  readonly #places: (KnownSession | undefined)[] = Array.from({ length: SESSIONS }, () => undefined);
  #isOn = false;
  #clients: Promise<void>[] = [];

  constructor(private readonly bench: ProcessBench) {}

  start(): void {
    this.#isOn = true;
    this.#clients = Array.from({ length: CLIENTS }, () => this.#live());
  }

  /** No more requests; resolves when those under way are answered. */
  async stop(): Promise<void> {
    this.#isOn = false;
    await Promise.all(this.#clients);
  }

  async #live(): Promise<void> {
    const { random, instances } = this.bench;
    let usual: Life | undefined;
    while (this.#isOn) {
      if (usual?.serves !== true || !random.chance(STICKY)) usual = instances.serving.length === 0 ? undefined : random.pick(instances.serving);
      // Else all of them would soon wait there.
      const isPassedBy = usual?.standsStill === true && !random.chance(STUCK);
      if (usual !== undefined && !isPassedBy) await this.#request(usual, random.below(SESSIONS), random.weighted<Kind>(KINDS));
      await sleep(random.between(0, MOST_IDLE_MS));
    }
  }

  async #request(life: Life, place: number, kind: Kind): Promise<void> {
    const { recorder } = this.bench;
    const known = this.#places[place];
    if (known === undefined || known.isOver) {
      const fresh = await Turn.create(recorder, life);
      if (fresh !== undefined) this.#places[place] = fresh;
      return;
    }
    if (kind === 'remove') {
      await Turn.remove(recorder, life, known);
      return;
    }
    const turn = await Turn.find(recorder, life, known, kind === 'get' || kind === 'write' ? 'snapshot' : 'exclusive');
    if (turn !== undefined && life.runs) await this.#use(turn, kind);
  }

  async #use(turn: Turn, kind: Exclude<Kind, 'remove'>): Promise<void> {
    if (kind === 'get' || kind === 'look') {
      await turn.send();
      return;
    }
    await this.#work();
    const change = this.#change(turn);
    if (kind === 'release') {
      await turn.release();
      return;
    }
    if (kind === 'login' && !await turn.changeId(change)) return;
    if (kind === 'save' && !await turn.send(change, true)) return;
    if (kind === 'login' || kind === 'save') await this.#work();
    await turn.send(this.#change(turn));
  }

  #change(turn: Turn) {
    const { random } = this.bench;
    return turn.change(...new Set([random.pick(NAMES), random.pick(NAMES)]));
  }

  async #work(): Promise<void> {
    await sleep(this.bench.random.between(0, MOST_WORK_MS));
  }
}

import type { Clock } from '@cluster/core/driver';
import type { Random } from './random.js';
import type { Due, World } from './world.js';

const EPOCH_MS = 1_700_000_000_000;
const TINY_MS = 1e-6;

/**
 * One process of an instance: its clock, and whether it runs. While it is paused its timers and what arrives are held back;
 * once it is dead they vanish.
 */
export class Process {
  isAlive = true;
  isPaused = false;
  /** How often it was paused so far: what ran across a pause is not held to its bounds. */
  pauses = 0;
  readonly clock: Clock;
  readonly death: Promise<void>;
  #die: () => void = () => undefined;
  #suspendedMs = 0;
  #suspendedAt: number | undefined;
  #timersHeld: (() => void)[] = [];
  #arrivalsHeld: (() => void)[] = [];
  readonly #bornMs: number;

  constructor(
    readonly name: string, readonly instanceId: string, readonly birth: number, private readonly world: World, private readonly random: Random,
    private readonly rate: number, private readonly wallSkewMs: number,
  ) {
    this.#bornMs = world.nowMs;
    this.death = new Promise((resolve) => { this.#die = resolve; });
    this.clock = {
      monotonicMs: () => this.#nowMs(),
      wallMs: () => EPOCH_MS + this.wallSkewMs + world.nowMs,
      timer: (callback, ms) => this.#timer(callback, ms),
      randomHex: (bytes) => random.hex(bytes),
    };
  }

  sleep(ms: number): Promise<void> { return new Promise((resolve) => { this.clock.timer(resolve, ms); }); }

  /** Something from outside arrives. */
  receive(callback: () => void): void {
    if (!this.isAlive) return;
    if (this.isPaused) this.#arrivalsHeld.push(callback);
    else callback();
  }

  /** `suspends`: the monotonic clock stands still as well. */
  pause(suspends: boolean): void {
    this.isPaused = true;
    this.pauses += 1;
    if (suspends) this.#suspendedAt = this.#runMs();
  }

  resume(): void {
    if (!this.isPaused || !this.isAlive) return;
    if (this.#suspendedAt !== undefined) this.#suspendedMs += this.#runMs() - this.#suspendedAt;
    this.#suspendedAt = undefined;
    this.isPaused = false;
    const held = this.random.chance(0.5) ? [...this.#timersHeld, ...this.#arrivalsHeld] : [...this.#arrivalsHeld, ...this.#timersHeld];
    this.#timersHeld = [];
    this.#arrivalsHeld = [];
    for (const callback of held) this.world.after(0, () => { this.receive(callback); });
  }

  kill(): void {
    this.isAlive = false;
    this.#timersHeld = [];
    this.#arrivalsHeld = [];
    this.#die();
  }

  #runMs(): number { return (this.world.nowMs - this.#bornMs) * this.rate; }
  #nowMs(): number { return (this.#suspendedAt ?? this.#runMs()) - this.#suspendedMs; }

  #timer(callback: () => void, ms: number): () => void {
    const dueMs = this.#nowMs() + Math.max(0, ms);
    let isOver = false;
    let due: Due | undefined;
    const fire = () => {
      if (isOver || !this.isAlive) return;
      if (this.isPaused) {
        this.#timersHeld.push(fire);
        return;
      }
      const leftMs = dueMs - this.#nowMs();
      if (leftMs > TINY_MS) {
        due = this.world.after(leftMs / this.rate, fire);
        return;
      }
      isOver = true;
      callback();
    };
    due = this.world.after(Math.max(0, ms) / this.rate, fire);
    return () => {
      isOver = true;
      if (due !== undefined) due.callback = undefined;
    };
  }
}

import type { CancelTimer } from '../clock.js';
import type { Engine } from './engine.js';

const EVERY_MS = 60_000;
const SPREAD = 0.5;
const AT_ONCE = 1_000;
const MOST_ROUNDS = 20;

/** Has a driver that cannot expire records by itself clear them away, about once a minute. */
export class Sweeps {
  #cancel: CancelTimer | undefined;
  #round: Promise<void> = Promise.resolve();

  constructor(private readonly engine: Engine) {}

  start(): void {
    if (this.engine.calls.table.sweep === undefined) return;
    // Instances that started together do not sweep together.
    const share = Number.parseInt(this.engine.clock.randomHex(2), 16) / 0xffff;
    this.#cancel = this.engine.clock.timer(() => {
      this.#round = this.#sweep().finally(() => { if (this.#cancel !== undefined) this.start(); });
    }, EVERY_MS * (1 - SPREAD / 2 + SPREAD * share));
  }

  async stop(): Promise<void> {
    this.#cancel?.();
    this.#cancel = undefined;
    await this.#round;
  }

  async #sweep(): Promise<void> {
    try {
      for (let round = 0; round < MOST_ROUNDS && this.#cancel !== undefined; round += 1) {
        if (await this.engine.calls.table.sweep?.(AT_ONCE) !== AT_ONCE) return;
      }
    } catch (cause) {
      this.engine.events.emit('warning', { message: 'expired sessions could not be cleared away; trying again in a minute', cause });
    }
  }
}

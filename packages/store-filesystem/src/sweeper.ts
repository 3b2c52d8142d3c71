import { readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@cluster/core/driver';
import { ABANDONED_MS, type KeyFolder } from './key-folder.js';
import type { Place } from './place.js';
import { expiresMsOf } from './revision.js';
import type { Signals } from './signals.js';

const MAX_SWEPT = 1_000;

export interface SweeperOptions {
  /** The key whose content names the instance that sweeps. */
  readonly leadership: KeyFolder;
  readonly instanceId: string;
  readonly place: Place;
  readonly clock: Clock;
  readonly intervalMs: number;
  readonly signals: Signals;
  readonly sweep: (limit: number) => Promise<number>;
}

/**
 * Clears away, from time to time, what has expired and what dead processes left. One instance does it at a time, until it
 * dies or stays silent for three rounds; two at once would be harmless.
 */
export class Sweeper {
  readonly #options: SweeperOptions;
  #cancel: (() => void) | undefined;
  #round: Promise<void> = Promise.resolve();
  #stopped = false;
  #warned = false;

  constructor(options: SweeperOptions) {
    this.#options = options;
  }

  start(): void {
    const { clock, intervalMs } = this.#options;
    const jitter = 0.75 + parseInt(clock.randomHex(2), 16) / 0x1_ffff;
    this.#cancel = clock.timer(() => {
      this.#round = this.#tryRound().finally(() => { if (!this.#stopped) this.start(); });
    }, intervalMs * jitter);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    await this.#round;
  }

  /** What one round does, if it is this instance's turn; resolves to how many expired keys it removed. */
  async round(): Promise<number> {
    if (!(await this.#lead())) return 0;
    await this.#clearMaking();
    await this.#options.signals.clear();
    return this.#options.sweep(MAX_SWEPT);
  }

  async #tryRound(): Promise<void> {
    try {
      await this.round();
      this.#warned = false;
    } catch (error) {
      // The next round tries again; who uses the store meets the same trouble with an answer to give.
      if (!this.#warned) process.emitWarning(`FilesystemStore: sweeping failed: ${String(error)}`, 'ClusterWarning');
      this.#warned = true;
    }
  }

  async #lead(): Promise<boolean> {
    const { leadership, instanceId, clock, intervalMs, signals } = this.#options;
    const { record } = await leadership.newest();
    const expiresMs = clock.wallMs() + 3 * intervalMs;
    if (record === undefined) return (await leadership.create(instanceId, expiresMs)) !== undefined;
    const isFree = record.value === instanceId || expiresMsOf(record.revision.id) <= clock.wallMs() || (await signals.isGone(record.value));
    return isFree && (await leadership.append(record.revision, instanceId, expiresMs)) !== undefined;
  }

  /** First revisions whose writer died. Moved first: a writer that is only slow must find all of it or nothing. */
  async #clearMaking(): Promise<void> {
    const { place, clock } = this.#options;
    for (const name of await readdir(place.making)) {
      const path = join(place.making, name);
      const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Infinity }));
      if (mtimeMs >= clock.wallMs() - ABANDONED_MS) continue;
      const aside = name.endsWith('.abandoned') ? path : `${path}.abandoned`;
      if (aside !== path) await rename(path, aside).catch(() => undefined);
      await rm(aside, { recursive: true, force: true });
    }
  }
}

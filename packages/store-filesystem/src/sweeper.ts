import { readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@cluster/core/driver';
import { ABANDONED_MS, type KeyFolder } from './key-folder.js';
import type { Place } from './place.js';
import { expiresMsOf } from './revision.js';
import type { Signals } from './signals.js';

// Core has each instance sweep about once a minute.
const LEADS_FOR_MS = 180_000;

export interface SweeperOptions {
  /** The key whose content names the instance that sweeps. */
  readonly leadership: KeyFolder;
  readonly instanceId: string;
  readonly place: Place;
  readonly clock: Clock;
  readonly signals: Signals;
}

/**
 * Which instance clears away what has expired and what dead processes left. One does it at a time, until it dies or stays
 * silent for three rounds; two at once would be harmless.
 */
export class Sweeper {
  readonly #options: SweeperOptions;

  constructor(options: SweeperOptions) {
    this.#options = options;
  }

  /** What processes left that died in the middle of something. */
  async clearRemains(): Promise<void> {
    await this.#clearMaking();
    await this.#options.signals.clear();
  }

  /** Whether it is this instance's to sweep, now and for the next rounds. */
  async leads(): Promise<boolean> {
    const { leadership, instanceId, clock, signals } = this.#options;
    const { record } = await leadership.newest();
    const expiresMs = clock.wallMs() + LEADS_FOR_MS;
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

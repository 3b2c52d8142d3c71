import type { SessionTable } from '../drivers/session-table.js';
import type { Events } from '../events.js';

const NEARLY = 0.8;
/** Below that it is told anew. */
const EMPTIER = 0.7;

/** Tells once that the store is about to take no new sessions: before the first visitor is refused. */
export class Fullness {
  #isTold = false;

  constructor(private readonly table: Pick<SessionTable, 'stored'>, private readonly events: Events) {}

  look(): void {
    const { bytes = 0, maxBytes = Infinity } = this.table.stored?.() ?? {};
    if (bytes < EMPTIER * maxBytes) this.#isTold = false;
    if (this.#isTold || bytes < NEARLY * maxBytes) return;
    this.#isTold = true;
    const message = `the store keeps ${bytes} bytes of sessions, and takes no new ones at ${maxBytes} (CLUSTER_FULL). Raise the bound, as the store's page says, or let sessions end earlier`;
    this.events.emit('warning', { message });
  }
}

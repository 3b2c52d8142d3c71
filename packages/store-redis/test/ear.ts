import { setTimeout as sleep } from 'node:timers/promises';
import type { DriverContext, SessionTable } from '@cluster/core/driver';

const MOST_TRIES = 500;

/** What an instance hears. */
export class Ear {
  readonly received: string[] = [];
  readonly heard: boolean[] = [];
  readonly context: DriverContext;

  constructor(readonly instanceId: string) {
    this.context = {
      context: 'shop', instanceId,
      receive: (message) => { this.received.push(message); },
      listening: (up) => { this.heard.push(up); },
    };
  }

  /** Resolves when it hears what is said to it; as an engine does, it is said again and again. */
  async hears(table: SessionTable, message: string): Promise<void> {
    for (let tried = 0; !this.received.includes(message); tried++) {
      if (tried > MOST_TRIES) throw new Error(`${this.instanceId} does not hear '${message}'; it was told ${this.heard.join(', ')}`);
      await table.signal(this.instanceId, message).catch(() => undefined);
      await sleep(20);
    }
  }
}

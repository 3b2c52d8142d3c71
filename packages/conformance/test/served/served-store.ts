import type { ClusterStore, FindOptions, SessionSnapshot } from '@cluster/core';
import { SmallClient, type Address } from './client.js';

/** A store that passes every call on to the test that hosts the cluster. */
class ServedStore implements ClusterStore {
  readonly #client: SmallClient;

  constructor(readonly instanceId: string, address: Address) {
    this.#client = new SmallClient(address, { greet: async (ask) => { await ask('hello', instanceId); } });
  }

  start(): Promise<void> { return this.#client.start(); }

  async stop(): Promise<void> {
    await this.#client.ask('stop');
    this.#client.stop();
  }

  findSession(id: string, { waitMs }: FindOptions) { return this.#client.ask('findSession', id, { waitMs }) as Promise<SessionSnapshot | undefined>; } // the host's answer
  async sendSession(...args: Parameters<ClusterStore['sendSession']>) { await this.#client.ask('sendSession', ...args); }
  async removeSession(...args: Parameters<ClusterStore['removeSession']>) { await this.#client.ask('removeSession', ...args); }
  receiveSession(): void { /* nothing arrives */ }
  readSession(id: string) { return this.#client.ask('readSession', id) as Promise<SessionSnapshot | undefined>; } // the host's answer
  async touchSessions(lifetimesMs: ReadonlyMap<string, number>) { await this.#client.ask('touchSessions', lifetimesMs); }
}

export const createStore = ({ instanceId, config }: { instanceId: string; config: Address }): ClusterStore => new ServedStore(instanceId, config);

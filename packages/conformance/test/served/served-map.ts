import type { ClusterStore } from '@cluster/core';
import { ClusterStoreBase, type DriverContext, type Entry, type Found, type SessionMap } from '@cluster/core/driver';
import { SmallClient, type Address } from './client.js';

/** A session map that passes every call on to the test that hosts it. */
export class ServedMap implements SessionMap {
  readonly capabilities = { durability: 'crash', gone: 'disconnected', rollback: true } as const;
  readonly #client: SmallClient;
  #context: DriverContext | undefined;
  #generation = '';

  constructor(address: Address) {
    this.#client = new SmallClient(address, {
      greet: async (ask) => {
        this.#generation = String(await ask('hello', this.#context?.instanceId));
        this.#context?.listening(true);
      },
      pushed: (message) => { this.#context?.receive(String(message)); },
      lost: () => { this.#context?.listening(false); },
    });
  }

  start(context: DriverContext): Promise<void> {
    this.#context = context;
    return this.#client.start();
  }

  stop(): Promise<void> {
    this.#client.stop();
    return Promise.resolve();
  }

  generation(): string { return this.#generation; }
  get(key: string) { return this.#client.ask('get', key) as Promise<Found | undefined>; } // the host's answer
  compareAndSet(key: string, expected: string | undefined, entry: Entry) { return this.#client.ask('compareAndSet', key, expected, entry) as Promise<string | undefined>; } // likewise
  signal(instanceId: string, message: string) { return this.#client.ask('signal', instanceId, message) as Promise<boolean>; } // likewise
}

export const createStore = ({ instanceId, config }: { instanceId: string; config: Address }): ClusterStore =>
  new ClusterStoreBase(new ServedMap(config), { instanceId });

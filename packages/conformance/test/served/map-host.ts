import { ClusterError } from '@cluster/core';
import { Clock } from '@cluster/core/driver';
import type { Address } from '../../src/processes/tcp-proxy.js';
import { newMapSpace, referenceMap, type MapSpace, type OpenMap } from '../reference-map.js';
import { SmallServer } from './server.js';

/** A map in memory, served to other processes with signals between them. */
export class MapHost {
  readonly space: MapSpace = newMapSpace(Clock.system);
  readonly server: SmallServer;
  isFull = false;
  tellsGenerations = true;
  readonly #listeners = new Map<string, Set<(value: unknown) => void>>();
  #generation = 1;

  /** @param broken the methods that differ from the correct ones */
  constructor(broken: (map: OpenMap, space: MapSpace) => Partial<OpenMap> = () => ({})) {
    const correct = referenceMap(this.space);
    const map = { ...correct, ...broken(correct, this.space) };
    this.server = new SmallServer((push) => {
      let instanceId: string | undefined;
      return {
        answer: async (method, [first, ...rest]) => {
          // What ServedMap asks.
          const key = first as string;
          if (method === 'get') return map.get(key);
          if (method === 'compareAndSet' && this.isFull) throw new ClusterError('CLUSTER_UNAVAILABLE', 'the map is full; nothing was changed');
          if (method === 'compareAndSet') return map.compareAndSet(key, ...rest as [string | undefined, { value: string; lifetimeMs: number }]);
          if (method === 'signal') return this.#signal(key, rest[0]);
          instanceId = key;
          this.#listenersOf(key).add(push);
          return this.#generation;
        },
        ended: () => { if (instanceId !== undefined) this.#listenersOf(instanceId).delete(push); },
      };
    });
  }

  /** How a harness reaches it, and what can be done to it. Its map outlives the server, as a disk does. */
  get asServer() {
    const { server } = this;
    return {
      address: () => ({ host: '127.0.0.1', port: server.port }),
      config: (address: Address) => ({ ...address }),
      kill: () => { server.close(); },
      start: () => server.open(),
      freeze: () => { server.freeze(); },
      thaw: () => { server.thaw(); },
      refuseWrites: () => { this.isFull = true; },
      takeWrites: () => { this.isFull = false; },
    };
  }

  /** Everything as it is now is back when the function is called. */
  saved(): () => void {
    const kept = [...this.space.kept].map(([key, entry]) => [key, { ...entry }] as const);
    return () => {
      this.space.kept.clear();
      for (const [key, entry] of kept) this.space.kept.set(key, entry);
      if (this.tellsGenerations) this.#generation += 1;
    };
  }

  #listenersOf(instanceId: string) {
    const listeners = this.#listeners.get(instanceId) ?? new Set();
    this.#listeners.set(instanceId, listeners);
    return listeners;
  }

  #signal(instanceId: string, message: unknown): boolean {
    const listeners = this.#listenersOf(instanceId);
    for (const push of listeners) push(message);
    return listeners.size > 0;
  }
}

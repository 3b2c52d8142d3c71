import { afterAll, beforeAll } from '@jest/globals';
import { connect, type NatsConnection } from 'nats';
import type { DriverContext, Entry } from '@cluster/core/driver';
import { NatsServer } from '../../../scripts/services/nats.js';
import { NatsMap, type NatsMapOptions } from '../src/nats-map.js';

const LONG_MS = 60_000;

/** An instance that nobody speaks to. */
export const nobody: DriverContext = { context: 'shop', instanceId: 'one', receive: () => undefined, listening: () => undefined };

export const entry = (value: string, lifetimeMs = LONG_MS): Entry => ({ value, lifetimeMs });

/** A map over a connection of its own. */
export const mapAt = (servers: string | string[], options: Partial<NatsMapOptions> = {}): NatsMap =>
  new NatsMap({ source: { connect: { servers } }, bucket: 'cluster', replicas: 1, storage: 'file', ...options });

/** One server with a client, for all tests of a file. */
export class OneServer {
  #server: NatsServer | undefined;
  #client: NatsConnection | undefined;

  constructor() {
    beforeAll(async () => {
      this.#server = await NatsServer.start();
      this.#client = await connect({ servers: this.#server.url });
    });
    afterAll(async () => {
      await this.#client?.close();
      await this.#server?.stop();
    });
  }

  get server(): NatsServer { return present(this.#server); }
  get client(): NatsConnection { return present(this.#client); }

  mapIn(bucket: string): NatsMap { return mapAt(this.server.url, { bucket }); }
}

function present<T>(there: T | undefined): T {
  if (there === undefined) throw new Error('it is there in tests only');
  return there;
}

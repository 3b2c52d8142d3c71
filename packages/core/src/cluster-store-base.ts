import type { ClusterStore, FindOptions, SessionSnapshot } from './cluster-store.js';
import { systemClock, type Clock } from './clock.js';
import type { SessionLog } from './drivers/session-log.js';
import type { SessionMap } from './drivers/session-map.js';
import type { SessionTable } from './drivers/session-table.js';
import { tableOf } from './drivers/table-of.js';
import { Standalone } from './engine/standalone.js';
import { ClusterError } from './errors.js';
import type { Manager } from './manager.js';
import { name, resolveOptions } from './options.js';

const TABLE = Symbol.for('@cluster/core/table');

const baseOptions = {
  instanceId: name(undefined, 'Address of this instance, unique in the cluster. Default: made of random digits.'),
};

/**
 * Joins a driver with the engine. A manager takes the table it lends and drives it; the methods of {@link ClusterStore} are
 * for use without a manager: the same steps, without a queue, and what is sent without `keep` is unlocked.
 */
export class ClusterStoreBase implements ClusterStore {
  readonly instanceId: string;
  readonly #table: SessionTable;
  readonly #clock: Clock;
  #starting: Promise<void> | undefined;
  #alone: Standalone | undefined;

  /**
   * @param driver a SessionMap, a SessionLog or a SessionTable
   * @throws ClusterError CLUSTER_BAD_OPTION for anything else, or an instanceId that is not 1 to 64 of A-Z a-z 0-9 _ -
   */
  constructor(driver: SessionTable | SessionMap | SessionLog, { instanceId, clock = systemClock }: { readonly instanceId?: string | undefined; readonly clock?: Clock } = {}) {
    this.#clock = clock;
    this.#table = tableOf(driver, clock);
    this.instanceId = resolveOptions('ClusterStoreBase', baseOptions, { instanceId }).instanceId ?? `i-${clock.randomHex(8)}`;
  }

  /** The table that a manager drives. */
  get [TABLE](): SessionTable { return this.#table; }

  start(manager: Manager): Promise<void> {
    this.#starting ??= this.#start(manager.context).catch((error: unknown) => {
      this.#starting = undefined;
      throw error;
    });
    return this.#starting;
  }

  async stop(): Promise<void> {
    // What a driver makes while it starts it could not end before.
    await this.#starting?.catch(() => undefined);
    this.#starting = undefined;
    const alone = this.#alone;
    this.#alone = undefined;
    await alone?.stop();
  }

  findSession(id: string, options: FindOptions = {}): Promise<SessionSnapshot | undefined> { return this.#started.find(id, options); }
  sendSession(session: SessionSnapshot, options: { readonly keep: boolean; readonly isNew: boolean }): Promise<void> { return this.#started.send(session, options); }
  removeSession(id: string, why: 'removed' | 'moved'): Promise<void> { return this.#started.remove(id, why); }
  readSession(id: string): Promise<SessionSnapshot | undefined> { return this.#started.read(id); }
  touchSessions(lifetimesMs: ReadonlyMap<string, number>): Promise<void> { return this.#started.touch(lifetimesMs); }

  async #start(context: string): Promise<void> {
    const alone = new Standalone(this.#table, this.instanceId, this.#clock);
    await alone.start(context);
    this.#alone = alone;
  }

  /** Nothing arrives here: a driver's updates are found when a session is acquired. */
  receiveSession(): void { return undefined; }

  get #started(): Standalone {
    if (this.#alone === undefined) throw new ClusterError('CLUSTER_STOPPED', 'this store is not started; call start(manager) first, or use it through a manager');
    return this.#alone;
  }
}

/** The table of a store that lends one; by symbol, so that it works across two installed copies of core. */
export function tableLentBy(store: ClusterStore): SessionTable | undefined {
  // Only ClusterStoreBase sets this symbol.
  return Reflect.get(store, TABLE) as SessionTable | undefined;
}

import type { Creation, Encoded, Removed, Stamp } from '../drivers/session-table.js';
import { ClusterError } from '../errors.js';
import { sizeOf } from '../session.js';
import { shortName } from '../session-id.js';
import { leaseMade } from './acquisition.js';
import type { Engine } from './engine.js';
import { copyOf, NO_FORMER_GRANTS, pause, type Held, type Slot } from './ownership.js';
import { refused, RETRY_MS, retryInMs } from './store-calls.js';

export const TOMBSTONE_MS = 60_000;

/** Where this instance has the lock of a session. */
export interface Place {
  readonly slot: Slot;
  readonly held: Held;
}

/** Makes and ends records: calls that may be repeated until they are answered. */
export class Records {
  constructor(private readonly engine: Engine, private readonly maxRecordBytes: number) {}

  /**
   * Stores a new record under an own claim; its slot is entered. `keep`: the lock is kept for the caller. `moved`: the caller
   * removes the record under its former key right after. Tried for `storeTimeoutMs`: nobody knows its key, so that an unknown
   * outcome needs no finding out.
   * @throws ClusterError CLUSTER_TOO_LARGE, CLUSTER_UNKNOWN_OUTCOME after that or the deadline, or the store's refusal
   */
  async create(key: string, attributes: ReadonlyMap<string, Encoded>, lifetimeMs: number, deadlineMs: number, keep: boolean, of: Creation['of'] = 'session'): Promise<Place> {
    const { engine } = this;
    this.checkSize(key, attributes);
    const untilMs = Math.min(deadlineMs, engine.now() + engine.settings.storeTimeoutMs);
    if (!engine.lease.isMade) await leaseMade(engine, untilMs);
    const slot = engine.slots.open(key);
    const claim = { incarnation: engine.lease.incarnation, grant: engine.clock.randomHex(16) };
    engine.occupy(slot, undefined, 'request');
    slot.claim = claim;
    const write = { change: { set: attributes, remove: [], whole: true }, lifetimeMs, of };
    const then = keep || engine.keeps(false) ? 'keep' : 'release';
    try {
      const answer = await this.#insist(untilMs, () => engine.calls.create(key, claim, write, then, untilMs));
      if (answer === 'exists') {
        throw new ClusterError('CLUSTER_UNKNOWN_OUTCOME', `session ${shortName(key)}: the store has another record under its fresh id; start a new session`);
      }
    } catch (error) {
      engine.leave(slot);
      throw error;
    }
    const now = engine.now();
    const held: Held = { claim, copy: copyOf({ grant: claim.grant, version: 1 }, attributes), formerGrants: NO_FORMER_GRANTS, createdMs: now, touchedMs: now, lifetimeMs, fromPeer: false, suspect: false };
    slot.claim = undefined;
    slot.held = held;
    if (then === 'release' || claim.incarnation !== engine.lease.incarnation) slot.letGo();
    return { slot, held };
  }

  /** Leaves a tombstone for a minute. With a grant: only where it has the lock, and of the content of `base` if that is given; without: by force. */
  remove(key: string, grant: string | undefined, base: Stamp | undefined, why: 'removed' | 'moved', deadlineMs: number): Promise<Removed> {
    return this.#insist(deadlineMs, () => this.engine.calls.remove(key, grant, base, why, TOMBSTONE_MS, deadlineMs));
  }

  /** @throws ClusterError CLUSTER_TOO_LARGE naming the largest attribute */
  checkSize(key: string, attributes: ReadonlyMap<string, Encoded>): void {
    let bytes = 0;
    for (const [name, encoded] of attributes) bytes += sizeOf(name, encoded);
    if (bytes <= this.maxRecordBytes) return;
    const sizes = [...attributes].map(([name, encoded]) => [name, sizeOf(name, encoded)] as const).sort(([, one], [, other]) => other - one);
    throw new ClusterError('CLUSTER_TOO_LARGE', `session ${shortName(key)}: its content would be ${bytes} bytes, maxRecordBytes is ${this.maxRecordBytes}; `
      + `the largest attribute is '${sizes[0]?.[0] ?? ''}' with ${sizes[0]?.[1] ?? 0}; nothing was stored`);
  }

  /** Repeats an idempotent call while its outcome is unknown, until the deadline. A refusal says nothing about the calls before it. */
  async #insist<T>(deadlineMs: number, call: () => Promise<T>): Promise<T> {
    for (let first = true; ; first = false) {
      try {
        return await call();
      } catch (error) {
        if (refused(error) && first) throw error;
        if (this.engine.isPlain || this.engine.now() + RETRY_MS >= deadlineMs) {
          throw refused(error) ? new ClusterError('CLUSTER_UNKNOWN_OUTCOME', 'the store did not answer in time, then refused; what became of the call is not known', { cause: error }) : error;
        }
        await pause(this.engine.clock, retryInMs(this.engine.now(), deadlineMs));
      }
    }
  }
}

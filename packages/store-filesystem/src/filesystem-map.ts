import * as promises from 'node:fs/promises';
import { join } from 'node:path';
import { ClusterError } from '@cluster/core';
import { Clock, type DriverContext, type Entry, type Found, type Message, type SessionMap } from '@cluster/core/driver';
import { KeyFolder, type Disk, type Volume } from './key-folder.js';
import { keysBehind, type Position } from './key-listing.js';
import { preparePlace, type Place } from './place.js';
import { expiresMsOf, folderName, parseRevision, revisionText, shardOf } from './revision.js';
import { Signals } from './signals.js';
import { Sweeper } from './sweeper.js';

export interface FilesystemMapOptions {
  readonly directory: string;
  readonly allowNetworkMounts: boolean;
  readonly clock?: Clock;
  readonly disk?: Disk;
}

/** At most this many keys are looked at in one sweep; the next one goes on behind the last of them. */
const MAX_SWEPT_LOOKS = 20_000;

interface Running {
  readonly place: Place;
  readonly volume: Volume;
  readonly signals: Signals;
  readonly sweeper: Sweeper;
}

/** A map whose keys are folders; see key-folder.ts. Times are of the host's wall clock. */
export class FilesystemMap implements SessionMap {
  readonly capabilities;
  readonly #options: FilesystemMapOptions;
  readonly #pending = new Set<Promise<unknown>>();
  #running: Running | undefined;
  #sweptUpTo: Position = { shard: '', folder: '' };
  /** What has failed since a round of sweeping last ended. */
  #failures: unknown[] = [];

  constructor(options: FilesystemMapOptions) {
    this.#options = options;
    // Elsewhere a paused process with a full backlog refuses connections like a dead one; on a shared mount so does another host.
    const proves = process.platform === 'linux' && !options.allowNetworkMounts;
    this.capabilities = { rollback: false, durability: 'power', gone: proves ? 'dead' : 'unknown' } as const;
  }

  async start(context: DriverContext): Promise<void> {
    const { directory, allowNetworkMounts, clock = Clock.system, disk = promises } = this.#options;
    const place = await preparePlace(directory, context.context, allowNetworkMounts);
    const volume: Volume = {
      disk, making: place.making, unreadable: place.unreadable, settled: new Set([place.root]),
      wallMs: () => clock.wallMs(), randomHex: (bytes) => clock.randomHex(bytes), later: (work) => { this.#later(work); },
    };
    const signals = new Signals({ folder: place.sockets, context, clock, provesDeath: this.capabilities.gone === 'dead' });
    await signals.open();
    const leadership = new KeyFolder(volume, join(place.root, 'sweeper'), 'sweeper');
    const sweeper = new Sweeper({ leadership, instanceId: context.instanceId, place, clock, signals });
    this.#running = { place, volume, signals, sweeper };
  }

  async stop(): Promise<void> {
    if (this.#running === undefined) return;
    const { signals } = this.#running;
    await signals.close();
    while (this.#pending.size > 0) await Promise.allSettled(this.#pending);
    this.#running = undefined;
  }

  async get(key: string): Promise<Found | undefined> {
    const { record } = await this.#folder(key).newest();
    if (record === undefined || this.#isOver(record.revision.id)) return undefined;
    return { value: record.value, revision: revisionText(record.revision) };
  }

  async compareAndSet(key: string, expected: string | undefined, { value, lifetimeMs }: Entry): Promise<string | undefined> {
    const folder = this.#folder(key);
    const expiresMs = this.#started().volume.wallMs() + lifetimeMs;
    const before = expected === undefined ? (await folder.newest()).record?.revision : parseRevision(expected);
    // An expired revision counts as none: nothing follows it that expects it, and what expects none may follow it.
    if (expected !== undefined && before === undefined) return undefined;
    if (before !== undefined && this.#isOver(before.id) === (expected !== undefined)) return undefined;
    const revision = before === undefined ? await folder.create(value, expiresMs) : await folder.append(before, value, expiresMs);
    return revision && revisionText(revision);
  }

  signal(instanceId: string, message: Message): Promise<boolean> {
    return this.#started().signals.signal(instanceId, message);
  }

  /** Clears expired keys away, and what dead processes left; one instance does, the others find nothing to do. */
  async sweep(limit: number): Promise<number> {
    const { sweeper } = this.#started();
    if (!await sweeper.leads()) return 0;
    await sweeper.clearRemains().catch((error: unknown) => { this.#failures.push(error); });
    const swept = await this.#sweepKeys(limit);
    // Who has swept up to the limit is called again at once, and told at the end.
    if (swept < limit) throwFirst(this.#failures.splice(0));
    return swept;
  }

  /** What fails is passed over, so that one key cannot keep the others. */
  async #sweepKeys(limit: number): Promise<number> {
    let swept = 0;
    let looks = 0;
    for await (const { key, position } of keysBehind(this.#sweptUpTo, this.#started().place.keys, this.#failures)) {
      if (swept >= limit || looks++ >= MAX_SWEPT_LOOKS) return swept;
      this.#sweptUpTo = position;
      try {
        if (await this.#folder(key).sweep()) swept++;
      } catch (error) {
        if (!isUnreadable(error)) this.#failures.push(error);
      }
    }
    return swept;
  }

  /** Gives all keys that can be looked at, and rejects in the end if there were others. */
  async* keys(): AsyncGenerator<string> {
    const failures: unknown[] = [];
    for await (const { key } of keysBehind({ shard: '', folder: '' }, this.#started().place.keys, failures)) {
      let isThere: boolean;
      try {
        isThere = await this.get(key) !== undefined;
      } catch (error) {
        // A key whose content cannot be read is there all the same.
        isThere = isUnreadable(error);
        if (!isThere) failures.push(error);
      }
      if (isThere) yield key;
    }
    throwFirst(failures);
  }

  #folder(key: string): KeyFolder {
    const { place, volume } = this.#started();
    return new KeyFolder(volume, join(place.keys, shardOf(key), folderName(key)), key);
  }

  #isOver(id: string): boolean {
    return expiresMsOf(id) <= this.#started().volume.wallMs();
  }

  #started(): Running {
    if (this.#running === undefined) throw new ClusterError('CLUSTER_STOPPED', 'The filesystem store is not running');
    return this.#running;
  }

  #later(work: Promise<unknown>): void {
    const done = work.catch(() => undefined).finally(() => this.#pending.delete(done));
    this.#pending.add(done);
  }
}

/** Files that cannot be read stay where they are, and are no reason to complain of the others; who asks for that key is told. */
const isUnreadable = (error: unknown): boolean =>
  ClusterError.is(error, 'CLUSTER_UNREADABLE') || ClusterError.is(error, 'CLUSTER_FOREIGN_VERSION');

function throwFirst(failures: readonly unknown[]): void {
  // As it was caught: what the system throws in another realm is no Error here.
  if (failures.length > 0) throw failures[0];
}

import type * as promises from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ClusterError } from '@cluster/core';
import { codeOf, dropFile, exists, readWhole, refused, syncFolder, unknownOutcome, writeBody } from './disk.js';
import { decodeRecord, encodeRecord, type StoredRecord } from './record-file.js';
import {
  expiresMsOf, firstRevision, newestSlot, newId, numberOf, parseSlot, slotName, slotsIn, successor, type Revision,
} from './revision.js';

/** The calls that a store makes to the disk; tests put in one that stops between two of them. */
export type Disk = Pick<typeof promises,
  'access' | 'link' | 'mkdir' | 'open' | 'readdir' | 'rename' | 'rm' | 'rmdir' | 'unlink'>;

/** What all keys of one store share. */
export interface Volume {
  readonly disk: Disk;
  /** Where first revisions are made; on the same file system. */
  readonly making: string;
  /** Where files that cannot be read get a second name. */
  readonly unreadable: string;
  readonly wallMs: () => number;
  readonly randomHex: (bytes: number) => string;
  /** Folders of keys whose own names are known to be on the disk. */
  readonly settled: Set<string>;
  /** Work that no caller waits for. */
  readonly later: (work: Promise<unknown>) => void;
}

/** What a look into the folder found; without `record` the key is absent, whatever `names` are left in its folder. */
export interface Newest {
  readonly names: readonly string[];
  readonly record?: StoredRecord;
}

/** What is still in the making after this long belongs to a process that died. */
export const ABANDONED_MS = 600_000;
const MAX_LOOKS = 200;
/** Three bodies and two slots. */
const NAMES_AT_REST = 5;

/**
 * One key: a folder with *bodies* (`<id>`, each name used once) and *slots* (`<n>~<base id>`, second names of bodies).
 *
 * Putting revision n+1 over n: write and sync a body, `link(body, slot)`, look whether the body of n is still there. The slot's
 * name is the same for all who build on n, so one of them wins. Cleaning removes the body of r-1 and then the slot of r, both
 * once r+2 exists. In general, and everywhere below:
 *
 *   (1) a slot is removed only after the body of its base is gone, and a body's name never comes back.
 *
 * A *slow linker* may run any step late. If its link succeeds because the slot had been removed, then by (1) its base is gone,
 * it sees that and answers "unknown" (its own slot may also have been used, built on and cleaned, hence not "refused"). If the
 * base is still there the slot had never been used, so the link was the one step from n to n+1. By the same token a slot whose
 * base is gone never counts for readers ({@link newestSlot}), and nobody builds on it. A reader sees the base after it has read a
 * slot: then what it read is what the slot first held.
 *
 * Looking for the base's *slot* instead of its body is not enough: a second slow linker may have made that name again.
 *
 * The end of a key: its last body n is linked once more as slot n+1 (a deletion; it loses or wins against a writer like any
 * other put, and needs no look at the base, for the base is what it links). It is final: readers take it for absence, writers
 * based on n meet it, nobody builds on it. Then all names go, oldest first, rmdir last.
 *
 * The beginning: a folder with body and slot 1 is made elsewhere and renamed to its place, which succeeds only if there is
 * none, or an empty one. So a key never restarts at a name that a slow linker still aims at: its slots contain the id of a body
 * that is gone for ever, and do not count in the new folder. Slot 1 names its own body as its base.
 *
 * Listing: one getdents call over a folder this small is atomic against link, unlink and rename on Linux (the kernel holds the
 * folder's lock for the call).
 */
export class KeyFolder {
  constructor(private readonly volume: Volume, readonly path: string, private readonly key: string) {}

  /** The newest content, expired or not. */
  async newest(): Promise<Newest> {
    for (let look = 0; look < MAX_LOOKS; look++) {
      const names = await this.#list();
      const slot = newestSlot(names);
      if (slot === undefined) return { names };
      const file = slotName(slot.number, slot.base);
      const bytes = await readWhole(this.volume.disk, this.#at(file));
      if (bytes === undefined || !(await exists(this.volume.disk, this.#at(slot.base)))) continue;
      const record = await this.#decode(file, bytes);
      const isDeletion = record.revision.number === slot.number - 1 && record.revision.id === slot.base;
      if (isDeletion) return { names };
      if (record.revision.number === slot.number && record.revision.base === slot.base) return { names, record };
      throw new ClusterError('CLUSTER_UNREADABLE', `${this.#shown(file)}: found the content of another revision`);
    }
    throw new ClusterError('CLUSTER_UNAVAILABLE', `${this.#shown('')}: changed ${MAX_LOOKS} times while it was read`);
  }

  /** Puts the successor of `before`; undefined if there is one already. */
  async append(before: Revision, value: string, expiresMs: number): Promise<Revision | undefined> {
    const { disk } = this.volume;
    const next = successor(before, newId(before.number + 1, this.volume.randomHex, expiresMs));
    const body = this.#at(next.id);
    const slot = this.#at(slotName(next.number, next.base));
    try {
      await writeBody(disk, body, encodeRecord(this.key, next, value));
      // Not needed for safety: tells most of those that were overtaken while they wrote that nothing came of it.
      await disk.access(this.#at(before.id));
      await disk.link(body, slot);
    } catch (error) {
      await dropFile(disk, body).catch(() => undefined);
      if (['EEXIST', 'ENOENT'].includes(codeOf(error))) return undefined;
      throw refused(this.#shown(''), error);
    }
    const [baseIsThere] = await Promise.all([exists(disk, this.#at(before.id)), syncFolder(disk, this.path)])
      .catch((error: unknown) => { throw unknownOutcome(this.#shown(''), error); });
    if (!baseIsThere) return this.#overtaken(next);
    const oldSlot = slotName(before.number - 1, before.beforeBase);
    // Slot 1 is its own base, which the writer of revision 2 may still have to see; nobody links slot 1 here.
    if (before.number > 1) this.volume.later(this.#drop(before.number === 2 ? [oldSlot] : [before.beforeBase, oldSlot]));
    return next;
  }

  /** Linked, and its base is gone: it was built upon, or came too late. Only the first can be proved, while that is recent. */
  async #overtaken(next: Revision): Promise<Revision> {
    const { record } = await this.newest();
    if (record?.revision.base === next.id || record?.revision.beforeBase === next.id) return next;
    this.volume.later(this.#drop([slotName(next.number, next.base), next.id]));
    throw unknownOutcome(this.#shown(''), 'it was overtaken while it was put');
  }

  /** Puts a first revision; undefined if the key exists meanwhile. */
  async create(value: string, expiresMs: number): Promise<Revision | undefined> {
    const { disk, making } = this.volume;
    const first = firstRevision(newId(1, this.volume.randomHex, expiresMs));
    const made = join(making, first.id);
    try {
      await this.#settleParent();
      await disk.mkdir(made, 0o700);
      await writeBody(disk, join(made, first.id), encodeRecord(this.key, first, value));
      await disk.link(join(made, first.id), join(made, slotName(1, first.id)));
      if (!(await this.#moveHere(made))) {
        await disk.rm(made, { recursive: true, force: true });
        return undefined;
      }
    } catch (error) {
      await disk.rm(made, { recursive: true, force: true }).catch(() => undefined);
      throw error instanceof ClusterError ? error : refused(this.#shown(''), error);
    }
    await Promise.all([syncFolder(disk, this.path), syncFolder(disk, dirname(this.path))])
      .catch((error: unknown) => { throw unknownOutcome(this.#shown(''), error); });
    return first;
  }

  /** Another process may have made the parent and not synced it yet, so every process does that once. */
  async #settleParent(): Promise<void> {
    const parent = dirname(this.path);
    if (this.volume.settled.has(parent)) return;
    await this.volume.disk.mkdir(parent, 0o700).catch((error: unknown) => { if (codeOf(error) !== 'EEXIST') throw error; });
    await syncFolder(this.volume.disk, dirname(parent));
    this.volume.settled.add(parent);
  }

  async #moveHere(made: string): Promise<boolean> {
    for (let attempt = 0; attempt < MAX_LOOKS; attempt++) {
      try {
        await this.volume.disk.rename(made, this.path);
        return true;
      } catch (error) {
        if (!['EEXIST', 'ENOTEMPTY'].includes(codeOf(error))) throw error;
      }
      const { names, record } = await this.newest();
      if (record !== undefined) return false;
      await this.#clear(names);
    }
    throw new ClusterError('CLUSTER_UNAVAILABLE', `${this.#shown('')}: its folder could not be emptied; nothing was changed`);
  }

  /** Removes the key if it has expired, and what crashes left in its folder. True: it had expired and is gone. */
  async sweep(): Promise<boolean> {
    const listed = await this.#list();
    const mayLive = listed.some((name) => parseSlot(name) === undefined && expiresMsOf(name) > this.volume.wallMs());
    if (mayLive && listed.length <= NAMES_AT_REST) return false;
    const { names, record } = await this.newest();
    if (record !== undefined && expiresMsOf(record.revision.id) > this.volume.wallMs()) {
      await this.#tidy(names, record.revision);
      return false;
    }
    const deleted = record !== undefined && await this.#delete(record.revision);
    // Looked at anew: another sweeper may have emptied the folder, and a writer filled it again.
    const left = record === undefined ? { names } : await this.newest();
    if ('record' in left) return deleted;
    await this.#clear(left.names);
    await this.volume.disk.rmdir(this.path).catch(() => undefined);
    return deleted;
  }

  async #delete({ number, id }: Revision): Promise<boolean> {
    try {
      await this.volume.disk.link(this.#at(id), this.#at(slotName(number + 1, id)));
      return true;
    } catch (error) {
      if (['EEXIST', 'ENOENT'].includes(codeOf(error))) return false;
      throw error;
    }
  }

  /** Only for names listed when the key was absent: none of them can count again. */
  async #clear(names: readonly string[]): Promise<void> {
    const inOrder = slotsIn(names).flatMap((slot) => [slot.base, slotName(slot.number, slot.base)]);
    await this.#drop([...inOrder, ...names.filter((name) => !inOrder.includes(name))]);
  }

  async #tidy(names: readonly string[], { number, id, base, beforeBase }: Revision): Promise<void> {
    const kept = new Set([id, slotName(number, base), base, slotName(number - 1, beforeBase), beforeBase]);
    for (const slot of slotsIn(names)) {
      if (!kept.has(slotName(slot.number, slot.base)) && !kept.has(slot.base)) {
        await this.#drop([slot.base, slotName(slot.number, slot.base)]);
      }
    }
    // Bodies that lost, or whose writer died before its link: the slot that they were made for is decided. One that was made
    // for the next slot stays, for its writer may be about to link it.
    await this.#drop(names.filter((name) => parseSlot(name) === undefined && !kept.has(name) && numberOf(name) <= number));
  }

  /** In this order; an error ends it, for (1) would not hold beyond. */
  async #drop(names: readonly string[]): Promise<void> {
    for (const name of names) await dropFile(this.volume.disk, this.#at(name));
  }

  async #list(): Promise<string[]> {
    return this.volume.disk.readdir(this.path).catch((error: unknown) => {
      if (codeOf(error) === 'ENOENT') return [];
      throw refused(this.#shown(''), error);
    });
  }

  async #decode(file: string, bytes: Buffer): Promise<StoredRecord> {
    try {
      return decodeRecord(this.key, this.#shown(file), bytes);
    } catch (error) {
      await this.volume.disk.link(this.#at(file), join(this.volume.unreadable, `${basename(this.path).slice(0, 140)}~${file}`))
        .catch(() => undefined);
      throw error;
    }
  }

  #at(name: string): string {
    return join(this.path, name);
  }

  /** Names the folder by the digest of the session id, as messages do. */
  #shown(file: string): string {
    return join(basename(dirname(this.path)), basename(this.path), file);
  }
}


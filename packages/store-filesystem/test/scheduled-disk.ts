import { basename, dirname } from 'node:path';
import type { Disk } from '../src/key-folder.js';

interface Node { bytes: Buffer }

const failure = (code: string) => Object.assign(new Error(`${code}: as a disk would say`), { code });

/** Small and quick random numbers from a seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Lets one of several actors take one step at a time, chosen by a seed; now and then an actor is left standing for long. */
export class Scheduler {
  step = 0;
  readonly #waiting: { readonly actor: string; readonly go: () => void }[] = [];
  readonly #asleepUntil = new Map<string, number>();

  constructor(readonly random: () => number, readonly everyStep: () => void) {}

  turn(actor: string): Promise<void> {
    if (this.random() < 0.04) this.#asleepUntil.set(actor, this.step + Math.floor(this.random() * 250));
    return new Promise((go) => { this.#waiting.push({ actor, go }); });
  }

  async run(actors: readonly Promise<unknown>[]): Promise<void> {
    let running = actors.length;
    const ended = () => { running--; };
    for (const actor of actors) void actor.then(ended, ended);
    const settled = () => new Promise((resolve) => { setImmediate(resolve); });
    for (await settled(); running > 0; await settled()) {
      if (this.#waiting.length === 0) continue;
      const awake = this.#waiting.filter(({ actor }) => (this.#asleepUntil.get(actor) ?? 0) <= this.step);
      const choice = awake.length > 0 ? awake : this.#waiting;
      const next = choice[Math.floor(this.random() * choice.length)];
      if (next === undefined) continue;
      this.#waiting.splice(this.#waiting.indexOf(next), 1);
      this.step++;
      this.everyStep();
      next.go();
    }
    await Promise.all(actors);
  }
}

/** Folders and hard links in memory. What is linked or renamed is shown to `watch` in the same step. */
export class MemoryDisk {
  readonly folders = new Map<string, Map<string, Node>>();

  constructor(readonly watch: (what: 'link' | 'rename', from: string, to: string) => void) {}

  #names(folder: string): Map<string, Node> {
    const names = this.folders.get(folder);
    if (names === undefined) throw failure('ENOENT');
    return names;
  }

  #node(path: string): Node {
    const node = this.#names(dirname(path)).get(basename(path));
    if (node === undefined) throw failure('ENOENT');
    return node;
  }

  #link(from: string, to: string): void {
    const node = this.#node(from);
    const names = this.#names(dirname(to));
    if (names.has(basename(to))) throw failure('EEXIST');
    names.set(basename(to), node);
    this.watch('link', from, to);
  }

  #rename(from: string, to: string): void {
    const names = this.#names(from);
    if ((this.folders.get(to)?.size ?? 0) > 0) throw failure('ENOTEMPTY');
    this.folders.delete(from);
    this.folders.set(to, names);
    this.watch('rename', from, to);
  }

  #rmdir(path: string): void {
    if (this.#names(path).size > 0) throw failure('ENOTEMPTY');
    this.folders.delete(path);
  }

  #open(path: string, flags: string | number) {
    if (typeof flags === 'number') {
      this.#names(path);
      return { sync: () => Promise.resolve(), close: () => Promise.resolve() };
    }
    if (flags === 'wx') {
      const names = this.#names(dirname(path));
      if (names.has(basename(path))) throw failure('EEXIST');
      names.set(basename(path), { bytes: Buffer.alloc(0) });
    }
    const node = this.#node(path);
    return {
      writeFile: (bytes: Buffer) => { node.bytes = bytes; return Promise.resolve(); },
      read: (buffer: Buffer) => Promise.resolve({ bytesRead: node.bytes.copy(buffer), buffer }),
      datasync: () => Promise.resolve(), close: () => Promise.resolve(),
    };
  }

  /** The disk as one actor uses it: each call waits for its turn. `lies` replaces what calls answer. */
  for(actor: string, scheduler: Scheduler, lies: { access?: (path: string) => boolean } = {}): Disk {
    const inTurn = <A extends unknown[], R>(call: (...args: A) => R) => async (...args: A) => {
      await scheduler.turn(actor);
      return call(...args);
    };
    const disk = {
      mkdir: inTurn((path: string) => { this.folders.set(path, new Map()); }),
      open: inTurn((path: string, flags: string | number) => this.#open(path, flags)),
      link: inTurn((from: string, to: string) => { this.#link(from, to); }),
      unlink: inTurn((path: string) => { this.#node(path); this.#names(dirname(path)).delete(basename(path)); }),
      readdir: inTurn((path: string) => [...this.#names(path).keys()]),
      rename: inTurn((from: string, to: string) => { this.#rename(from, to); }),
      rmdir: inTurn((path: string) => { this.#rmdir(path); }),
      rm: inTurn((path: string) => { this.folders.delete(path); }),
      access: inTurn((path: string) => {
        if (lies.access === undefined) this.#node(path);
        else if (!lies.access(path)) throw failure('ENOENT');
      }),
    };
    // The calls have many overloads; the store uses these forms only.
    return disk as unknown as Disk;
  }
}

/** Something that will happen at a moment of virtual time. */
export interface Due { readonly atMs: number; readonly order: number; callback: (() => void) | undefined }

const isBefore = (a: Due, b: Due): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

// A tick runs when no promise is left that could settle; called from a promise, as it is below.
const settled = () => new Promise<void>((resolve) => { process.nextTick(resolve); });
const breather = () => new Promise<void>((resolve) => { setImmediate(resolve); });
const EVENTS_PER_BREATH = 10_000;
/** So many at one moment mean that somebody asks the clock again and again. */
const MOST_AT_ONCE = 200_000;

/** Virtual time: everything that happens is an event of one queue, and promises settle between two events. */
export class World {
  nowMs = 0;
  events = 0;
  readonly trace: ((who: string, what: string) => void) | undefined;
  readonly #heap: Due[] = [];
  #order = 0;
  #atOnce = 0;

  constructor(print?: (line: string) => void) {
    if (print !== undefined) this.trace = (who, what) => { print(`${this.nowMs.toFixed(2).padStart(10)}  ${who.padEnd(6)} ${what}`); };
  }

  /** Set `callback` to undefined to cancel. */
  at(atMs: number, callback: () => void): Due {
    const due: Due = { atMs: Math.max(atMs, this.nowMs), order: this.#order++, callback };
    this.#push(due);
    return due;
  }

  after(ms: number, callback: () => void): Due { return this.at(this.nowMs + ms, callback); }

  sleep(ms: number): Promise<void> { return new Promise((resolve) => { this.after(ms, resolve); }); }

  /** Lets events happen, in order, until `isOver`. */
  async run(isOver: () => boolean, untilMs: number): Promise<void> {
    await settled();
    while (!isOver()) {
      const due = this.#pop();
      if (due === undefined) throw new Error('nothing more happens, and somebody still waits');
      if (due.callback === undefined) continue;
      if (due.atMs > untilMs) throw new Error(`not over after ${untilMs} ms of virtual time`);
      this.#atOnce = due.atMs === this.nowMs ? this.#atOnce + 1 : 0;
      if (this.#atOnce > MOST_AT_ONCE) throw new Error(`time stands still at ${this.nowMs} ms`);
      this.nowMs = due.atMs;
      due.callback();
      this.events += 1;
      if (this.events % EVENTS_PER_BREATH === 0) await breather();
      await settled();
    }
  }

  #push(due: Due): void {
    const heap = this.#heap;
    let place = heap.length;
    for (;;) {
      const above = (place - 1) >> 1;
      const parent = heap[above];
      if (place === 0 || parent === undefined || !isBefore(due, parent)) break;
      heap[place] = parent;
      place = above;
    }
    heap[place] = due;
  }

  #pop(): Due | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || last === first) return first;
    let place = 0;
    for (;;) {
      const left = heap[2 * place + 1];
      const right = heap[2 * place + 2];
      const isRight = right !== undefined && left !== undefined && isBefore(right, left);
      const child = isRight ? right : left;
      if (child === undefined || !isBefore(child, last)) break;
      heap[place] = child;
      place = 2 * place + (isRight ? 2 : 1);
    }
    heap[place] = last;
    return first;
  }
}

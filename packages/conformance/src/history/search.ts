import { entriesOf, firstReturn, putBack, takeOut, type Entry } from './entries.js';
import type { Model, Step, Trace } from './model.js';

/** What can come next, the best one last. */
interface Choices {
  readonly left: Entry[];
  /** There was more than one. */
  readonly isFork: boolean;
  /** The steps without an answer that can still be of use. */
  readonly open: readonly number[];
}

/** A step that was placed, what it replaced, and what else could have stood in its place. */
interface Placement { readonly call: Entry; readonly replaced: readonly Trace[]; readonly instead: Choices }

export type SearchResult =
  | { readonly kind: 'found' }
  /** `placed`: how many steps the longest order has, `last`: its end; `stuck`: the step that must come next and does not fit; `next`: some after it. */
  | { readonly kind: 'impossible'; readonly placed: number; readonly last: readonly Step[]; readonly stuck: Step; readonly next: readonly Step[] }
  | { readonly kind: 'undecided' };

const LAST_SHOWN = 6;
const NEXT_SHOWN = 3;

/** A set of numbers, as text: all below `low`, and those named. */
class Numbers {
  readonly #bits: Uint16Array;
  #low = 0;

  constructor(size: number) { this.#bits = new Uint16Array((size >> 4) + 1); }

  put(index: number): void {
    this.#bits[index >> 4] = (this.#bits[index >> 4] ?? 0) | (1 << (index & 15));
    while (this.#bits[this.#low] === 0xffff) this.#low += 1;
  }

  take(index: number): void {
    this.#bits[index >> 4] = (this.#bits[index >> 4] ?? 0) & ~(1 << (index & 15));
    this.#low = Math.min(this.#low, index >> 4);
  }

  toString(): string {
    let end = this.#bits.length;
    while (end > this.#low && this.#bits[end - 1] === 0) end -= 1;
    return `${this.#low}:${String.fromCharCode(...this.#bits.subarray(this.#low, end))}`;
  }
}

/** Whether all of the numbers are among the others; both rise. */
function isSubset(some: readonly number[], all: readonly number[]): boolean {
  let at = 0;
  for (const one of some) {
    while (at < all.length && (all[at] ?? 0) < one) at += 1;
    if (all[at] !== one) return false;
  }
  return true;
}

class Search {
  readonly #head: Entry;
  /** By place: its present trace. */
  readonly #present: Trace[];
  /** By trace: how many steps that are not placed yet require it, of those that must be placed and of the others, and assign it. */
  readonly #mustSee: number[];
  readonly #maySee: number[];
  readonly #assigners: number[];
  readonly #isEverSeenByOpen: readonly boolean[];
  readonly #placed: Numbers;
  readonly #tried = new Map<string, (readonly number[])[]>();
  #left = 0;

  constructor(private readonly model: Model) {
    const { steps, placeOf, initial } = model;
    this.#head = entriesOf(steps);
    this.#present = [...initial];
    [this.#mustSee, this.#maySee, this.#assigners] = [placeOf.map(() => 0), placeOf.map(() => 0), placeOf.map(() => 0)];
    for (const step of steps) this.#count(step, 1);
    this.#isEverSeenByOpen = this.#maySee.map((count) => count > 0);
    this.#placed = new Numbers(this.#left);
  }

  run(maxSteps: number): SearchResult {
    const order: Placement[] = [];
    let longest: SearchResult & { kind: 'impossible' } | undefined;
    let choices = this.#choices();
    for (let count = 0; this.#left > 0;) {
      const call = choices.left.pop();
      if (call !== undefined) {
        if (count++ >= maxSteps) return { kind: 'undecided' };
        const replaced = this.#place(call);
        const next = this.#choices();
        if (choices.isFork && this.#wasTried(next)) {
          this.#unplace(call, replaced);
        } else {
          order.push({ call, replaced, instead: choices });
          choices = next;
        }
        continue;
      }
      if (longest === undefined || order.length > longest.placed) {
        const last = order.slice(-LAST_SHOWN).map((placement) => placement.call.step);
        longest = { kind: 'impossible', placed: order.length, last, ...this.#remaining() };
      }
      const last = order.pop();
      if (last === undefined) return longest;
      this.#unplace(last.call, last.replaced);
      choices = last.instead;
    }
    return { kind: 'found' };
  }

  #choices(): Choices {
    const left: Entry[] = [];
    const open: number[] = [];
    const kinds = new Set<string>();
    let unnoticed: Entry | undefined;
    for (let entry = this.#head.next; entry !== undefined && !entry.isReturn; entry = entry.next) {
      const { step, index } = entry;
      if (step.isOpen) {
        if (this.#isSpent(step)) continue;
        open.push(index);
        // Of those that do the same the first one can stand wherever another could.
        const isFirst = !kinds.has(step.kind);
        kinds.add(step.kind);
        if (isFirst && this.#fits(step) && this.#isOfUse(step)) left.push(entry);
      } else if (unnoticed === undefined && this.#fits(step)) {
        if (this.#isUnnoticed(step)) unnoticed = entry;
        left.push(entry);
      }
    }
    // If there is an order at all there is one in which such a step comes next.
    if (unnoticed !== undefined) return { left: [unnoticed], isFork: false, open };
    // What has to be placed first is tried first.
    left.sort((a, b) => (a.step.returnNs === b.step.returnNs ? b.step.callNs - a.step.callNs : b.step.returnNs - a.step.returnNs));
    return { left, isFork: left.length > 1, open };
  }

  /** What it requires is so, and what it replaces is not needed any more, or can be had again. */
  #fits({ isOpen, requires, assigns }: Step): boolean {
    for (const trace of requires) if (this.#present[this.#placeOf(trace)] !== trace) return false;
    for (const trace of assigns) {
      const old = this.#at(trace);
      if (old !== trace && this.#assigners[old] === 0 && (this.#mustSee[old] ?? 0) > Number(!isOpen && requires.includes(old))) return false;
    }
    return true;
  }

  /** Whether it can be left out from here on: it can happen no more, or nobody is going to see it. */
  #isSpent({ requires, assigns }: Step): boolean {
    return requires.some((trace) => this.#at(trace) !== trace && this.#assigners[trace] === Number(assigns.includes(trace)))
      || assigns.every((trace) => this.#seers(trace) === Number(requires.includes(trace)));
  }

  /** Whether anything that it would change is going to be seen. */
  #isOfUse({ assigns }: Step): boolean {
    return assigns.some((trace) => this.#at(trace) !== trace && this.#seers(trace) > 0);
  }

  /** Whether no other step can tell that it was placed: it changes nothing, or nothing that anybody is going to see. */
  #isUnnoticed({ requires, assigns }: Step): boolean {
    return assigns.every((trace) => {
      const old = this.#at(trace);
      return this.#seers(trace) === Number(requires.includes(trace)) && this.#seers(old) === Number(requires.includes(old));
    });
  }

  #seers(trace: Trace): number { return (this.#mustSee[trace] ?? 0) + (this.#maySee[trace] ?? 0); }
  #placeOf(trace: Trace): number { return this.model.placeOf[trace] ?? 0; }
  /** The present trace of the same place. */
  #at(trace: Trace): Trace { return this.#present[this.#placeOf(trace)] ?? 0; }

  #count({ isOpen, requires, assigns }: Step, by: 1 | -1): void {
    const seers = isOpen ? this.#maySee : this.#mustSee;
    for (const trace of requires) seers[trace] = (seers[trace] ?? 0) + by;
    for (const trace of assigns) this.#assigners[trace] = (this.#assigners[trace] ?? 0) + by;
    if (!isOpen) this.#left += by;
  }

  #place(call: Entry): readonly Trace[] {
    const { step, index } = call;
    const replaced = step.assigns.map((trace) => this.#at(trace));
    for (const trace of step.assigns) this.#present[this.#placeOf(trace)] = trace;
    this.#count(step, -1);
    if (!step.isOpen) this.#placed.put(index);
    takeOut(call);
    return replaced;
  }

  #unplace(call: Entry, replaced: readonly Trace[]): void {
    const { step, index } = call;
    for (const trace of replaced) this.#present[this.#placeOf(trace)] = trace;
    this.#count(step, 1);
    if (!step.isOpen) this.#placed.take(index);
    putBack(call);
  }

  /**
   * Whether the same steps that returned were placed before, with the same content as far as anybody can see it. Then there was
   * no order, and there is none now unless one of the steps without an answer was used up then and is not now.
   */
  #wasTried({ open }: Choices): boolean {
    const content = this.#present.map((trace) => ((this.#mustSee[trace] ?? 0) > 0 || this.#isEverSeenByOpen[trace] === true ? trace : '')).join();
    const name = `${this.#placed.toString()} ${content}`;
    const before = this.#tried.get(name);
    if (before === undefined) this.#tried.set(name, [open]);
    else if (before.some((tried) => isSubset(open, tried))) return true;
    else before.push(open);
    return false;
  }

  /** The step that must come next, since it returns first, and the next ones that returned. */
  #remaining(): { readonly stuck: Step; readonly next: readonly Step[] } {
    const stuck = firstReturn(this.#head);
    const next: Step[] = [];
    for (let entry = this.#head.next; entry !== undefined && next.length < NEXT_SHOWN; entry = entry.next) {
      if (!entry.isReturn && !entry.step.isOpen && entry.step !== stuck) next.push(entry.step);
    }
    return { stuck, next };
  }
}

/**
 * Looks for an order of the operations on one key in which each takes effect at one moment between its call and its return
 * (Wing and Gong, with the memory of Lowe: a set of placed operations with the same content is tried once). Operations whose
 * result is unknown may stand anywhere after their call, or be left out.
 */
export const search = (model: Model, maxSteps: number): SearchResult => new Search(model).run(maxSteps);

import { after, type Content } from './content.js';
import type { HistoryOperation } from './operation.js';

/** A call or a return, in the order of time; a doubly linked list, so that an operation can be taken out and put back at once. */
interface Entry {
  readonly index: number;
  readonly operation: HistoryOperation;
  readonly timeNs: number;
  /** The return of a call; undefined for a return, and for a call whose result is unknown. */
  returned: Entry | undefined;
  readonly isReturn: boolean;
  before: Entry | undefined;
  next: Entry | undefined;
}

interface Step { readonly entry: Entry; readonly content: Content }

export type SearchResult =
  | { readonly kind: 'found' }
  /** `order`: the longest order found; `stuck`: the operation that had returned and fits nowhere after it. */
  | { readonly kind: 'impossible'; readonly order: readonly HistoryOperation[]; readonly stuck: HistoryOperation }
  | { readonly kind: 'undecided' };

function entriesOf(operations: readonly HistoryOperation[]): Entry {
  const entries: Entry[] = [];
  for (const [index, operation] of operations.entries()) {
    const call: Entry = { index, operation, timeNs: operation.call_ns, returned: undefined, isReturn: false, before: undefined, next: undefined };
    entries.push(call);
    if (operation.result !== 'ok') continue;
    call.returned = { index, operation, timeNs: operation.return_ns ?? Infinity, returned: undefined, isReturn: true, before: undefined, next: undefined };
    entries.push(call.returned);
  }
  // At the same time the call comes first: the operations may have overlapped.
  entries.sort((a, b) => a.timeNs - b.timeNs || Number(a.isReturn) - Number(b.isReturn) || a.index - b.index);
  // Its operation is never looked at.
  const head: Entry = { index: -1, operation: undefined as never, timeNs: -Infinity, returned: undefined, isReturn: false, before: undefined, next: undefined };
  let last = head;
  for (const entry of entries) {
    entry.before = last;
    last.next = entry;
    last = entry;
  }
  return head;
}

function takeOut(entry: Entry): void {
  for (const each of entry.returned === undefined ? [entry] : [entry, entry.returned]) {
    if (each.before !== undefined) each.before.next = each.next;
    if (each.next !== undefined) each.next.before = each.before;
  }
}

function putBack(entry: Entry): void {
  for (const each of entry.returned === undefined ? [entry] : [entry.returned, entry]) {
    if (each.before !== undefined) each.before.next = each;
    if (each.next !== undefined) each.next.before = each;
  }
}

/** The set of operations that have been placed, as text: all below `low`, and those named. */
class Placed {
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

/**
 * Looks for an order of the operations on one key in which each takes effect at one moment between its call and its return
 * (Wing and Gong, with the memory of Lowe: a set of placed operations with the same content is tried once). Operations whose
 * result is unknown may stand anywhere after their call, or be left out.
 */
export function search(operations: readonly HistoryOperation[], initial: Content, maxSteps: number): SearchResult {
  const sorted = [...operations].sort((a, b) => a.call_ns - b.call_ns);
  const head = entriesOf(sorted);
  const placed = new Placed(sorted.length);
  const tried = new Set<string>();
  const steps: Step[] = [];
  let open = sorted.filter(({ result }) => result === 'ok').length;
  let content = initial;
  let longest: { readonly order: readonly HistoryOperation[]; readonly stuck: HistoryOperation } | undefined;
  let entry = head.next;
  for (let count = 0; open > 0 && entry !== undefined; count += 1) {
    if (count >= maxSteps) return { kind: 'undecided' };
    if (!entry.isReturn) {
      const next = after(content, entry.operation);
      if (next !== undefined) {
        placed.put(entry.index);
        const name = `${placed.toString()} ${next.name}`;
        if (!tried.has(name)) {
          tried.add(name);
          steps.push({ entry, content });
          content = next;
          if (entry.returned !== undefined) open -= 1;
          takeOut(entry);
          entry = head.next;
          continue;
        }
        placed.take(entry.index);
      }
      entry = entry.next;
      continue;
    }
    if (longest === undefined || steps.length > longest.order.length) longest = { order: steps.map((step) => step.entry.operation), stuck: entry.operation };
    const last = steps.pop();
    if (last === undefined) return { kind: 'impossible', ...longest };
    content = last.content;
    placed.take(last.entry.index);
    if (last.entry.returned !== undefined) open += 1;
    putBack(last.entry);
    entry = last.entry.next;
  }
  return { kind: 'found' };
}

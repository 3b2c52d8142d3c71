import type { Step } from './model.js';

/** A call or a return, in the order of time; a doubly linked list, so that a step can be taken out and put back at once. */
export interface Entry {
  readonly step: Step;
  /** Among the steps that returned, or among those that did not, by the time of their calls. */
  readonly index: number;
  readonly timeNs: number;
  /** The return of a call; undefined for a return, and for a call whose result is unknown. */
  returned: Entry | undefined;
  readonly isReturn: boolean;
  before: Entry | undefined;
  next: Entry | undefined;
}

/** Their calls and returns, by time; what comes before the first of them. */
export function entriesOf(steps: readonly Step[]): Entry {
  const entries: Entry[] = [];
  const counts = { open: 0, returned: 0 };
  for (const step of steps) {
    const index = step.isOpen ? counts.open++ : counts.returned++;
    const call: Entry = { index, step, timeNs: step.callNs, returned: undefined, isReturn: false, before: undefined, next: undefined };
    entries.push(call);
    if (step.isOpen) continue;
    call.returned = { index, step, timeNs: step.returnNs, returned: undefined, isReturn: true, before: undefined, next: undefined };
    entries.push(call.returned);
  }
  // At the same time the call comes first: the operations may have overlapped.
  entries.sort((a, b) => a.timeNs - b.timeNs || Number(a.isReturn) - Number(b.isReturn) || a.index - b.index);
  // Its step is never looked at.
  const head: Entry = { index: -1, step: undefined as never, timeNs: -Infinity, returned: undefined, isReturn: false, before: undefined, next: undefined };
  let last = head;
  for (const entry of entries) {
    entry.before = last;
    last.next = entry;
    last = entry;
  }
  return head;
}

export function takeOut(entry: Entry): void {
  for (const each of entry.returned === undefined ? [entry] : [entry, entry.returned]) {
    if (each.before !== undefined) each.before.next = each.next;
    if (each.next !== undefined) each.next.before = each.before;
  }
}

export function putBack(entry: Entry): void {
  for (const each of entry.returned === undefined ? [entry] : [entry.returned, entry]) {
    if (each.before !== undefined) each.before.next = each;
    if (each.next !== undefined) each.next.before = each;
  }
}

/** The step that returns first, of those that are left. */
export function firstReturn(head: Entry): Step {
  let entry = head.next;
  while (entry !== undefined && !entry.isReturn) entry = entry.next;
  if (entry === undefined) throw new Error('there is a return as long as a step is left');
  return entry.step;
}

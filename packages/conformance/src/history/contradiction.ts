import type { Model, Step, Trace } from './model.js';

/** What is plainly wrong, and the operations that show it; the last one is the one that cannot be. */
export interface Contradiction { readonly what: string; readonly steps: readonly Step[] }

/** Acknowledged assignments of one place by the time of their returns, each with the one of the latest call up to there. */
interface Assignments { readonly returnsNs: number[]; readonly latest: Step[] }

/** How many come before the time. */
function countBefore(timesNs: readonly number[], timeNs: number): number {
  let [low, high] = [0, timesNs.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((timesNs[middle] ?? Infinity) < timeNs) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Who assigns a trace: how many, from when on, until when. */
interface Writers { count: number; firstCallNs: number; lastReturnNs: number; readonly first: Step }

/** Finds what needs no search, since it follows from two or three operations. */
class Contradictions {
  readonly #writers = new Map<Trace, Writers>();
  /** Acknowledged steps that replace what they require. */
  readonly #replacers = new Map<Trace, Step[]>();
  readonly #assignments = new Map<number, Assignments>();
  /** By the time of their returns. */
  readonly acknowledged: readonly Step[];

  constructor(private readonly model: Model) {
    this.acknowledged = model.steps.filter(({ isOpen }) => !isOpen).sort((a, b) => a.returnNs - b.returnNs);
    for (const step of model.steps) for (const trace of step.assigns) this.#noteWriter(trace, step);
    for (const step of this.acknowledged) {
      for (const trace of step.assigns) this.#noteAssignment(this.#placeOf(trace), step);
      for (const trace of step.requires) if (this.#replaces(step, trace)) this.#noteReplacer(trace, step);
    }
  }

  of(step: Step): Contradiction | undefined {
    for (const trace of step.requires) {
      const found = this.#with(step, trace);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #with(step: Step, trace: Trace): Contradiction | undefined {
    const shown = this.model.describe(trace);
    const writers = this.#writers.get(trace);
    const isInitial = this.model.initial[this.#placeOf(trace)] === trace;
    const count = writers?.count ?? 0;
    if (!isInitial && count === Number(step.assigns.includes(trace))) {
      const refused = this.model.refused.find(({ assigns }) => assigns.includes(trace));
      if (refused === undefined) return { what: `what nobody wrote was seen (${shown})`, steps: [step] };
      return { what: `a change that was refused was seen (${shown})`, steps: [refused, step] };
    }
    if (!isInitial && writers !== undefined && writers.firstCallNs > step.returnNs) {
      return { what: `a change was seen before it was made (${shown})`, steps: [writers.first, step] };
    }
    const replacers = this.#replacers.get(trace) ?? [];
    if (replacers.length > count + Number(isInitial) && replacers.includes(step)) {
      const others = replacers.filter((replacer) => replacer !== step).slice(0, 1);
      return { what: `two acknowledged changes were made from one state, so that one of them is lost (${shown})`, steps: [...others, step] };
    }
    const replaced = this.#laterThan(writers?.lastReturnNs ?? -Infinity, step, trace)
      ?? (count + Number(isInitial) === 1 ? replacers.find((replacer) => replacer.returnNs < step.callNs) : undefined);
    if (replaced === undefined) return undefined;
    const isRemoval = replaced.operation.value === null;
    const what = isRemoval ? 'a removed session is back' : 'what was seen is older than the last acknowledged change';
    return { what: `${what} (${shown})`, steps: [replaced, step] };
  }

  /** What replaced it after every write of it had returned, acknowledged before the step was called. */
  #laterThan(writtenNs: number, step: Step, trace: Trace): Step | undefined {
    const { returnsNs, latest } = this.#assignments.get(this.#placeOf(trace)) ?? { returnsNs: [], latest: [] };
    const last = latest[countBefore(returnsNs, step.callNs) - 1];
    return last !== undefined && last.callNs > writtenNs ? last : undefined;
  }

  #replaces({ assigns }: Step, trace: Trace): boolean {
    return assigns.some((next) => next !== trace && this.#placeOf(next) === this.#placeOf(trace));
  }

  #noteWriter(trace: Trace, step: Step): void {
    const known = this.#writers.get(trace);
    if (known === undefined) {
      this.#writers.set(trace, { count: 1, firstCallNs: step.callNs, lastReturnNs: step.returnNs, first: step });
      return;
    }
    known.count += 1;
    known.firstCallNs = Math.min(known.firstCallNs, step.callNs);
    known.lastReturnNs = Math.max(known.lastReturnNs, step.returnNs);
  }

  #noteReplacer(trace: Trace, step: Step): void {
    const known = this.#replacers.get(trace);
    if (known === undefined) this.#replacers.set(trace, [step]);
    else known.push(step);
  }

  #noteAssignment(place: number, step: Step): void {
    let known = this.#assignments.get(place);
    if (known === undefined) this.#assignments.set(place, known = { returnsNs: [], latest: [] });
    const before = known.latest.at(-1);
    known.returnsNs.push(step.returnNs);
    known.latest.push(before !== undefined && before.callNs > step.callNs ? before : step);
  }

  #placeOf(trace: Trace): number { return this.model.placeOf[trace] ?? 0; }
}

/** The first one, by the time of the return of what cannot be. */
export function contradictionIn(model: Model): Contradiction | undefined {
  const contradictions = new Contradictions(model);
  for (const step of contradictions.acknowledged) {
    const found = contradictions.of(step);
    if (found !== undefined) return found;
  }
  return undefined;
}

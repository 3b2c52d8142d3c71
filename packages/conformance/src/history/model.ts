import type { Attributes, HistoryOperation, Scalar, Value } from './operation.js';

/** That one place has one value: the session as a whole, or one attribute. Named by a number. */
export type Trace = number;

/** An operation in terms of traces. */
export interface Step {
  readonly operation: HistoryOperation;
  readonly callNs: number;
  /** Infinity while the result is unknown. */
  readonly returnNs: number;
  readonly isOpen: boolean;
  /** What must be so at the moment when it takes effect. */
  readonly requires: readonly Trace[];
  /** What is so from then on; at most one trace of each place. */
  readonly assigns: readonly Trace[];
  /** The same for steps that require and assign the same. */
  readonly kind: string;
}

/** The operations on one key. */
export interface Model {
  readonly steps: readonly Step[];
  /** Those that certainly did not happen. */
  readonly refused: readonly Step[];
  /** By trace: its place. */
  readonly placeOf: readonly number[];
  /** By place: the trace before the history began. */
  readonly initial: readonly Trace[];
  /** What a trace says, for people. */
  readonly describe: (trace: Trace) => string;
}

const WHOLE = 0;
/** What the whole is called where there are attributes; no scalar's JSON. */
const ATTRIBUTES = 'attributes';

const isAttributes = (value: Value): value is Attributes => typeof value === 'object' && value !== null;
const attributeOf = (value: Attributes, name: string): Scalar => (Object.hasOwn(value, name) ? value[name] ?? null : null);

class Traces {
  readonly placeOf: number[] = [];
  readonly #texts: string[] = [];
  readonly #known = new Map<string, Trace>();

  constructor(private readonly names: readonly string[]) {}

  /** Of a value that is a scalar, or attributes as such. */
  whole(value: Value): Trace { return this.#trace(WHOLE, isAttributes(value) ? ATTRIBUTES : JSON.stringify(value)); }

  /** Of the attributes that are named. */
  named(value: Attributes): Trace[] {
    return this.names.flatMap((name, n) => (Object.hasOwn(value, name) ? [this.#trace(n + 1, JSON.stringify(attributeOf(value, name)))] : []));
  }

  /** Of every place, where this is all that there is. */
  all(value: Value): Trace[] {
    const attributes = isAttributes(value) ? value : {};
    return [this.whole(value), ...this.names.map((name, n) => this.#trace(n + 1, JSON.stringify(attributeOf(attributes, name))))];
  }

  describe(trace: Trace): string {
    const [place, text] = [this.placeOf[trace] ?? WHOLE, this.#texts[trace] ?? ''];
    if (place !== WHOLE) return text === 'null' ? `no ${this.names[place - 1]}` : `${this.names[place - 1]}: ${text}`;
    return text === 'null' ? 'no session' : text === ATTRIBUTES ? 'a session' : text;
  }

  #trace(place: number, text: string): Trace {
    const name = `${place} ${text}`;
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const trace = this.placeOf.push(place) - 1;
    this.#texts[trace] = text;
    this.#known.set(name, trace);
    return trace;
  }
}

function stepOf(traces: Traces, operation: HistoryOperation): Step {
  const { op, value, expect = null, result, call_ns: callNs, return_ns: returnNs } = operation;
  const isOpen = result === 'unknown';
  const seen = op === 'read' ? value : op === 'cas' ? expect : undefined;
  const requires = seen === undefined ? [] : [traces.whole(seen), ...(isAttributes(seen) ? traces.named(seen) : [])];
  let assigns: Trace[] = [];
  if (op !== 'read') {
    const begins = !isAttributes(value) || (op === 'cas' && expect === null);
    assigns = begins ? traces.all(value) : traces.named(value);
    // Attributes cannot be changed where there is no session.
    if (!begins) requires.push(traces.whole(value));
  }
  const kind = `${requires.join()} ${assigns.join()}`;
  return { operation, callNs, returnNs: isOpen ? Infinity : returnNs ?? Infinity, isOpen, requires: [...new Set(requires)], assigns, kind };
}

/**
 * The operations on one key that may have happened, by the time of their calls. Those without an answer are left out if nothing
 * that they would have written was seen: an order with them is also one without them.
 */
export function modelOf(operations: readonly HistoryOperation[], initial: Value): Model {
  const values = [initial, ...operations.flatMap(({ value, expect = null }) => [value, expect])];
  const names = new Set(values.flatMap((value) => (isAttributes(value) ? Object.keys(value) : [])));
  const traces = new Traces([...names]);
  const before = traces.all(initial);
  const happened = operations.filter(({ op, result }) => result === 'ok' || (result === 'unknown' && op !== 'read'));
  const refused = operations.filter(({ op, result }) => op !== 'read' && (result === 'fail' || result === 'refused')).map((operation) => stepOf(traces, operation));
  let steps = happened.map((operation) => stepOf(traces, operation)).sort((a, b) => a.callNs - b.callNs);
  for (let left = Infinity; steps.length < left;) {
    left = steps.length;
    const seen = new Set(steps.flatMap(({ requires }) => requires));
    steps = steps.filter(({ isOpen, assigns }) => !isOpen || assigns.some((trace) => seen.has(trace)));
  }
  return { steps, refused, placeOf: traces.placeOf, initial: before, describe: (trace) => traces.describe(trace) };
}

import type { Attributes, HistoryOperation, Scalar, Value } from '../../src/history/operation.js';
import { Random } from '../../src/processes/random.js';

/** What histories are made of. */
export interface Shape {
  readonly operations: number;
  readonly clients: number;
  /** `register`: plain values; `session`: attributes, made, changed and removed. */
  readonly kind: 'register' | 'session';
  /** How many of the answers get lost; half of those operations happen nevertheless, possibly late. */
  readonly unknown: number;
  /** How many changes are refused. */
  readonly refused: number;
}

interface Planned { readonly client: string; readonly callNs: number; readonly effectNs: number; readonly returnNs: number; readonly fate: 'ok' | 'refused' | 'late' | 'never' }

const NAMES = ['a', 'b', 'c'];
const STEP_NS = 1_000;
const LATE_NS = 20_000;

/** When each operation is called, happens and returns: clients do one after another, each at its own pace. */
function plan(random: Random, { operations, clients, unknown, refused }: Shape): Planned[] {
  const freeNs = Array.from({ length: clients }, () => random.below(STEP_NS));
  const planned: Planned[] = [];
  for (let n = 0; n < operations; n += 1) {
    const client = random.below(clients);
    const callNs = (freeNs[client] ?? 0) + random.below(STEP_NS);
    const isLost = random.chance(unknown);
    const fate = isLost ? random.pick(['late', 'never'] as const) : random.chance(refused) ? 'refused' : 'ok';
    const effectNs = callNs + random.below(fate === 'late' ? LATE_NS : STEP_NS);
    const returnNs = isLost ? Infinity : effectNs + random.below(STEP_NS);
    freeNs[client] = isLost ? callNs + 2 * STEP_NS : returnNs;
    planned.push({ client: `c${client}`, callNs, effectNs, returnNs, fate });
  }
  return planned.sort((a, b) => a.effectNs - b.effectNs);
}

const isAttributes = (value: Value): value is Attributes => typeof value === 'object' && value !== null;

/** Sessions as they are, one step after another. */
class Truth {
  value: Value = null;
  #values = 0;

  constructor(private readonly random: Random, private readonly kind: Shape['kind']) {}

  /** A value that nobody wrote before. */
  fresh(): number { return (this.#values += 1); }

  view(): Value {
    const { value } = this;
    return isAttributes(value) ? Object.fromEntries(NAMES.map((name) => [name, value[name] ?? null])) : value;
  }

  read(): Value {
    const whole = this.view();
    return isAttributes(whole) && this.random.chance(0.5) ? Object.fromEntries(Object.entries(whole).filter(() => this.random.chance(0.5))) : whole;
  }

  change(fate: Planned['fate']): Pick<HistoryOperation, 'op' | 'value' | 'expect'> {
    const { random } = this;
    if (this.kind === 'register') return random.chance(0.5) ? { op: 'write', value: this.fresh() } : { op: 'cas', expect: this.value, value: this.fresh() };
    // A begin is always answered, so that what follows a removal can be told.
    if (this.value === null) return fate === 'ok' ? { op: 'cas', expect: null, value: { a: this.fresh() } } : { op: 'write', value: null };
    if (random.chance(0.03)) return { op: 'write', value: null };
    const name = random.pick(NAMES);
    const value = { [name]: random.chance(0.1) ? null : this.fresh() };
    return random.chance(0.2) ? { op: 'write', value } : { op: 'cas', expect: this.view(), value };
  }

  apply({ value }: Pick<HistoryOperation, 'value'>): void {
    const before = this.value;
    this.value = isAttributes(value) && isAttributes(before) ? { ...before, ...value } : value;
  }
}

/** A history that is linearizable, since it was made one step after another: as the clients would have seen it, in the order of their calls. */
export function linearizableHistory(seed: number, shape: Shape): HistoryOperation[] {
  const random = new Random(seed);
  const truth = new Truth(random, shape.kind);
  const history = plan(random, shape).map(({ client, callNs, returnNs, fate }): HistoryOperation => {
    const times = { client, call_ns: callNs, ...(returnNs < Infinity && { return_ns: returnNs }), key: 's' };
    if (fate === 'ok' && random.chance(0.5)) return { ...times, op: 'read', value: truth.read(), result: 'ok' };
    const change = truth.change(fate);
    if (fate === 'ok' || fate === 'late') truth.apply(change);
    return { ...times, ...change, result: fate === 'ok' ? 'ok' : fate === 'refused' ? random.pick(['refused', 'fail'] as const) : 'unknown' };
  });
  return history.sort((a, b) => a.call_ns - b.call_ns);
}

/** A short history of few values, in which anything may have been seen: about as often linearizable as not. */
export function anyHistory(seed: number, operations: number): HistoryOperation[] {
  const random = new Random(seed);
  const scalars = random.chance(0.3);
  const attributes = (): Attributes => Object.fromEntries(NAMES.slice(0, 2).filter(() => random.chance(0.6)).map((name) => [name, random.pick([1, 2, null])]));
  const any = (): Value => (random.chance(0.15) ? null : scalars ? random.pick([1, 2]) : attributes());
  return Array.from({ length: operations }, (_, n): HistoryOperation => {
    const callNs = random.below(12);
    const times = { client: `c${n}`, call_ns: callNs, return_ns: callNs + random.below(6), key: 's' };
    const result = random.pick(['ok', 'ok', 'ok', 'ok', 'unknown', 'refused'] as const);
    const op = n === 0 ? 'cas' : random.pick(['read', 'write', 'cas'] as const);
    return { ...times, op, value: any(), ...(op === 'cas' && { expect: n === 0 ? null : any() }), result };
  });
}

/** The same with other numbers for values. */
export function withValues(history: readonly HistoryOperation[], other: (value: number) => number): HistoryOperation[] {
  const scalar = (value: Scalar): Scalar => (typeof value === 'number' ? other(value) : value);
  const mapped = (value: Value): Value => (isAttributes(value) ? Object.fromEntries(Object.entries(value).map(([name, each]) => [name, scalar(each)])) : scalar(value));
  return history.map((operation) => ({ ...operation, value: mapped(operation.value), ...(operation.expect !== undefined && { expect: mapped(operation.expect) }) }));
}

/** A short history of few values that is linearizable, but for the answers of two reads, or the times of two operations, which may be mixed up. */
export function nearlyLinearizable(seed: number, operations: number): HistoryOperation[] {
  const random = new Random(seed);
  const kind = random.pick(['register', 'session'] as const);
  const history = withValues(linearizableHistory(seed, { operations, clients: 4, kind, unknown: 0.15, refused: 0.1 }), (value) => value % 3);
  const [one, other] = [random.pick(history), random.pick(history)];
  const mixed = random.chance(0.5) ? (from: HistoryOperation) => ({ value: from.value })
    : ({ call_ns, return_ns, result }: HistoryOperation) => ({ call_ns, ...(return_ns !== undefined && { return_ns }), result });
  return history.map((operation) => (operation === one ? { ...one, ...mixed(other) } : operation === other ? { ...other, ...mixed(one) } : operation));
}

/** A plain value of a register, or `null`: nothing is there. */
export type Scalar = string | number | boolean | null;

/** The attributes of a session by name. As something read or expected: those that were looked at, `null` for one that was not there. */
export type Attributes = Readonly<Record<string, Scalar>>;

export type Value = Scalar | Attributes;

/** One operation of one client on one session, as the client saw it. Times by any one clock, in any unit. */
export interface HistoryOperation {
  readonly client: string | number;
  readonly call_ns: number;
  /** Left out or `null` while the result is unknown. */
  readonly return_ns?: number | null;
  readonly key: string;
  readonly op: 'read' | 'write' | 'cas';
  /** What was read; or what was written: attributes change those named, `null` removes them; `null` alone removes the session. */
  readonly value: Value;
  /** What a `cas` found: its write took effect at a moment when this was so. */
  readonly expect?: Value;
  /** `fail` and `refused`: it certainly did not happen. `unknown`: it may happen at any time after the call, or never. */
  readonly result: 'ok' | 'fail' | 'refused' | 'unknown';
}

const OPS: readonly unknown[] = ['read', 'write', 'cas'];
const RESULTS: readonly unknown[] = ['ok', 'fail', 'refused', 'unknown'];

const isScalar = (value: unknown): boolean =>
  value === null || typeof value === 'string' || typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value));

const isValue = (value: unknown): boolean =>
  isScalar(value) || (typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every(isScalar));

function faultOf(operation: Readonly<Record<string, unknown>>): string | undefined {
  const { client, key, op, value, expect, result, call_ns: callNs, return_ns: returnNs } = operation;
  if (typeof client !== 'string' && typeof client !== 'number') return 'client is neither text nor a number';
  if (typeof key !== 'string') return 'key is not text';
  if (!OPS.includes(op)) return `op is not one of ${OPS.join(', ')}`;
  if (!RESULTS.includes(result)) return `result is not one of ${RESULTS.join(', ')}`;
  if (typeof callNs !== 'number' || !Number.isFinite(callNs)) return 'call_ns is not a number';
  const returned = typeof returnNs === 'number' && returnNs >= callNs;
  if (result !== 'unknown' && !returned) return 'return_ns is not a number from call_ns up';
  // What an unanswered read would have shown is not known either.
  if (!(op === 'read' && result !== 'ok') && !isValue(value)) return 'value is neither null, text, a number, a boolean nor an object of those';
  if (op === 'cas' && !isValue(expect)) return 'expect is neither null, text, a number, a boolean nor an object of those';
  return undefined;
}

/**
 * A history from objects or from JSON lines.
 * @throws TypeError naming the operation, counted from 1, that is not one
 */
export function readHistory(history: Iterable<HistoryOperation> | string): HistoryOperation[] {
  const given: Iterable<unknown> = typeof history === 'string'
    ? history.split('\n').filter((line) => line.trim() !== '').map((line, index) => parsed(line, index)) : history;
  return [...given].map((operation, index) => {
    const fault = typeof operation === 'object' && operation !== null ? faultOf(operation as Record<string, unknown>) : 'it is not an object';
    if (fault !== undefined) throw new TypeError(`operation ${index + 1} of the history: ${fault}`);
    return operation as HistoryOperation; // each field was just checked
  });
}

/**
 * A history as JSON lines, one for each operation, with all its fields in one order; `return_ns` and `expect` are `null` where there
 * is none. What `checkHistory` takes, and a referee of another kind can read.
 * @throws TypeError naming the operation, counted from 1, that is not one
 */
export function historyLines(history: Iterable<HistoryOperation>): string {
  const line = ({ client, call_ns, return_ns = null, key, op, value, expect = null, result }: HistoryOperation) =>
    `${JSON.stringify({ client, call_ns, return_ns: result === 'unknown' ? null : return_ns, key, op, value, expect, result })}\n`;
  return readHistory(history).map(line).join('');
}

function parsed(line: string, index: number): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch (cause) {
    throw new TypeError(`operation ${index + 1} of the history: it is not JSON`, { cause });
  }
}

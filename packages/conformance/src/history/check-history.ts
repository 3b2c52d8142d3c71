import { contentOf } from './content.js';
import { readHistory, type HistoryOperation, type Value } from './operation.js';
import { search } from './search.js';

export interface HistoryViolation {
  readonly key: string;
  /** What is wrong, for people. */
  readonly message: string;
  /** The last operations that could be put in order, oldest first, and at the end the one that fits nowhere. */
  readonly operations: readonly HistoryOperation[];
}

export interface HistoryVerdict {
  /** How many operations were looked at; a history without any proves nothing. */
  readonly operations: number;
  readonly keys: number;
  /** Empty: every key is linearizable. */
  readonly violations: readonly HistoryViolation[];
}

export interface CheckOptions {
  /** What each key had before the history began; default `null`: nothing. */
  readonly initial?: Value;
  /** After how many steps per key the search is given up, which counts as a violation; default 5,000,000. */
  readonly maxSteps?: number;
}

const SHOWN = 6;

/** What the write of an operation leaves behind that others can see. */
function tracesOf({ value }: HistoryOperation): readonly string[] {
  if (typeof value !== 'object' || value === null) return [`=${String(value)}`];
  return Object.entries(value).map(([name, scalar]) => (scalar === null ? `${name} removed` : `${name}=${String(scalar)}`));
}

/**
 * Leaves out unanswered writes that nobody saw, which may be taken never to have happened: an order with them is one without
 * them. Else each would double the search. One that begins or removes something is kept: its trace is not its own.
 */
function withoutUnseen(operations: readonly HistoryOperation[]): HistoryOperation[] {
  const seen = new Set<string>();
  for (const { op, value, expect, result } of operations) {
    if (result !== 'ok' && op === 'read') continue;
    const shown = op === 'read' ? value : expect;
    if (shown === undefined) continue;
    if (typeof shown !== 'object' || shown === null) seen.add(`=${String(shown)}`);
    else for (const [name, scalar] of Object.entries(shown)) seen.add(scalar === null ? `${name} removed` : `${name}=${String(scalar)}`);
  }
  return operations.filter((operation) => {
    if (operation.result === 'ok') return true;
    const begins = operation.op === 'cas' && operation.expect === null;
    return operation.op !== 'read' && (operation.value === null || begins || tracesOf(operation).some((trace) => trace.endsWith(' removed') || seen.has(trace)));
  });
}

const shown = (value: Value | undefined): string => (value === undefined ? 'nothing' : JSON.stringify(value));

export const describeOperation = ({ client, op, value, expect, result, call_ns: callNs, return_ns: returnNs }: HistoryOperation): string =>
  `client ${client}, ${callNs} to ${result === 'unknown' ? 'unknown' : returnNs ?? 'unknown'}: ${op} ${op === 'cas' ? `${shown(expect)} -> ` : ''}${shown(value)}`;

function violationOf(key: string, operations: readonly HistoryOperation[], { initial = null, maxSteps = 5_000_000 }: CheckOptions): HistoryViolation | undefined {
  const result = search(withoutUnseen(operations), contentOf(initial), maxSteps);
  if (result.kind === 'found') return undefined;
  if (result.kind === 'undecided') {
    return { key, message: `${key}: no order of its ${operations.length} operations was found within ${maxSteps} steps; record fewer unknown results`, operations };
  }
  const { order, stuck } = result;
  return {
    key, operations: [...order.slice(-SHOWN), stuck],
    message: `${key}: no order of its operations explains what was seen. After ${order.length} of ${operations.length} nothing fits before the return of`
      + `\n  ${describeOperation(stuck)}\nThe last that fit:${order.slice(-SHOWN).map((operation) => `\n  ${describeOperation(operation)}`).join('')}`,
  };
}

/**
 * Checks that a history is linearizable, key by key: each operation that returned took effect at one moment between its call
 * and its return, and nothing else did. So no acknowledged change is lost, no read is older than the last acknowledged write,
 * and what was removed does not come back. Operations of unknown result stay open to the end.
 * @param history objects, or JSON lines
 * @throws TypeError naming what is no operation
 */
export function checkHistory(history: Iterable<HistoryOperation> | string, options: CheckOptions = {}): HistoryVerdict {
  const operations = readHistory(history);
  const byKey = new Map<string, HistoryOperation[]>();
  for (const operation of operations) {
    if (operation.result !== 'ok' && operation.result !== 'unknown') continue;
    const known = byKey.get(operation.key);
    if (known === undefined) byKey.set(operation.key, [operation]);
    else known.push(operation);
  }
  const violations = [...byKey].map(([key, ofKey]) => violationOf(key, ofKey, options)).filter((violation) => violation !== undefined);
  return { operations: operations.length, keys: byKey.size, violations };
}

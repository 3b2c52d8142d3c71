import { contradictionIn } from './contradiction.js';
import { modelOf, type Step } from './model.js';
import { readHistory, type HistoryOperation, type Value } from './operation.js';
import { search } from './search.js';

export interface HistoryViolation {
  readonly key: string;
  /** What is wrong, for people. */
  readonly message: string;
  /** Those that show it, or the last that could be put in order; at the end the one that fits nowhere. None if the search was given up. */
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
  /** After how many steps per key the search is given up, which counts as a violation; default 1,000,000. */
  readonly maxSteps?: number;
}

const MAX_STEPS = 1_000_000;

const shown = (value: Value | undefined): string => (value === undefined ? 'nothing' : JSON.stringify(value));

export function describeOperation({ client, op, value, expect, result, call_ns: callNs, return_ns: returnNs }: HistoryOperation): string {
  const written = `${op} ${op === 'cas' ? `${shown(expect)} -> ` : ''}${shown(value)}`;
  return `client ${client}, ${callNs} to ${result === 'unknown' ? 'unknown' : returnNs ?? 'unknown'}: ${written}${result === 'ok' || result === 'unknown' ? '' : ` (${result})`}`;
}

const operationsOf = (steps: readonly Step[]): HistoryOperation[] => steps.map(({ operation }) => operation);
const lines = (steps: readonly Step[]): string => operationsOf(steps).map((operation) => `\n  ${describeOperation(operation)}`).join('');

function violationOf(key: string, operations: readonly HistoryOperation[], { initial = null, maxSteps = MAX_STEPS }: CheckOptions): HistoryViolation | undefined {
  const model = modelOf(operations, initial);
  const contradiction = contradictionIn(model);
  if (contradiction !== undefined) {
    const { what, steps } = contradiction;
    return { key, operations: operationsOf(steps), message: `${key}: ${what}:${lines(steps)}` };
  }
  const found = search(model, maxSteps);
  if (found.kind === 'found') return undefined;
  if (found.kind === 'undecided') {
    return { key, operations: [], message: `${key}: given up: no order of its ${model.steps.length} operations was found within ${maxSteps} steps, `
      + 'nor that there is none. Give each write a value of its own, record all that was seen, and fewer unknown results' };
  }
  const { placed, last, stuck, next } = found;
  return {
    key, operations: operationsOf([...last, stuck]),
    message: `${key}: no order of its operations explains what was seen. After ${placed} of ${model.steps.length} nothing fits before the return of${lines([stuck])}`
      + `\nThe last that fit:${lines(last)}${next.length === 0 ? '' : `\nWhat comes next:${lines(next)}`}`,
  };
}

/**
 * Checks that a history is linearizable, key by key: each operation that returned took effect at one moment between its call
 * and its return, and nothing else did. So no acknowledged change is lost, no read is older than the last acknowledged write,
 * what was removed does not come back, and no two changes are accepted that were made of one state. Operations of unknown result
 * stay open to the end. What can neither be explained nor refuted within `maxSteps` counts as a violation.
 * @param history objects, or JSON lines
 * @throws TypeError naming what is no operation
 */
export function checkHistory(history: Iterable<HistoryOperation> | string, options: CheckOptions = {}): HistoryVerdict {
  const operations = readHistory(history);
  const byKey = new Map<string, HistoryOperation[]>();
  for (const operation of operations) {
    const known = byKey.get(operation.key);
    if (known === undefined) byKey.set(operation.key, [operation]);
    else known.push(operation);
  }
  const violations = [...byKey].map(([key, ofKey]) => violationOf(key, ofKey, options)).filter((violation) => violation !== undefined);
  return { operations: operations.length, keys: byKey.size, violations };
}

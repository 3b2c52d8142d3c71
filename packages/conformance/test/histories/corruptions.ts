import type { Attributes, HistoryOperation } from '../../src/history/operation.js';
import type { Random } from '../../src/processes/random.js';

/** A way to spoil a history whose values are all different; undefined: this one has nothing to spoil like that. */
export interface Corruption {
  readonly named: string;
  /** What the checker must say. */
  readonly found: RegExp;
  readonly spoil: (history: readonly HistoryOperation[], random: Random) => HistoryOperation[] | undefined;
}

type Made = HistoryOperation & { readonly value: Attributes; readonly expect: Attributes; readonly return_ns: number };

const isAttributes = (value: unknown): value is Attributes => typeof value === 'object' && value !== null;
/** An acknowledged change of a session that was there. */
const isMade = (operation: HistoryOperation): operation is Made =>
  operation.op === 'cas' && operation.result === 'ok' && isAttributes(operation.value) && isAttributes(operation.expect);

/** The attribute that a change replaces, which had a value. */
const replacedBy = ({ value, expect }: Made): [string, number][] =>
  Object.keys(value).flatMap((name) => { const old = expect[name]; return typeof old === 'number' ? [[name, old] as [string, number]] : []; });
const isReplacing = (operation: HistoryOperation): operation is Made => isMade(operation) && replacedBy(operation).length > 0;

function chosen<T extends HistoryOperation>(history: readonly HistoryOperation[], random: Random, fits: (operation: HistoryOperation) => operation is T): T | undefined {
  const fitting = history.filter(fits);
  return fitting.length === 0 ? undefined : random.pick(fitting);
}

const reading = (callNs: number, value: HistoryOperation['value']): HistoryOperation =>
  ({ client: 'reader', call_ns: callNs, return_ns: callNs + 1, key: 's', op: 'read', value, result: 'ok' });

/** Who first read or expected the value. */
const seerOf = (history: readonly HistoryOperation[], name: string, wanted: number) => history.find(({ op, value, expect, result }) => {
  const seen = op === 'read' ? value : expect;
  return result === 'ok' && isAttributes(seen) && seen[name] === wanted;
});

/** An acknowledged change of which one value was seen. */
const isSeenIn = (history: readonly HistoryOperation[]) => (operation: HistoryOperation): operation is Made =>
  isMade(operation) && Object.entries(operation.value).some(([name, value]) => typeof value === 'number' && seerOf(history, name, value) !== undefined);

export const corruptions: readonly Corruption[] = [
  {
    named: 'a read after an acknowledged change shows what was before it', found: /: what was seen is older than the last acknowledged change/,
    spoil(history, random) {
      const made = chosen(history, random, isReplacing);
      return made && [...history, reading(made.return_ns + 1, Object.fromEntries(replacedBy(made)))];
    },
  },
  {
    named: 'a second change is accepted that was made from the same state', found: /: two acknowledged changes were made from one state/,
    spoil(history, random) {
      const made = chosen(history, random, isReplacing);
      return made && [...history, { ...made, client: 'other', value: Object.fromEntries(Object.keys(made.value).map((name) => [name, -1])) }];
    },
  },
  {
    named: 'a change that was seen is said to have been refused', found: /: a change that was refused was seen/,
    spoil(history, random) {
      const made = chosen(history, random, isSeenIn(history));
      return made && history.map((operation) => (operation === made ? { ...made, result: 'refused' } : operation));
    },
  },
  {
    named: 'a change that was seen was never asked for', found: /: what nobody wrote was seen/,
    spoil(history, random) {
      const made = chosen(history, random, isSeenIn(history));
      return made && history.filter((operation) => operation !== made);
    },
  },
  {
    named: 'a change is seen before it is asked for', found: /: a change was seen before it was made/,
    spoil(history, random) {
      const made = chosen(history, random, isReplacing);
      const seen = made && Object.fromEntries(Object.entries(made.value).filter(([, value]) => value !== null));
      return seen && Object.keys(seen).length > 0 ? [...history, reading(made.call_ns - 2, seen)] : undefined;
    },
  },
  {
    named: 'what a removal ended shows again', found: /: (a removed session is back|what was seen is older than the last acknowledged change)/,
    spoil(history, random) {
      const removal = chosen(history, random, (operation): operation is HistoryOperation & { return_ns: number } =>
        operation.op === 'write' && operation.value === null && operation.result === 'ok');
      const before = removal && history.findLast((operation): operation is Made => isReplacing(operation) && operation.return_ns < removal.call_ns);
      return before && [...history, reading(removal.return_ns + 1, Object.fromEntries(replacedBy(before)))];
    },
  },
  {
    named: 'an unanswered change is seen, gone, and seen again', found: /: no order of its operations explains what was seen/,
    spoil(history, random) {
      const made = chosen(history, random, isReplacing);
      if (made === undefined) return undefined;
      // Removed and seen in a session that begins anew at the end.
      const endNs = Math.max(...history.map(({ call_ns: callNs, return_ns: returnNs }) => returnNs ?? callNs)) + 1;
      const at = (offsetNs: number, operation: Pick<HistoryOperation, 'op' | 'value' | 'expect'>): HistoryOperation =>
        ({ client: 'last', call_ns: endNs + offsetNs, return_ns: endNs + offsetNs + 1, key: 's', result: 'ok', ...operation });
      return [
        ...history, at(0, { op: 'write', value: null }), at(2, { op: 'cas', expect: null, value: { a: -1 } }),
        { client: 'lost', call_ns: endNs, key: 's', op: 'write', value: { a: -2 }, result: 'unknown' },
        at(4, { op: 'read', value: { a: -2 } }), at(6, { op: 'write', value: { a: -3 } }), at(8, { op: 'read', value: { a: -2 } }),
      ];
    },
  },
];

import { describe, expect, it } from '@jest/globals';
import { checkHistory, historyLines } from '../src/index.js';
import { describeOperation } from '../src/history/check-history.js';
import type { HistoryOperation, Value } from '../src/history/operation.js';
import { linearizableHistory, withValues } from './histories/generate.js';

type Result = HistoryOperation['result'];

const operation = (client: string, callNs: number, returnNs: number | undefined, op: HistoryOperation['op'], value: Value, expected?: Value, result?: Result): HistoryOperation => ({
  client, call_ns: callNs, ...(returnNs === undefined ? {} : { return_ns: returnNs }), key: 's', op, value,
  ...(expected === undefined ? {} : { expect: expected }), result: result ?? (returnNs === undefined ? 'unknown' : 'ok'),
});
const read = (client: string, callNs: number, returnNs: number, value: Value) => operation(client, callNs, returnNs, 'read', value);
const write = (client: string, callNs: number, returnNs: number | undefined, value: Value) => operation(client, callNs, returnNs, 'write', value);
const cas = (client: string, callNs: number, returnNs: number | undefined, expected: Value, value: Value, result?: Result) =>
  operation(client, callNs, returnNs, 'cas', value, expected, result);

const good: Readonly<Record<string, HistoryOperation[]>> = {
  'reads what was written': [write('a', 0, 1, 1), read('b', 2, 3, 1)],
  'a read beside a write, before it': [write('a', 0, 1, 1), write('a', 2, 5, 2), read('b', 3, 4, 1), read('b', 6, 7, 2)],
  'a read beside a write, after it': [write('a', 0, 1, 1), write('a', 2, 5, 2), read('b', 3, 4, 2)],
  'writes at once, seen in the order of neither call': [write('a', 0, 9, 1), write('b', 1, 9, 2), read('c', 3, 4, 2), read('c', 5, 6, 1)],
  'an unanswered write that took effect late': [write('a', 0, 1, 1), write('a', 2, undefined, 2), read('b', 3, 4, 1), read('b', 50, 51, 2)],
  'an unanswered write that never took effect': [write('a', 0, 1, 1), write('a', 2, undefined, 2), read('b', 50, 51, 1)],
  'refused changes': [write('a', 0, 1, 1), cas('b', 2, 3, 1, 2, 'refused'), cas('b', 4, 5, 7, 3, 'fail'), read('b', 6, 7, 1)],
  'increments one after another': [cas('a', 0, 4, null, 1), cas('b', 1, 9, 1, 2), cas('c', 2, 9, 2, 3), read('a', 10, 11, 3)],
  'a session that is made, changed in parts and removed': [
    cas('a', 0, 1, null, { n: 1 }), cas('a', 2, 3, { n: 1 }, { n: 2, m: 1 }), write('b', 4, 5, { m: null }), read('a', 6, 7, { n: 2, m: null }),
    write('b', 8, 9, null), read('a', 10, 11, null),
  ],
  'the end of one beside the begin of another, at the same moment': [write('a', 0, 5, 1), read('b', 5, 6, 1)],
  'a write that both clients see before it is acknowledged': [write('a', 0, 100, 1), read('b', 1, 2, 1), read('c', 3, 4, 1)],
  'a removal of unknown result': [cas('a', 0, 1, null, { n: 1 }), write('b', 2, undefined, null), read('a', 3, 4, { n: 1 }), read('a', 5, 6, null)],
};

const OLDER = 'what was seen is older than the last acknowledged change';
const BACK = 'a removed session is back';
const TWICE = 'two acknowledged changes were made from one state, so that one of them is lost';
const NO_ORDER = 'no order of its operations explains what was seen';

const bad: Readonly<Record<string, readonly [what: string, HistoryOperation[]]>> = {
  'an acknowledged write is lost': [OLDER, [write('a', 0, 1, 1), write('a', 2, 3, 2), read('b', 4, 5, 1)]],
  'one client sees a write and another, later, does not': [NO_ORDER, [write('a', 0, 1, 1), write('a', 2, 100, 2), read('b', 3, 4, 2), read('c', 5, 6, 1)]],
  'two increments of one value': [TWICE, [write('x', 0, 1, 0), cas('a', 2, 9, 0, 1), cas('b', 3, 9, 0, 2)]],
  'a lost update, as in read, read, write, write': [TWICE, [
    cas('x', 0, 1, null, { cart: 0 }), cas('a', 2, 5, { cart: 0 }, { cart: 1 }), cas('b', 3, 6, { cart: 0 }, { cart: 2 }), read('x', 7, 8, { cart: 2 }),
  ]],
  'a change is made from a state that somebody replaced': [OLDER, [write('x', 0, 1, 0), write('a', 2, 3, 1), cas('b', 4, 5, 0, 2)]],
  'a refused change is seen': ['a change that was refused was seen', [write('a', 0, 1, 1), cas('b', 2, 3, 1, 2, 'refused'), read('c', 4, 5, 2)]],
  'a value that nobody wrote': ['what nobody wrote was seen', [write('a', 0, 1, 1), read('b', 2, 3, 5)]],
  'a change of what only it wrote itself': ['what nobody wrote was seen', [cas('a', 0, 1, 3, 3)]],
  'a removed session comes back': [BACK, [cas('a', 0, 1, null, { n: 1 }), write('b', 2, 3, null), read('a', 4, 5, { n: 1 })]],
  'a removed session is written to': [BACK, [cas('a', 0, 1, null, { n: 1 }), write('b', 2, 3, null), write('a', 4, 5, { n: 2 })]],
  'an unanswered write is seen before its call': ['a change was seen before it was made', [write('a', 0, 1, 1), read('b', 2, 3, 2), write('a', 4, undefined, 2)]],
  'an unanswered write is seen, gone and back': [NO_ORDER, [
    write('a', 0, 1, 1), write('b', 2, undefined, 2), read('c', 3, 4, 2), write('c', 5, 6, 3), read('c', 7, 8, 2),
  ]],
  'two attributes of two timelines': [OLDER, [
    cas('a', 0, 1, null, { x: 1, y: 1 }), cas('a', 2, 3, { x: 1, y: 1 }, { x: 2 }), cas('a', 4, 5, { x: 2, y: 1 }, { y: 2 }), read('b', 6, 7, { x: 1, y: 2 }),
  ]],
  'two clients see two writes in two orders': [NO_ORDER, [
    write('a', 0, 100, 1), write('b', 0, 100, 2), read('c', 1, 2, 1), read('c', 3, 4, 2), read('d', 5, 6, 1), read('d', 7, 8, 2),
  ]],
};

describe('a good history', () => {
  it.each(Object.entries(good))('%s', (_, history) => { expect(checkHistory(history).violations).toEqual([]); });

  it('of many clients at once', () => {
    // Every client's write overlaps those of all the others of its round.
    const rounds = Array.from({ length: 60 }, (_, round) => Array.from({ length: 6 }, (__, client) => write(`c${client}`, round * 10, round * 10 + 5, round * 10 + client)));
    const reads = rounds.map((_, round) => read('r', round * 10 + 6, round * 10 + 7, round * 10 + (round % 6)));
    expect(checkHistory([...rounds.flat(), ...reads]).violations).toEqual([]);
  });

  it('of many unanswered writes', () => {
    const open = Array.from({ length: 40 }, (_, n) => write(`c${n}`, n, undefined, { a: n + 100 }));
    expect(checkHistory([cas('x', 0, 1, null, { a: 1 }), ...open, read('r', 90, 91, { a: 107 }), read('r', 92, 93, { a: 112 })]).violations).toEqual([]);
  });
});

describe('a bad history', () => {
  it.each(Object.entries(bad))('%s', (_, [what, history]) => {
    const { violations } = checkHistory(history);
    expect(violations.map(({ key }) => key)).toEqual(['s']);
    expect(violations[0]!.message).toMatch(new RegExp(`^s: ${what}`));
  });

  it.each(Object.entries(bad))('after three thousand good operations: %s', (_, [, history]) => {
    const before = linearizableHistory(7, { operations: 3_000, clients: 20, kind: 'session', unknown: 0.02, refused: 0.05 });
    const beginNs = Math.max(...before.map(({ call_ns: callNs, return_ns: returnNs }) => returnNs ?? callNs)) + 1;
    const later = history.map((operation) => ({
      ...operation, call_ns: beginNs + operation.call_ns, ...(operation.return_ns != null && { return_ns: beginNs + operation.return_ns }),
    }));
    const verdict = checkHistory([...before, write('z', beginNs - 1, beginNs - 1, null), ...withValues(later, (value) => -value)]);
    expect(verdict.violations).toHaveLength(1);
    expect(verdict.violations[0]!.message).not.toContain('given up');
  });

  it('shows the operations that cannot both be', () => {
    const [, lost] = bad['an acknowledged write is lost']!;
    const [violation] = checkHistory(lost).violations;
    expect(violation!.operations).toEqual(lost.slice(1));
    expect(violation!.message).toBe(`s: ${OLDER} (1):\n  ${describeOperation(lost[1]!)}\n  ${describeOperation(lost[2]!)}`);
    expect(checkHistory(bad['a refused change is seen']![1]).violations[0]!.message).toContain('client b, 2 to 3: cas 1 -> 2 (refused)');
  });

  it('shows what was put in order, and what fits nowhere', () => {
    const [, history] = bad['one client sees a write and another, later, does not']!;
    const [violation] = checkHistory(history).violations;
    const [first, , seen, older] = history.map((operation) => `\n  ${describeOperation(operation)}`);
    expect(violation!.operations).toEqual([history[0], history[2]]);
    expect(violation!.message).toBe(`s: ${NO_ORDER}. After 1 of 4 nothing fits before the return of${seen}\nThe last that fit:${first}\nWhat comes next:${history[1] && `\n  ${describeOperation(history[1])}`}${older}`);
  });

  it('is found among good ones, by key', () => {
    const others = good['reads what was written']!.map((each) => ({ ...each, key: 'other' }));
    const verdict = checkHistory([...bad['two increments of one value']![1], ...others]);
    expect(verdict).toMatchObject({ operations: 5, keys: 2, violations: [{ key: 's' }] });
  });

  it('is one on which the search gives up', () => {
    const history = good['writes at once, seen in the order of neither call']!;
    expect(checkHistory(history, { maxSteps: 2 }).violations).toEqual([{ key: 's', operations: [], message: expect.stringContaining('s: given up: no order of its 4 operations was found within 2 steps') }]);
  });
});

describe('a history', () => {
  it('begins with nothing, or with what is given', () => {
    expect(checkHistory([read('a', 0, 1, null)]).violations).toEqual([]);
    expect(checkHistory([read('a', 0, 1, { n: 3 })], { initial: { n: 3, m: 1 } }).violations).toEqual([]);
    expect(checkHistory([read('a', 0, 1, { n: 3 })]).violations).toHaveLength(1);
  });

  it('can be JSON lines', () => {
    const lines = bad['two increments of one value']![1].map((each) => JSON.stringify(each)).join('\n');
    expect(checkHistory(`${lines}\n`)).toMatchObject({ operations: 3, violations: [{ key: 's' }] });
  });

  it('is written as JSON lines that say the same', () => {
    const text = historyLines([cas('a', 0, 1, null, { n: 1 }), write('b', 2, undefined, null), read('c', 3, 4, { n: 1 })]);
    expect(text).toBe(`{"client":"a","call_ns":0,"return_ns":1,"key":"s","op":"cas","value":{"n":1},"expect":null,"result":"ok"}
{"client":"b","call_ns":2,"return_ns":null,"key":"s","op":"write","value":null,"expect":null,"result":"unknown"}
{"client":"c","call_ns":3,"return_ns":4,"key":"s","op":"read","value":{"n":1},"expect":null,"result":"ok"}
`);
    for (const history of [...Object.values(good), ...Object.values(bad).map(([, each]) => each)]) {
      expect(checkHistory(historyLines(history))).toEqual({ ...checkHistory(history), violations: checkHistory(history).violations.map((each) => expect.objectContaining({ message: each.message })) });
    }
    expect(() => historyLines([{ ...read('a', 0, 1, 1), call_ns: NaN }])).toThrow('operation 1 of the history: call_ns is not a number');
  });

  it.each<[string, unknown]>([
    ['it is not JSON', 'x'], ['op is not one of', { ...read('a', 0, 1, 1), op: 'delete' }], ['result is not one of', { ...read('a', 0, 1, 1), result: 'maybe' }],
    ['return_ns', { ...read('a', 3, 1, 1) }], ['expect is', { ...write('a', 0, 1, 1), op: 'cas' }], ['value is', { ...write('a', 0, 1, 1), value: [1] }],
    ['client is', { ...read('a', 0, 1, 1), client: null }], ['key is', { ...write('a', 0, 1, 1), key: 7 }], ['call_ns', { ...write('a', 0, 1, 1), call_ns: '0' }], ['not an object', 7],
  ])('is refused where %s', (fault, line) => {
    expect(() => checkHistory(typeof line === 'string' ? line : JSON.stringify(line))).toThrow(fault);
  });
});

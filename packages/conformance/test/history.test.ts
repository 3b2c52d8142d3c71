import { describe, expect, it } from '@jest/globals';
import { checkHistory } from '../src/index.js';
import { describeOperation } from '../src/history/check-history.js';
import type { HistoryOperation, Value } from '../src/history/operation.js';

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

const bad: Readonly<Record<string, HistoryOperation[]>> = {
  'an acknowledged write is lost': [write('a', 0, 1, 1), write('a', 2, 3, 2), read('b', 4, 5, 1)],
  'one client sees a write and another, later, does not': [write('a', 0, 1, 1), write('a', 2, 100, 2), read('b', 3, 4, 2), read('c', 5, 6, 1)],
  'two increments of one value': [write('x', 0, 1, 0), cas('a', 2, 9, 0, 1), cas('b', 3, 9, 0, 2)],
  'a lost update, as in read, read, write, write': [
    cas('x', 0, 1, null, { cart: 0 }), cas('a', 2, 5, { cart: 0 }, { cart: 1 }), cas('b', 3, 6, { cart: 0 }, { cart: 2 }), read('x', 7, 8, { cart: 2 }),
  ],
  'a refused change is seen': [write('a', 0, 1, 1), cas('b', 2, 3, 1, 2, 'refused'), read('c', 4, 5, 2)],
  'a value that nobody wrote': [write('a', 0, 1, 1), read('b', 2, 3, 5)],
  'a removed session comes back': [cas('a', 0, 1, null, { n: 1 }), write('b', 2, 3, null), read('a', 4, 5, { n: 1 })],
  'a removed session is written to': [cas('a', 0, 1, null, { n: 1 }), write('b', 2, 3, null), write('a', 4, 5, { n: 2 })],
  'an unanswered write is seen before its call': [write('a', 0, 1, 1), read('b', 2, 3, 2), write('a', 4, undefined, 2)],
  'an unanswered write is seen, gone and back': [
    write('a', 0, 1, 1), write('b', 2, undefined, 2), read('c', 3, 4, 2), write('c', 5, 6, 3), read('c', 7, 8, 2),
  ],
  'two attributes of two timelines': [
    cas('a', 0, 1, null, { x: 1, y: 1 }), cas('a', 2, 3, { x: 1, y: 1 }, { x: 2 }), cas('a', 4, 5, { x: 2, y: 1 }, { y: 2 }), read('b', 6, 7, { x: 1, y: 2 }),
  ],
  'two clients see two writes in two orders': [
    write('a', 0, 100, 1), write('b', 0, 100, 2), read('c', 1, 2, 1), read('c', 3, 4, 2), read('d', 5, 6, 1), read('d', 7, 8, 2),
  ],
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
  it.each(Object.entries(bad))('%s', (_, history) => {
    const { violations } = checkHistory(history);
    expect(violations.map(({ key }) => key)).toEqual(['s']);
    expect(violations[0]!.message).toContain('nothing fits before the return of');
  });

  it('names the operation that fits nowhere', () => {
    const stale = read('b', 4, 5, 1);
    const [violation] = checkHistory(bad['an acknowledged write is lost']!).violations;
    expect(violation!.operations.at(-1)).toEqual(stale);
    expect(violation!.message).toContain(describeOperation(stale));
  });

  it('is found among good ones, by key', () => {
    const others = good['reads what was written']!.map((each) => ({ ...each, key: 'other' }));
    const verdict = checkHistory([...bad['two increments of one value']!, ...others]);
    expect(verdict).toMatchObject({ operations: 5, keys: 2, violations: [{ key: 's' }] });
  });

  it('is one that the search gives up', () => {
    expect(checkHistory(good['writes at once, seen in the order of neither call']!, { maxSteps: 2 }).violations[0]!.message).toContain('within 2 steps');
  });
});

describe('a history', () => {
  it('begins with nothing, or with what is given', () => {
    expect(checkHistory([read('a', 0, 1, null)]).violations).toEqual([]);
    expect(checkHistory([read('a', 0, 1, { n: 3 })], { initial: { n: 3, m: 1 } }).violations).toEqual([]);
    expect(checkHistory([read('a', 0, 1, { n: 3 })]).violations).toHaveLength(1);
  });

  it('can be JSON lines', () => {
    const lines = bad['two increments of one value']!.map((each) => JSON.stringify(each)).join('\n');
    expect(checkHistory(`${lines}\n`)).toMatchObject({ operations: 3, violations: [{ key: 's' }] });
  });

  it.each<[string, unknown]>([
    ['it is not JSON', 'x'], ['op is not one of', { ...read('a', 0, 1, 1), op: 'delete' }], ['result is not one of', { ...read('a', 0, 1, 1), result: 'maybe' }],
    ['return_ns', { ...read('a', 3, 1, 1) }], ['expect is', { ...write('a', 0, 1, 1), op: 'cas' }], ['value is', { ...write('a', 0, 1, 1), value: [1] }],
    ['key is', { ...write('a', 0, 1, 1), key: 7 }], ['call_ns', { ...write('a', 0, 1, 1), call_ns: '0' }], ['not an object', 7],
  ])('is refused where %s', (fault, line) => {
    expect(() => checkHistory(typeof line === 'string' ? line : JSON.stringify(line))).toThrow(fault);
  });
});

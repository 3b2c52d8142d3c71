import { describe, expect, it } from '@jest/globals';
import { modelOf } from '../src/history/model.js';
import { search } from '../src/history/search.js';
import { checkHistory, type HistoryOperation } from '../src/index.js';
import { isLinearizableByForce } from './histories/brute-force.js';
import { corruptions } from './histories/corruptions.js';
import { anyHistory, linearizableHistory, nearlyLinearizable, type Shape } from './histories/generate.js';
import { Random } from '../src/processes/random.js';

const shape: Shape = { operations: 300, clients: 8, kind: 'session', unknown: 0.03, refused: 0.1 };

describe('short histories', () => {
  it.each([['of any kind', anyHistory], ['that are nearly linearizable', nearlyLinearizable]])('%s: the verdict is that of a checker that tries every order', (_, make) => {
    const verdicts = { good: 0, bad: 0 };
    for (let seed = 1; seed <= 4_000; seed += 1) {
      const history = make(seed, 3 + (seed % 6));
      const isGood = isLinearizableByForce(history);
      verdicts[isGood ? 'good' : 'bad'] += 1;
      const checked = checkHistory(history).violations.length === 0;
      // Once more without what is found before the search.
      const searched = search(modelOf(history, null), Infinity).kind === 'found';
      if (checked !== isGood || searched !== isGood) expect({ seed, checked, searched }).toEqual({ seed, checked: isGood, searched: isGood });
    }
    expect(Math.min(verdicts.good, verdicts.bad)).toBeGreaterThan(500);
  });
});

describe('random histories that were made one step after another', () => {
  it.each<[string, Partial<Shape>]>([
    ['plain values', { kind: 'register' }], ['sessions', {}], ['many unknown results', { unknown: 0.3 }], ['two clients', { clients: 2 }], ['forty clients', { clients: 40 }],
  ])('pass: %s', (_, some) => {
    for (let seed = 1; seed <= 30; seed += 1) expect({ seed, violations: checkHistory(linearizableHistory(seed, { ...shape, ...some })).violations }).toEqual({ seed, violations: [] });
  });

  it.each(['register', 'session'] as const)('of 10,000 operations by 20 clients pass in hardly more steps than operations: %s', (kind) => {
    const history = linearizableHistory(11, { operations: 10_000, clients: 20, kind, unknown: 0.02, refused: 0.05 });
    expect(checkHistory(history, { maxSteps: 20_000 })).toEqual({ operations: 10_000, keys: 1, violations: [] });
  });
});

describe('a random history that is spoilt', () => {
  it.each(corruptions.map((corruption) => [corruption.named, corruption] as const))('is found: %s', (_, { found, spoil }) => {
    let spoilt = 0;
    for (let seed = 1; seed <= 40; seed += 1) {
      const history = spoil(linearizableHistory(seed, shape), new Random(seed));
      if (history === undefined) continue;
      spoilt += 1;
      const { violations } = checkHistory(history);
      expect({ seed, messages: violations.map(({ message }) => message) }).toEqual({ seed, messages: [expect.stringMatching(found)] });
    }
    expect(spoilt).toBeGreaterThan(20);
  });
});

describe('a history that says too little', () => {
  it('is given up after a bounded number of steps, which is a violation', () => {
    const random = new Random(1);
    const names = ['a', 'b', 'c', 'd'];
    const open = Array.from({ length: 60 }, (_, n): HistoryOperation =>
      ({ client: `u${n}`, call_ns: n + 2, key: 's', op: 'write', value: { [random.pick(names)]: random.below(3) }, result: 'unknown' }));
    const answered = Array.from({ length: 200 }, (_, n): HistoryOperation => {
      const callNs = 100 + random.below(2_000);
      const value = { [random.pick(names)]: random.below(3), [random.pick(names)]: random.below(3) };
      return { client: n, call_ns: callNs, return_ns: callNs + random.below(200), key: 's', op: random.chance(0.6) ? 'read' : 'write', value, result: 'ok' };
    });
    const begin: HistoryOperation = { client: 'x', call_ns: 0, return_ns: 1, key: 's', op: 'cas', expect: null, value: { a: 0 }, result: 'ok' };
    const { violations } = checkHistory([begin, ...open, ...answered], { maxSteps: 50_000 });
    expect(violations).toEqual([{ key: 's', operations: [], message: expect.stringContaining('given up: no order of its') }]);
  });
});

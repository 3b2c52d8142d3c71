import { describe, it, expect } from '@jest/globals';
import { Affinity } from '../src/engine/affinity.js';

describe('affinity', () => {
  it('keeps once 0.7 of the last uses were here, and not what was just taken from another', () => {
    const affinity = new Affinity('auto');
    let uses = 0;
    for (; !affinity.keeps(false); uses += 1) affinity.count(true);
    expect(uses).toBe(26); // 1 - 0.5 * 0.98 ** 26 is the first above 0.7
    expect(affinity.keeps(true)).toBe(false);
    affinity.count(false);
    expect(affinity.keeps(false)).toBe(false);
  });

  it('is forced by keep and release', () => {
    expect([new Affinity('keep').keeps(true), new Affinity('release').keeps(false)]).toEqual([true, false]);
  });
});

import { describe, expect, it } from '@jest/globals';
import { median, percentile99, quartiles } from '../bench/report.js';

describe('what the bench calls', () => {
  it('the median is the middle value, or the mean of the middle two', () => {
    expect(median([5, 1, 3])).toBe(3);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([10, 2])).toBe(6);
    expect(median([7])).toBe(7);
    expect(median([])).toBeNaN();
  });

  it('quartiles and the 99th percentile lie between values in proportion', () => {
    expect(quartiles([4, 2, 1, 3, 5], 1)).toBe('2.0–4.0');
    expect(quartiles([1, 2], 2)).toBe('1.25–1.75');
    expect(percentile99(Array.from({ length: 101 }, (_, at) => at))).toBe(99);
  });
});

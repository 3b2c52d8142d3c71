import { describe, it, expect } from '@jest/globals';
import { Clock } from '../src/driver.js';
import { UnknownIds } from '../src/engine/unknown-ids.js';

describe('unknown ids', () => {
  it('are remembered for 500 ms, the youngest 2,000', async () => {
    const clock = Clock.manual();
    const unknown = new UnknownIds(clock);
    for (let count = 0; count <= 2_000; count += 1) unknown.add(`k${count}`);
    expect([unknown.has('k0'), unknown.has('k1'), unknown.has('k2000')]).toEqual([false, true, true]);
    unknown.delete('k1');
    expect(unknown.has('k1')).toBe(false);
    await clock.advance(500);
    expect(unknown.has('k2000')).toBe(false);
  });
});

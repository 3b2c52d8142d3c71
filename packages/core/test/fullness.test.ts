import { expect, it } from '@jest/globals';
import { Fullness } from '../src/engine/fullness.js';
import { Events } from '../src/events.js';

/** How many warnings there are after each of these looks at a store that takes no new sessions at 100 bytes. */
function warningsAt(...bytes: number[]): number[] {
  const events = new Events();
  let warnings = 0;
  events.on('warning', () => { warnings += 1; });
  let stored = 0;
  const fullness = new Fullness({ stored: () => ({ bytes: stored, maxBytes: 100 }) }, events);
  return bytes.map((each) => {
    stored = each;
    fullness.look();
    return warnings;
  });
}

it('tells at eight tenths that a store is nearly full, and anew only if it was below seven tenths meanwhile', () => {
  expect(warningsAt(79, 80, 100, 70, 80, 69, 79, 80)).toEqual([0, 1, 1, 1, 1, 1, 1, 2]);
});

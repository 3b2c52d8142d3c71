import { describe, expect, it } from '@jest/globals';
import { Clock } from '@cluster/core/driver';
import { mapClauses } from '../src/clauses/map.js';
import { testDriver } from '../src/index.js';
import { brokenMaps, type MapBreakage } from './broken/maps.js';
import { CollectingRunner } from './collecting-runner.js';
import { newMapSpace, referenceMap } from './reference-map.js';

function kitOver(breakage: MapBreakage): CollectingRunner {
  const [runner, clock] = [new CollectingRunner(), Clock.manual()];
  const space = newMapSpace(clock);
  const open = () => {
    const correct = referenceMap(space);
    return { ...correct, ...breakage.methods(correct, space) };
  };
  testDriver(runner.functions, { open, clock });
  return runner;
}

describe('every clause of a session map catches a map that breaks it', () => {
  it('there is a broken map for each clause of its own', () => {
    expect([...new Set(brokenMaps.map(({ clause }) => clause))]).toEqual(expect.arrayContaining(mapClauses.map(({ title }) => title)));
  });

  it.each(brokenMaps.map((breakage) => [breakage.broken, breakage.clause, breakage] as const))('%s → %s', async (_broken, clause, breakage) => {
    const [asMap] = await kitOver(breakage).run((title) => title === clause);
    expect(asMap).toEqual({ title: clause, error: expect.objectContaining({ message: expect.any(String) }) });
  });
});

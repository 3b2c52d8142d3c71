import { describe, expect, it } from '@jest/globals';
import { Clock } from '@cluster/core/driver';
import { tableContents, testDriver } from '../src/test-driver.js';
import type { TableBreakage } from './broken/breakage.js';
import { brokenCommits, brokenReads, brokenRepeats } from './broken/committing.js';
import { brokenAcquires, brokenCreates } from './broken/creating.js';
import { brokenExpiry, brokenRemoves } from './broken/ending.js';
import { brokenContents, brokenLifeCycles, brokenSignals } from './broken/keeping.js';
import { brokenLeases } from './broken/leases.js';
import { CollectingRunner } from './collecting-runner.js';
import { newSpace, referenceTable } from './reference-table.js';

const breakages: readonly TableBreakage[] = [
  ...brokenCreates, ...brokenAcquires, ...brokenCommits, ...brokenRepeats, ...brokenReads, ...brokenRemoves, ...brokenExpiry, ...brokenLeases,
  ...brokenContents, ...brokenLifeCycles, ...brokenSignals,
];

function kitOver(breakage: TableBreakage | undefined): CollectingRunner {
  const [runner, clock] = [new CollectingRunner(), Clock.manual()];
  const space = newSpace(clock);
  const open = () => {
    const correct = referenceTable(space);
    return { ...correct, ...breakage?.methods(correct, space) };
  };
  testDriver(runner.functions, { open, clock });
  return runner;
}

describe('every clause of a session table catches a table that breaks it', () => {
  it('there is a broken table for each clause, and none for a clause that does not exist', () => {
    expect(new Set(breakages.map(({ clause }) => clause))).toEqual(new Set(tableContents.map(({ title }) => title)));
  });

  it.each(breakages.map((breakage) => [breakage.broken, breakage.clause, breakage] as const))('%s → %s', async (_broken, clause, breakage) => {
    const outcomes = await kitOver(breakage).run((title) => title === clause);
    // Not by class: the kit's errors are of another realm than this test's.
    expect(outcomes).toEqual([{ title: clause, error: expect.objectContaining({ message: expect.any(String) }) }]);
  });

  it('a timer that goes on is caught also when somebody else\'s ends meanwhile', async () => {
    const clause = 'stop leaves no timer that keeps the process alive';
    const goesOn = brokenLifeCycles.find((breakage) => breakage.clause === clause);
    setTimeout(() => undefined, 100);
    const [outcome] = await kitOver(goesOn).run((title) => title === clause);
    expect(outcome?.error).toMatchObject({ message: expect.stringContaining('1 of the driver\'s timers') });
  });
});

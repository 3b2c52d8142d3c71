import { describe, expect, it } from '@jest/globals';
import { Clock } from '@cluster/core/driver';
import { logClauses } from '../src/clauses/log.js';
import { testDriver } from '../src/index.js';
import { brokenLogs, type LogBreakage } from './broken/logs.js';
import { CollectingRunner } from './collecting-runner.js';
import { newLogSpace, referenceLog } from './reference-log.js';

function kitOver(breakage: LogBreakage): CollectingRunner {
  const [runner, clock] = [new CollectingRunner(), Clock.manual()];
  const space = newLogSpace(clock);
  const open = () => {
    const correct = referenceLog(space);
    return { ...correct, ...breakage.methods(correct, space) };
  };
  testDriver(runner.functions, { open, clock });
  return runner;
}

describe('every clause of a session log catches a log that breaks it', () => {
  it('there is a broken log for each clause of its own', () => {
    expect([...new Set(brokenLogs.map(({ clause }) => clause))]).toEqual(logClauses.map(({ title }) => title));
  });

  it.each(brokenLogs.map((breakage) => [breakage.broken, breakage.clause, breakage] as const))('%s → %s', async (_broken, clause, breakage) => {
    const [asLog] = await kitOver(breakage).run((title) => title === clause);
    expect(asLog).toEqual({ title: clause, error: expect.objectContaining({ message: expect.any(String) }) });
  });
});

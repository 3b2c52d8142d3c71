import { describe, it } from '@jest/globals';
import { Clock } from '@cluster/core/driver';
import { testDriver } from '../src/index.js';
import { newSpace, referenceTable } from './reference-table.js';

describe('a plain session table in memory', () => {
  const clock = Clock.manual();
  const space = newSpace(clock);
  testDriver({ describe, it }, { open: () => referenceTable(space), clock });
});

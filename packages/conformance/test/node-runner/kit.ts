import { describe, it } from 'node:test';
import { Clock } from '@cluster/core/driver';
import { testDriver } from '../../src/index.js';
import { newMapSpace, referenceMap } from '../reference-map.js';

// Run by `node --test`, in real time.
const space = newMapSpace(Clock.system);
testDriver({ describe, it }, { open: () => referenceMap(space), paceMs: 30, lateMs: 30 });

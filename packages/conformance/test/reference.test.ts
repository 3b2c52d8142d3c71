import { describe, expect, it } from '@jest/globals';
import { MemoryStore } from '@cluster/core';
import { Clock, type SessionTable } from '@cluster/core/driver';
import { testDriver } from '../src/index.js';
import { CollectingRunner } from './collecting-runner.js';
import { newLogSpace, referenceLog } from './reference-log.js';
import { newMapSpace, referenceMap } from './reference-map.js';
import { newSpace, referenceTable } from './reference-table.js';

describe('a plain session table in memory', () => {
  const clock = Clock.manual();
  const space = newSpace(clock);
  testDriver({ describe, it }, { open: () => referenceTable(space), clock });
});

describe('the memory store', () => {
  const clock = Clock.manual();
  const first = new MemoryStore({ clock });
  // What every store that is made with ClusterStoreBase lends its manager.
  const tableOf = (store: MemoryStore) => Reflect.get(store, Symbol.for('@cluster/core/table')) as SessionTable;
  testDriver({ describe, it }, { open: () => tableOf(new MemoryStore({ shareWith: first })), clock });
});

describe('a plain session map in memory, without signals', () => {
  const clock = Clock.manual();
  const space = newMapSpace(clock);
  testDriver({ describe, it }, { open: () => referenceMap(space), clock });
});

describe('a plain session log in memory', () => {
  const clock = Clock.manual();
  const space = newLogSpace(clock);
  testDriver({ describe, it }, { open: () => referenceLog(space), clock });
});

describe('a session log in memory that loses its oldest part', () => {
  const clock = Clock.manual();
  const space = newLogSpace(clock);
  testDriver({ describe, it }, { open: () => referenceLog(space, undefined, 10_000_000), clock });
});

describe('what a driver does not offer', () => {
  const clock = Clock.manual();
  const { capabilities, get, compareAndSet } = referenceMap(newMapSpace(clock));
  const runner = new CollectingRunner();
  testDriver(runner.functions, { open: () => ({ capabilities, get, compareAndSet }), clock });

  it('is skipped, with its reason', () => {
    expect(runner.skipped).toEqual(expect.arrayContaining([
      'signal reaches its own instance (skipped: the map has no signals)',
      'calls made late, after stop, reject (skipped: the map has no stop)',
      'keys lists every key of its context once, and none of another context (skipped: it has no keys())',
      'sweep clears away what has expired, at most as many as it is asked for, and nothing that lives (skipped: it has no sweep())',
    ]));
  });

  it('does not keep the driver from passing', async () => {
    expect((await runner.run()).filter(({ error }) => error !== undefined)).toEqual([]);
  });
});

import { Clock } from '@cluster/core/driver';
import type { Runner } from '../../src/clause.js';
import { testDriver, testStore } from '../../src/index.js';
import { brokenMaps } from '../broken/maps.js';
import { newMapSpace, referenceMap, type OpenMap } from '../reference-map.js';
import { host } from '../served/host.js';

const BROKEN = 'an update creates';

/** What each runner is tried with: a map and a whole store in real time; or, if the environment says so, a map that breaks a rule. */
export function registerSubjects(runner: Runner, atTheEnd: (work: () => void) => void): void {
  if (process.env.KIT_SUBJECT === 'broken') {
    const clock = Clock.manual();
    const space = newMapSpace(clock);
    const breakage = brokenMaps.find(({ broken }) => broken === BROKEN);
    const broken = (map: OpenMap) => ({ ...map, ...breakage?.methods(map, space) });
    testDriver(runner, { open: () => broken(referenceMap(space)), clock });
    return;
  }
  const space = newMapSpace(Clock.system);
  testDriver(runner, { open: () => referenceMap(space), paceMs: 30, lateMs: 30 });
  let served: Awaited<ReturnType<typeof host>> | undefined;
  testStore(runner, {
    module: new URL('../served/served-store.ts', import.meta.url), takeOverMs: 1_000, lateMs: 60,
    execArgv: ['--conditions=@cluster/source', '--import', new URL('../../../../scripts/ts-register.mjs', import.meta.url).href],
    async config() {
      served = await host();
      return { port: served.port };
    },
  });
  atTheEnd(() => served?.close());
}

import { AsyncLocalStorage, createHook } from 'node:async_hooks';
import type { SessionMap, SessionTable } from '@cluster/core/driver';
import { isTable, type Driver, type DriverClause, type Offer } from '../driver-bench.js';
import { created, FIRST, LONG_MS, replaces } from './contents.js';

const noStop = ({ stops }: Offer) => (stops ? undefined : 'the map has no stop');
const noStart = ({ starts }: Offer) => (starts ? undefined : 'the map has no start');

const DRAIN_MS = 2_000;

/**
 * The timers that `use` starts, also in its callbacks: a function that counts those that still keep the process alive.
 * Only its own ones, since others may begin and end meanwhile; and no connections, since a client that was passed in is not the driver's.
 */
async function timersOf(use: () => Promise<void>): Promise<{ alive: () => number; done: () => void }> {
  const inUse = new AsyncLocalStorage<true>();
  const started = new Map<number, NodeJS.Timeout | NodeJS.Immediate>();
  const hook = createHook({
    init(id, type, _trigger, resource) {
      // Node documents what these two types' resources are.
      if ((type === 'Timeout' || type === 'Immediate') && inUse.getStore()) started.set(id, resource as NodeJS.Timeout | NodeJS.Immediate);
    },
    destroy: (id) => { started.delete(id); },
  }).enable();
  try {
    await inUse.run(true, use);
  } catch (error) {
    hook.disable();
    throw error;
  }
  return { alive: () => [...started.values()].filter((timer) => timer.hasRef()).length, done: () => { hook.disable(); } };
}

/** Puts something there through a driver of either shape. */
async function put(driver: Driver, key: string, table: (made: SessionTable) => Promise<void>): Promise<void> {
  if (isTable(driver)) await table(driver);
  else await driver.compareAndSet(key, undefined, { value: 'kept', lifetimeMs: LONG_MS });
}

/** What a driver of either shape finds: anything, or nothing. */
async function finds(driver: Driver, key: string): Promise<boolean> {
  return isTable(driver) ? (await driver.read(key)).kind === 'record' : await driver.get(key) !== undefined;
}

const mapCalls = (map: SessionMap, key: string) => [
  () => map.get(key), () => map.compareAndSet(key, undefined, { value: '1', lifetimeMs: LONG_MS }),
];

const tableCalls = (table: SessionTable, key: string) => [
  () => table.read(key), () => table.acquire(key, { incarnation: 'kit.0', grant: '0' }),
  () => table.create(key, { incarnation: 'kit.0', grant: '0' }, replaces(FIRST), 'keep'), () => table.beat('kit.0', 0, LONG_MS),
];

export const lifeCycleClauses: readonly DriverClause[] = [
  {
    title: 'what one driver object stores the others see, also one that starts after the first has stopped',
    async run(bench) {
      const [first, key] = [await bench.driver(), bench.key()];
      const second = await bench.driver();
      await put(first, key, (table) => created(table, key, bench.claim()));
      bench.proof.ok(await finds(second, key), 'a second driver object finds it');
      await first.stop?.();
      bench.proof.ok(await finds(second, key), 'the second finds it after the first has stopped');
      bench.proof.ok(await finds(await bench.driver(), key), 'a third driver object finds it');
    },
  },
  {
    title: 'stop made twice resolves twice',
    exempt: noStop,
    async run(bench) {
      const driver = await bench.driver();
      await driver.stop?.();
      await driver.stop?.();
      bench.proof.ok(true, 'both resolved');
    },
  },
  {
    title: 'stop without a start resolves',
    exempt: noStop,
    async run(bench) {
      await bench.make().stop?.();
      bench.proof.ok(true, 'it resolved');
    },
  },
  {
    title: 'start made twice is refused or changes nothing: the driver goes on working',
    exempt: (offer) => noStart(offer) ?? noStop(offer),
    async run(bench) {
      const [{ driver, instanceId }, key] = [await bench.open(), bench.key()];
      const again = { context: bench.context, instanceId, receive: () => undefined, listening: () => undefined };
      await driver.start?.(again).catch(() => undefined);
      await put(driver, key, (table) => created(table, key, bench.claim()));
      bench.proof.ok(await finds(driver, key), 'it finds what it stored');
    },
  },
  {
    title: 'calls made late, after stop, reject',
    exempt: noStop,
    async run(bench) {
      const [driver, key] = [await bench.driver(), bench.key()];
      await driver.stop?.();
      const calls = isTable(driver) ? tableCalls(driver, key) : mapCalls(driver, key);
      // In a chain: a driver may throw before it makes a promise.
      for (const call of calls) await bench.proof.rejects(Promise.resolve().then<unknown>(call), 'a call after stop');
    },
  },
  {
    title: 'stop leaves no timer that keeps the process alive',
    exempt: noStop,
    async run(bench) {
      const timers = await timersOf(async () => {
        const { driver, instanceId } = await bench.open();
        await put(driver, bench.key(), (table) => created(table, bench.key(), bench.claim()));
        await driver.signal?.(instanceId, 'one');
        await driver.stop?.();
      });
      for (let waitedMs = 0; timers.alive() > 0 && waitedMs < DRAIN_MS; waitedMs += 50) {
        // Real time, also under a manual clock: these are the process's own timers.
        await new Promise<void>((resolve) => { setTimeout(resolve, 50); });
      }
      timers.done();
      bench.proof.ok(timers.alive() === 0, `${timers.alive()} of the driver's timers keep the process alive ${DRAIN_MS} ms after stop`);
    },
  },
];

import type { Clock } from '../clock.js';
import { ClusterError } from '../errors.js';
import { LogTable } from './log-table.js';
import { MapTable } from './map-table.js';
import type { SessionLog } from './session-log.js';
import type { SessionMap } from './session-map.js';
import type { SessionTable } from './session-table.js';

const has = (driver: unknown, ...methods: string[]): boolean =>
  typeof driver === 'object' && driver !== null && methods.every((method) => typeof Reflect.get(driver, method) === 'function');

/**
 * The table that the engine works on, whatever shape a driver has.
 * @throws ClusterError CLUSTER_BAD_OPTION if it has none of them
 */
export function tableOf(driver: SessionTable | SessionMap | SessionLog, clock?: Clock): SessionTable {
  if (has(driver, 'compareAndSet', 'get')) return new MapTable(driver as SessionMap, clock); // its shape was just tested
  if (has(driver, 'append', 'follow')) return new LogTable(driver as SessionLog, clock); // likewise
  if (has(driver, 'acquire')) return driver as SessionTable; // likewise
  throw new ClusterError('CLUSTER_BAD_OPTION', 'driver: expected a SessionMap (get, compareAndSet), a SessionLog (append, follow) or a SessionTable (acquire, …)');
}

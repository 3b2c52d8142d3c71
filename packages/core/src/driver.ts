export { isClusterStore } from './cluster-store.js';
export { ClusterStoreBase } from './cluster-store-base.js';
export { tableOf } from './drivers/table-of.js';
export { Clock, type ManualClock } from './clock.js';
export { resolveOptions, hasMethods, managerOptions, milliseconds, count, oneOf, name, shown, type OptionSpec, type OptionSpecs, type ResolvedOptions } from './options.js';
export { behind, type Behind } from './session.js';
export type { Codec } from './codec.js';
export type {
  Absent, Acquired, Change, Claim, Committed, Creation, DriverContext, Encoded, Gone, Message, Removed, SessionRecord, SessionTable, Stamp,
  StoreCapabilities, Then, Write,
} from './drivers/session-table.js';
export type { Entry, Found, SessionMap } from './drivers/session-map.js';
export type { LogRecord, SessionLog } from './drivers/session-log.js';

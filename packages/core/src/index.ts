export { DistributedManager } from './distributed-manager.js';
export { MemoryStore } from './memory-store.js';
export { ClusterError, type ClusterErrorCode, type LockHolder } from './errors.js';
export { Manager, type Health } from './manager.js';
export { ClusterStore, type FindOptions, type SessionSnapshot } from './cluster-store.js';
export type { Session, SessionData } from './session.js';
export type { ManagerOptions } from './options.js';
export type { ManagerEvents } from './events.js';
export type { StoreCapabilities } from './drivers/session-table.js';

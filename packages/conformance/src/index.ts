export { testDriver, type DriverHarness } from './test-driver.js';
export { testStore, type StoreHarness } from './test-store.js';
export { checkHistory, type CheckOptions, type HistoryVerdict, type HistoryViolation } from './history/check-history.js';
export type { Attributes, HistoryOperation, Scalar, Value } from './history/operation.js';

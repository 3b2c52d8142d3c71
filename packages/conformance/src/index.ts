export { testDriver, type DriverHarness } from './test-driver.js';
export { testStore, type StoreHarness } from './test-store.js';
export { testProcesses, type ProcessHarness } from './test-processes.js';
export { checkHistory } from './history/check-history.js';
export { historyLines, type HistoryOperation } from './history/operation.js';

export { testDriver, type DriverHarness } from './test-driver.js';
export { testStore, type StoreHarness } from './test-store.js';

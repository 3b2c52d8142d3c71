export { testDriver, type DriverHarness } from './test-driver.js';
export type { Runner } from './clause.js';

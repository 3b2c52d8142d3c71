export { RabbitStore } from './rabbit-store.js';
export type { RabbitStoreOptions } from './options.js';

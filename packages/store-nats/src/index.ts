export { NatsStore } from './nats-store.js';
export type { NatsStoreOptions } from './options.js';

export { KafkaStore } from './kafka-store.js';
export type { KafkaConnect, KafkaStoreOptions } from './options.js';
export type { KafkaPort, KafkaRecord, Reader, Reading, StoredRecord, TopicSettings } from './port.js';

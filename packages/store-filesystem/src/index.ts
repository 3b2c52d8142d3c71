export { FilesystemStore } from './filesystem-store.js';
export type { FilesystemStoreOptions } from './options.js';

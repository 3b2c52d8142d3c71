import { FilesystemStore } from '../../src/index.js';

/** What the conformance kit calls in the processes of its two instances. */
export const createStore = ({ instanceId, config }: { instanceId: string; config: string }): FilesystemStore =>
  new FilesystemStore({ directory: config, instanceId });

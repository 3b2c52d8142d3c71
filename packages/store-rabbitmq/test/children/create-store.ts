import type { ClusterStore } from '@cluster/core';
import { RabbitStore } from '../../src/index.js';

interface Config { readonly urls: readonly string[]; readonly replicas?: number }

/** What the conformance kit calls in its processes. */
export const createStore = ({ instanceId, config: { urls, replicas = 1 } }: { instanceId: string; config: Config }): ClusterStore =>
  new RabbitStore({ urls, replicas, instanceId, maxBytes: 4_194_304 });

import type { ClusterStore } from '@cluster/core';
import { RedisStore } from '../../src/index.js';

interface Config { readonly url: string }

/** What the conformance kit calls in its processes. */
export const createStore = ({ instanceId, config: { url } }: { instanceId: string; config: Config }): ClusterStore => new RedisStore({ url, instanceId });

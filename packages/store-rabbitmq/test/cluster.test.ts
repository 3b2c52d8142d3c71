import { describe, expect, it } from '@jest/globals';
import { DistributedManager } from '@cluster/core';
import { keepsChanges } from '../../../scripts/services/killed-nodes.js';
import { RabbitServer } from '../../../scripts/services/rabbitmq.js';
import { RabbitStore } from '../src/index.js';

describe('over three nodes', () => {
  it('no acknowledged change is lost when nodes are killed, at last all at once, while two instances write', async () => {
    const nodes = await RabbitServer.together(3);
    try {
      const urls = nodes.map(({ url }) => url).reverse();
      await keepsChanges(nodes, () => new DistributedManager(new RabbitStore({ urls, replicas: 3 }), {
        context: 'shop', leaseMs: 20_000, storeTimeoutMs: 10_000, lockTimeoutMs: 25_000,
      }));
      // What the page says to look at.
      const status = await nodes[0]?.tell('rabbitmq-streams', 'stream_status', 'cluster.shop');
      expect(status?.match(/(writer|replica) .*@localhost/g)).toHaveLength(3);
    } finally {
      await Promise.allSettled(nodes.map((node) => node.stop()));
    }
  }, 240_000);
});

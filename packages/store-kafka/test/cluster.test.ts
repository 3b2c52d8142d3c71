import { describe, it } from '@jest/globals';
import { DistributedManager } from '@cluster/core';
import { KafkaServer } from '../../../scripts/services/kafka.js';
import { keepsChanges } from '../../../scripts/services/killed-nodes.js';
import { KafkaStore } from '../src/index.js';

describe('over three brokers', () => {
  it('no acknowledged change is lost when brokers are killed, at last all at once, while two instances write', async () => {
    const nodes = await KafkaServer.together(3);
    try {
      const brokers = nodes.map(({ url }) => url).reverse();
      await keepsChanges(nodes, () => new DistributedManager(new KafkaStore({ connect: { brokers }, replicas: 3 }), {
        context: 'shop', leaseMs: 20_000, storeTimeoutMs: 10_000, lockTimeoutMs: 25_000,
      }));
    } finally {
      await Promise.allSettled(nodes.map((node) => node.stop()));
    }
  }, 240_000);
});

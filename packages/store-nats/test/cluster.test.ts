import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { NatsCluster } from '../../../scripts/services/nats-cluster.js';
import { NatsMap } from '../src/nats-map.js';

const BUCKETS = 8;
const LONG_MS = 60_000;

let cluster: NatsCluster;
beforeAll(async () => { cluster = await NatsCluster.start(); });
afterAll(() => cluster.stop());

const open: NatsMap[] = [];
afterEach(async () => { await Promise.all(open.splice(0).map((map) => map.stop())); });

const context = { context: 'shop', instanceId: 'one', receive: () => undefined, listening: () => undefined };

/** A map of its own, over one of the servers. */
async function started(servers: string, bucket: string): Promise<NatsMap> {
  const map = new NatsMap({ source: { connect: { servers, ignoreClusterUpdates: true } }, bucket, replicas: 3, storage: 'file' });
  open.push(map);
  await map.start(context);
  return map;
}

describe('a bucket that was just made in a cluster', () => {
  it('takes puts through each server as soon as start has resolved there', async () => {
    const putAtOnce = async (servers: string, bucket: string, at: number) =>
      (await started(servers, bucket)).compareAndSet(`shop.s.${at}`, undefined, { value: 'x', lifetimeMs: LONG_MS });
    for (let made = 0; made < BUCKETS; made += 1) {
      const puts = await Promise.allSettled(cluster.urls.map((url, at) => putAtOnce(url, `b${made}`, at)));
      expect(puts).toEqual(cluster.urls.map(() => ({ status: 'fulfilled', value: expect.any(String) })));
    }
  });
});

import { ClusterError } from '@cluster/core';
import { FilesystemMap } from '../../src/filesystem-map.js';

// increment <directory> <instance> <key> <times>: prints how many increments were acknowledged and how many have an unknown outcome.
const [directory = '', instanceId = '', key = '', times = ''] = process.argv.slice(2);
const map = new FilesystemMap({ directory, allowNetworkMounts: false });

async function increment(): Promise<'done' | 'unknown'> {
  for (;;) {
    const found = await map.get(key);
    const value = String(Number(found?.value ?? 0) + 1);
    try {
      if (await map.compareAndSet(key, found?.revision, { value, lifetimeMs: 600_000 }) !== undefined) return 'done';
    } catch (error) {
      if (ClusterError.is(error, 'CLUSTER_UNKNOWN_OUTCOME')) return 'unknown';
      throw error;
    }
  }
}

async function main(): Promise<void> {
  await map.start({ context: 'shop', instanceId, receive: () => undefined, listening: () => undefined });
  const count = { done: 0, unknown: 0 };
  for (let left = Number(times); left > 0; left--) count[await increment()]++;
  await map.stop();
  console.log(JSON.stringify(count));
}

void main();

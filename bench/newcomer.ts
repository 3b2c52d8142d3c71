// An instance that starts where many sessions are already: newcomer.ts STORE ADDRESS.
import { DistributedManager } from '@cluster/core';
import { answering } from './child.js';
import { openStore, storeNamed } from './stores.js';

const [store = '', address = ''] = process.argv.slice(2);

/** What is asked: the id of a session. Answered: how long it took until that one was served, and the memory of the process then. */
answering(async (id: string) => {
  const beganMs = performance.now();
  const manager = new DistributedManager(await openStore(storeNamed(store), address), { context: 'shop' });
  await manager.start();
  const session = await manager.findSession(id, { access: 'snapshot' });
  const tookMs = performance.now() - beganMs;
  if (session?.get('count') !== 1) throw new Error(`expected the session with its count, found ${session === undefined ? 'none' : String(session.get('count'))}`);
  const mebibytes = process.memoryUsage.rss() / 2 ** 20;
  await manager.stop();
  return { tookMs, mebibytes };
});

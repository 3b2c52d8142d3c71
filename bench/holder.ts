// An instance that holds a session and uses it now and then, until it is killed: holder.ts STORE ADDRESS.
import { DistributedManager } from '@cluster/core';
import { answering } from './child.js';
import { openStore, storeNamed } from './stores.js';

const [store = '', address = ''] = process.argv.slice(2);
const manager = new DistributedManager(await openStore(storeNamed(store), address), { context: 'shop', affinity: 'keep' });

answering(async () => {
  const session = manager.createSession();
  session.set('count', 1);
  await manager.sendSession(session);
  setInterval(() => { void manager.findSession(session.id, { access: 'snapshot' }); }, 100);
  return session.id;
});

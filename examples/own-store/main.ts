import { DistributedManager } from '@cluster/core';
import { startKvServer } from './kv-process.js';
import { KvStore } from './kv-store.js';

declare module '@cluster/core' {
  interface SessionData { count: number }
}

const CHANGES = 100;
const server = await startKvServer();
// Two instances of an application. Here they share a process so that one terminal shows both.
const managers = ['a', 'b'].map((instanceId) => new DistributedManager(new KvStore({ port: server.port, instanceId })));

/** Both instances change one session at once; resolves to whether every change is in it. */
async function round(): Promise<boolean> {
  const [a, b] = managers;
  const session = a?.createSession();
  if (a === undefined || b === undefined || session === undefined) return false;
  session.count = 0;
  await a.sendSession(session);
  await Promise.all(managers.map(async (manager) => {
    for (let done = 0; done < CHANGES; done += 1) await manager.update(session.id, (found) => { found.count = (found.count ?? 0) + 1; });
  }));
  const found = await b.findSession(session.id, { access: 'snapshot' });
  console.log(`a and b made ${CHANGES} changes each; in the session: ${found?.count ?? 0}`);
  if (found !== undefined) await b.releaseSession(found);
  await b.removeSession(session.id);
  console.log(`removed by b; a finds: ${await a.findSession(session.id) === undefined ? 'nothing' : 'a session'}`);
  return found?.count === 2 * CHANGES;
}

let going = !process.argv.includes('--once');
process.once('SIGINT', () => { going = false; });
do if (!await round()) process.exitCode = 1; while (going);
await Promise.all(managers.map((manager) => manager.stop()));
await server.stop();

import { DistributedManager } from '@cluster/core';
import { RedisStore } from '../../src/index.js';

const manager = new DistributedManager(new RedisStore({ url: process.argv[2] ?? '' }), { context: 'shop', affinity: 'keep' });
const session = manager.createSession();
session.set('count', 1);
await manager.sendSession(session);
// It holds the session, and uses it now and then, until it is killed.
setInterval(() => { void manager.findSession(session.id, { access: 'snapshot' }); }, 100);
process.stdout.write(`${session.id}\n`);

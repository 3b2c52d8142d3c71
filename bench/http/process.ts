// One application under load: node process.ts KIND. Tells its port, and its CPU time whenever it is asked.
import type { AddressInfo } from 'node:net';
import { serve, type Kind } from './applications.js';

const server = await serve(process.argv[2] as Kind);
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => { process.send?.((server.address() as AddressInfo).port); });
process.on('message', () => {
  const { user, system } = process.cpuUsage();
  process.send?.(user + system);
});
process.once('disconnect', () => { process.exit(); });

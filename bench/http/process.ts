// One application under load: process.ts KIND STORE ADDRESS. Answers with its port, then with the CPU time that it has used.
import type { AddressInfo } from 'node:net';
import { answering, cpuUs } from '../child.js';
import { storeNamed } from '../stores.js';
import { serve, type Kind } from './applications.js';

const [kind, store = '', address = ''] = process.argv.slice(2);
const server = await serve(kind as Kind, { store: storeNamed(store), address });
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  answering((question: 'port' | 'cpu') => (question === 'cpu' ? cpuUs() : (server.address() as AddressInfo).port));
});

// One application under load: process.ts KIND [ADDRESS]. Answers with its port, then with the CPU time that it has used.
import type { AddressInfo } from 'node:net';
import { answering, cpuUs } from '../child.js';
import { serve, type Kind } from './applications.js';

const server = await serve(process.argv[2] as Kind, process.argv[3] ?? '');
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  answering((question: 'port' | 'cpu') => (question === 'cpu' ? cpuUs() : (server.address() as AddressInfo).port));
});

// One application under load: process.ts KIND SETTING. Answers with its port, then with the CPU time that it has used.
import type { AddressInfo } from 'node:net';
import { answering, cpuUs } from '../child.js';
import { serve, type Kind, type Setting } from './applications.js';

const [kind = '', setting = ''] = process.argv.slice(2);
// Both were written by fleet.ts.
const server = await serve(kind as Kind, JSON.parse(setting) as Setting);
// The connections of one cell rest while others are measured.
server.keepAliveTimeout = server.headersTimeout = server.requestTimeout = 0;
server.listen(0, '127.0.0.1', () => {
  answering((question: 'port' | 'cpu') => (question === 'cpu' ? cpuUs() : (server.address() as AddressInfo).port));
});

// One process of the shop: REDIS_URL=redis://... PORT=3000 node ... server.ts
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createApp } from './app.js';

const { app, sessions } = createApp(process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379');
await sessions.manager.start(); // without a Redis that can hold sessions the process ends here, and not at the first request

const server = app.listen(Number(process.env['PORT'] ?? 0), '127.0.0.1');
await once(server, 'listening');
// A server that listens on TCP has an address of this shape.
const { port } = server.address() as AddressInfo;
console.log(`pid ${process.pid} serves http://127.0.0.1:${port}`);
process.send?.(port);

let stopping = false;
function stop() {
  if (stopping) return;
  stopping = true;
  if (process.connected) process.disconnect();
  server.prependListener('request', (_req, res) => { res.shouldKeepAlive = false; });
  void sessions.drain(); // the other process gets what nobody uses here
  setTimeout(() => server.close(() => void sessions.stop()), 1000); // running requests are answered first; then every lock is given back
}
process.once('SIGTERM', stop);
process.once('SIGINT', stop);
process.once('disconnect', stop); // whoever started this process has died

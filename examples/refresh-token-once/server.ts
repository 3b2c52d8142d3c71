// One process of the application. Its environment says where Redis and the provider are.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createApp } from './app.js';

const { REDIS_URL, PROVIDER_URL } = process.env;
if (REDIS_URL === undefined || PROVIDER_URL === undefined) throw new Error('REDIS_URL and PROVIDER_URL: expected both in the environment');
const { app, sessions } = createApp(REDIS_URL, PROVIDER_URL);
await sessions.manager.start();

const server = app.listen(0, '127.0.0.1');
await once(server, 'listening');
// A server that listens on TCP has an address of this shape.
process.send?.((server.address() as AddressInfo).port);

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

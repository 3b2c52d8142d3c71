// The application under load: server.ts STORE ADDRESS; node:http, a counter in the session.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import type { AddressInfo } from 'node:net';
import { session } from '@cluster/http';
import { openStore, settingsFor, storeNamed } from './stores.js';

declare module '@cluster/core' {
  interface SessionData { count: number }
}

const SLOW_MS = 20;
const [name = '', address = ''] = process.argv.slice(2);
const store = storeNamed(name);
const sessions = session({ store: await openStore(store, address), ...settingsFor(store) });
await sessions.start();

async function answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const session = await sessions.open(req, res);
  // Answered with the error already.
  if (session === undefined) return;
  if (req.method === 'POST') session.count = (session.count ?? 0) + 1;
  else if (req.url === '/slow') await wait(SLOW_MS);
  res.end(String(session.count ?? 0));
}

const server = createServer((req, res) => { void answer(req, res); });
server.listen(0, '127.0.0.1', () => { process.send?.((server.address() as AddressInfo).port); });
process.once('SIGTERM', () => {
  server.close(() => { void sessions.stop().then(() => { process.disconnect(); }); });
  server.closeAllConnections();
});

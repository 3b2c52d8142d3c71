import 'reflect-metadata'; // inversify needs it, once, before anything else
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Manager } from '@cluster/core';
import { managerModule } from '@cluster/core/inversify';
import { session } from '@cluster/http';
import { filesystemStoreModule } from '@cluster/store-filesystem/inversify';
import express from 'express';
import { Container } from 'inversify';

declare module '@cluster/core' {
  interface SessionData { visits: number }
}

const directory = await mkdtemp(join(tmpdir(), 'cluster-inversify-'));
const container = new Container();
container.load(
  managerModule({ context: 'visits' }),
  filesystemStoreModule({ directory }), // the one line that chooses the store
);
const manager = container.get<Manager>(Manager);

const app = express();
app.use(session({ manager }));
app.post('/visit', (req, res) => {
  req.session.visits = (req.session.visits ?? 0) + 1;
  res.json({ visits: req.session.visits });
});

const server = app.listen(0, '127.0.0.1');
await once(server, 'listening');
// A server that listens on TCP has an address of this shape.
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

async function stop() {
  const closed = once(server, 'close');
  server.close();
  server.closeIdleConnections();
  await closed;
  await container.unbindAllAsync(); // deactivation stops the manager, and with it the store
  console.log(`manager: ${manager.health().status}, sessions held: ${manager.health().held}`);
  await rm(directory, { recursive: true });
}

if (process.argv.includes('--once')) {
  const first = await fetch(`${url}/visit`, { method: 'POST' });
  console.log(`first request: ${await first.text()}`);
  const cookie = first.headers.getSetCookie().map((each) => each.split(';')[0]).join('; ');
  const second = await fetch(`${url}/visit`, { method: 'POST', headers: { cookie } });
  console.log(`second request: ${await second.text()}`);
  await stop();
} else {
  console.log(`curl -X POST -c jar -b jar ${url}/visit`);
  process.once('SIGINT', () => void stop());
  process.once('SIGTERM', () => void stop());
}

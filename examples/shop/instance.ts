import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { ClusterError, type Health, type ManagerEvents } from '@cluster/core';
import express, { type NextFunction, type Request, type Response } from 'express';
import { absoluteTimeoutMs, idleTimeoutMs, shop } from './app.js';

/** What a process of the shop tells the process that started it. `session`: the first 12 digits of the id's digest. */
export type Report =
  | { readonly kind: 'ready'; readonly port: number; readonly instanceId: string }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'health'; readonly health: Health }
  | { readonly kind: 'changed'; readonly session: string }
  | { readonly kind: 'takeover'; readonly event: ManagerEvents['takeover'] }
  | { readonly kind: 'handover'; readonly event: ManagerEvents['handover'] }
  | { readonly kind: 'fenced'; readonly event: ManagerEvents['fenced'] }
  | { readonly kind: 'lapsed'; readonly event: ManagerEvents['lapsed'] }
  | { readonly kind: 'warning'; readonly message: string };

const REPORT_EVERY_MS = 50;
const [place, name] = process.argv.slice(2);
if (place === undefined || name === undefined) throw new Error('usage: instance.ts <folder or URL> <name>');

// The channel may close at any moment: whoever started this process has died, and it is about to end itself.
const report = (message: Report, sent: () => void = () => undefined) => {
  if (process.connected) process.send?.(message, undefined, {}, sent);
  else sent();
};
const digestOf = (id: string) => createHash('sha256').update(id).digest('hex');

const { app, sessions } = shop(place);
const manager = sessions.manager;
manager.on('takeover', (event) => { report({ kind: 'takeover', event }); });
manager.on('handover', (event) => { report({ kind: 'handover', event }); });
manager.on('fenced', (event) => { report({ kind: 'fenced', event }); });
manager.on('lapsed', (event) => { report({ kind: 'lapsed', event }); });
manager.on('warning', ({ message }) => { report({ kind: 'warning', message }); });

// Around the shop: what only the demo needs.
const outer = express();
outer.get('/health', (_req, res) => { res.json({ up: true }); });
outer.use((req, res, next) => {
  if (req.method === 'POST' && req.path.startsWith('/cart/')) {
    res.once('finish', () => { if (res.statusCode === 200) report({ kind: 'changed', session: digestOf(req.sessionID).slice(0, 12) }); });
  }
  next();
});
outer.use(app);
// Who is refused counts it; Express would print it as well, in the middle of the timeline.
outer.use((error: unknown, _req: Request, res: Response, next: NextFunction) => {
  if (ClusterError.is(error)) res.status(error.status).set(error.headers).send(error.code);
  else next(error);
});
app.get('/session', (req, res) => {
  res.json(req.session.isNew ? null : { session: digestOf(req.session.id).slice(0, 12), absoluteTimeoutMs, idleTimeoutMs });
});

try {
  await manager.start();
} catch (error) {
  if (!ClusterError.is(error)) throw error;
  const { message } = error;
  await new Promise<void>((resolve) => { report({ kind: 'failed', message }, resolve); });
  process.exit(1);
}
const server = outer.listen(0, '127.0.0.1');
await once(server, 'listening');
// A server that listens on TCP has an address of this shape.
report({ kind: 'ready', port: (server.address() as AddressInfo).port, instanceId: manager.store.instanceId });
setInterval(() => { report({ kind: 'health', health: manager.health() }); }, REPORT_EVERY_MS);

let ending = false;
async function end() {
  if (ending) return;
  ending = true;
  const closed = once(server, 'close');
  server.close();
  server.closeIdleConnections();
  await closed;
  await sessions.stop();
  report({ kind: 'health', health: manager.health() }, () => { process.exit(0); });
}
process.on('message', (message) => { if (message === 'stop') void end(); });
process.once('disconnect', () => { void end(); });
process.once('SIGTERM', () => { void end(); });
process.on('SIGINT', () => undefined); // Ctrl-C reaches the whole group; the parent says when to stop

import { setTimeout as pause } from 'node:timers/promises';
import { session } from '@cluster/http';
import { FilesystemStore } from '@cluster/store-filesystem';
import express from 'express';

declare module '@cluster/core' {
  interface SessionData { cart: string[] }
}

export const idleTimeoutMs = 30 * 60_000;
export const absoluteTimeoutMs = 8 * 3_600_000;

/** A shop on sessions in a folder. Any process that runs it on the same folder can serve any request. */
export function shop(directory: string) {
  const sessions = session({
    store: new FilesystemStore({ directory }),
    affinity: 'keep', // every process keeps what it served, so that a kill finds sessions to take over
    leaseMs: 2000, // short, so that a paused process is replaced while you watch; the default is 10 s
    idleTimeoutMs,
    absoluteTimeoutMs,
  });
  const app = express();
  app.use(sessions);

  app.get('/cart', (req, res) => { res.json(req.session.cart ?? []); });

  app.post('/cart/:item', async (req, res) => {
    await pause(20); // the warehouse is asked whether it has the item
    (req.session.cart ??= []).push(req.params.item);
    res.json(req.session.cart); // leaves after the cart is stored
  });

  app.post('/slow', async (req, res) => {
    await pause(3000);
    res.json(req.session.cart ?? []);
  });

  app.post('/logout', async (req, res) => {
    await req.session.destroy();
    res.json([]);
  });

  return { app, sessions };
}

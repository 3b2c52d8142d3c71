import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import express from 'express';
import { MemoryStore } from '@cluster/core';
import { Clock } from '@cluster/core/driver';
import { session, type SessionMiddleware } from '@cluster/http';
import { signIn } from '@cluster/http/testing';

declare module '@cluster/core' {
  interface SessionData { userId: number }
}

// The application is given its sessions, so that a test can give it others.
function application(sessions: SessionMiddleware) {
  const app = express().use(sessions);
  app.get('/account', (req, res) => {
    const { userId } = req.session;
    res.status(userId === undefined ? 401 : 200).json({ userId });
  });
  return app;
}

const clock = Clock.manual(); // one for all instances of a test: ids and grants are drawn from it
const sessions = session({ store: new MemoryStore({ clock }), clock, idleTimeoutMs: 60_000 });
const server = createServer(application(sessions));
const get = (path: string, cookie = '') => fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`, { headers: { cookie } });

beforeAll(() => once(server.listen(0, '127.0.0.1'), 'listening'));
afterAll(async () => {
  await once(server.close(), 'close');
  await sessions.stop();
});

it('shows an account to its user and to nobody else', async () => {
  const cookie = await signIn(sessions, { userId: 7 });
  expect(await (await get('/account', cookie)).json()).toEqual({ userId: 7 });
  expect((await get('/account')).status).toBe(401);
});

it('asks for the password again after a minute without a request', async () => {
  const cookie = await signIn(sessions, { userId: 7 });
  await clock.advance(59_000);
  expect((await get('/account', cookie)).status).toBe(200);
  await clock.advance(70_000);
  expect((await get('/account', cookie)).status).toBe(401);
});

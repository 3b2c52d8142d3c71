import express from 'express';
import { MemoryStore } from '@cluster/core';
import { session } from '@cluster/http';

declare module '@cluster/core' {
  interface SessionData { user: string }
}

export const sessions = session({ store: new MemoryStore() });

export const app = express().use(sessions);
app.post('/login', express.urlencoded(), async (req, res) => {
  const { user, remember } = req.body as Record<string, string>;
  await req.session.regenerate();
  if (user !== undefined) req.session.user = user;
  if (remember === 'on') req.session.cookie.maxAge = 30 * 24 * 60 * 60_000;
  res.redirect(303, '/');
});
app.post('/forget-this-browser', (req, res) => {
  req.session.cookie.maxAge = null;
  res.redirect(303, '/');
});
app.get('/', (req, res) => { res.json({ user: req.session.user, maxAge: req.session.cookie.maxAge }); });

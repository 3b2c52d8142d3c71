import { setTimeout as pause } from 'node:timers/promises';
import express from 'express';
import { MemoryStore } from '@cluster/core';
import { session } from '@cluster/http';

declare module '@cluster/core' {
  interface SessionData { progress: number }
}

export const sessions = session({ store: new MemoryStore() });

export const app = express().use(sessions);
app.post('/report', async (req, res) => {
  const { id } = req.session;
  req.session.progress = 0;
  await req.session.release(); // stored, and other requests get in
  res.type('text/event-stream').flushHeaders();
  for (const percent of [25, 50, 75, 100]) {
    await pause(50); // a part of the work
    const isKnown = await sessions.manager.update(id, (visitor) => { visitor.progress = percent; return true; });
    if (isKnown === undefined || res.closed) break; // logged out meanwhile, or gone
    res.write(`data: ${percent}\n\n`);
  }
  res.end();
});
app.get('/progress', (req, res) => { res.json(req.session.progress ?? null); });
app.post('/logout', (req, res) => {
  req.session = null;
  res.end();
});

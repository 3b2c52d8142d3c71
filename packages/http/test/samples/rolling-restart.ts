import express from 'express';
import { MemoryStore } from '@cluster/core';
import { session } from '@cluster/http';

declare module '@cluster/core' {
  interface SessionData { visits: number }
}

export const sessions = session({ store: new MemoryStore() }); // one that the instances share

export const app = express();
app.get('/ready', (_req, res) => {
  const health = sessions.health();
  res.status(health.status === 'up' && health.store === 'up' ? 200 : 503).json(health);
});
app.use(sessions);
app.post('/visit', (req, res) => { res.json(req.session.visits = (req.session.visits ?? 0) + 1); });

await sessions.start(); // /ready answers 503 before it
export const server = app.listen(Number(process.env['PORT'] ?? 3000));
process.once('SIGTERM', () => {
  server.prependListener('request', (_req, res) => { res.shouldKeepAlive = false; });
  void sessions.drain();
  setTimeout(() => server.close(() => void sessions.stop()), 1000); // longer than the balancer takes to notice
});

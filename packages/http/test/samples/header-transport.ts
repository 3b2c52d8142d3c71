import { createServer } from 'node:http';
import { MemoryStore } from '@cluster/core';
import { session } from '@cluster/http';

export const sessions = session({
  store: new MemoryStore(),
  transport: {
    read: (req) => req.headers['x-session-id'],
    write: (res, id) => { res.setHeader('X-Session-Id', id); },
    clear: (res) => { res.setHeader('X-Session-Id', ''); },
  },
});

export const server = createServer((req, res) => {
  void sessions.open(req, res).then((visitor) => {
    if (visitor === undefined) return;
    visitor.set('calls', Number(visitor.get('calls') ?? 0) + 1);
    res.end(`visit ${String(visitor.get('calls'))}`);
  });
});

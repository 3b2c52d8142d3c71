import { createServer } from 'node:http';
import { MemoryStore } from '@cluster/core';
import { session } from '@cluster/http';
import { WebSocketServer } from 'ws';

declare module '@cluster/core' {
  interface SessionData { user: string; seen: number }
}

export const sessions = session({ store: new MemoryStore() });
const sockets = new WebSocketServer({ noServer: true });

export const server = createServer((req, res) => {
  void sessions.open(req, res).then((visitor) => {
    if (visitor === undefined) return;
    if (req.url === '/login') visitor.user = 'ada';
    res.end(`${visitor.user ?? 'nobody'} has seen ${String(visitor.seen ?? 0)}`);
  });
});

server.on('upgrade', (req, socket, head) => {
  void sessions.open(req, socket).then((visitor) => {
    if (visitor === undefined) return; // answered 503, or the client has left
    if (visitor.user === undefined) {
      socket.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n');
      return;
    }
    const { id } = visitor;
    sockets.handleUpgrade(req, socket, head, (connection) => {
      connection.on('message', () => {
        void sessions.manager.update(id, (now) => { now.seen = (now.seen ?? 0) + 1; })
          .then(() => { connection.send('counted'); });
      });
    });
  });
});

import { createServer, IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Socket, type AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterEach, describe, expect, it } from '@jest/globals';
import { WebSocket, WebSocketServer } from 'ws';
import type { SessionMiddleware } from '@cluster/http';
import { instance, one, stopAll, SwitchStore, type SessionRequest } from './support/cluster.js';
import { counter, until } from './support/counter.js';
import { put, site } from './support/site.js';
import { closeAll, deferred, Visitor } from './support/servers.js';

const servers: Server[] = [];

afterEach(async () => {
  await closeAll();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => { server.close(resolve); });
  }
  await stopAll();
});

type Found = Awaited<ReturnType<SessionMiddleware['open']>>;

/** A server of the counter whose sockets get the session as it was found. */
async function listening(sessions: SessionMiddleware, accepted: (ws: WebSocket, found: NonNullable<Found>, req: IncomingMessage) => void) {
  const sockets = new WebSocketServer({ noServer: true });
  const found: Found[] = [];
  const server = createServer((req, res) => {
    void sessions.open(req, res).then((session) => session && counter(req as SessionRequest, res));
  });
  server.on('upgrade', (req, socket, head) => {
    void sessions.open(req, socket).then((session) => {
      found.push(session);
      if (session !== undefined) sockets.handleUpgrade(req, socket, head, (ws) => { accepted(ws, session, req); });
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const { port } = server.address() as AddressInfo;
  const dial = (cookie?: string) => new WebSocket(`ws://127.0.0.1:${port}/socket`, { headers: cookie === undefined ? {} : { cookie } });
  return { url: `http://127.0.0.1:${port}`, dial, found };
}

const firstMessage = (ws: WebSocket) => new Promise<string>((resolve, reject) => {
  ws.on('message', (text: Buffer) => { resolve(text.toString()); }).on('error', reject);
});

describe('sessions.open(req, socket)', () => {
  it('finds the session of an upgrade to a WebSocket; update changes it, and requests see that', async () => {
    const sessions = instance();
    const { url, dial } = await listening(sessions, (ws, { id, count }) => {
      ws.on('message', () => {
        void sessions.manager.update(id, (session) => { session.count = (session.count ?? 0) + 10; }).then(() => { ws.send('done'); });
      });
      ws.send(String(count));
    });
    const visitor = new Visitor();
    await visitor.post(url);
    const ws = dial(`sid=${visitor.cookies.get('sid') ?? ''}`);
    expect(await firstMessage(ws)).toBe('1');
    // The socket is open, and holds nothing up.
    expect((await visitor.post(url)).status).toBe(303);
    const answer = firstMessage(ws);
    ws.send('more');
    expect(await answer).toBe('done');
    expect(JSON.parse((await visitor.get(url)).body)).toEqual({ count: 12 });
    ws.close();
  });

  it('gives a visitor without a session an empty one', async () => {
    const { dial } = await listening(instance(), (ws, session) => { ws.send(JSON.stringify({ ...session, isNew: session.isNew })); });
    const ws = dial();
    expect(await firstMessage(ws)).toBe('{"isNew":true}');
    ws.close();
  });

  it('refuses every change, since no end of a response would store it', async () => {
    const refused: string[] = [];
    const { url, dial } = await listening(instance(), (ws, session, req) => {
      const visitor = (req as SessionRequest).session;
      for (const change of [() => { session.count = 5; }, () => { delete session.count; }, () => { visitor.count = 6; }]) {
        try {
          change();
        } catch (error) {
          refused.push(String(Reflect.get(error as Error, 'code')));
        }
      }
      const methods = [visitor.save(), visitor.regenerate(), visitor.release()];
      void Promise.allSettled(methods).then((results) => { ws.send(results.map(({ status }) => status).join()); });
    });
    const visitor = new Visitor();
    await visitor.post(url);
    const ws = dial(`sid=${visitor.cookies.get('sid') ?? ''}`);
    expect(await firstMessage(ws)).toBe('rejected,rejected,fulfilled');
    expect(refused).toEqual(Array.from({ length: 3 }, () => 'CLUSTER_SESSION_ENDED'));
    expect(JSON.parse((await visitor.get(url)).body)).toEqual({ count: 1 });
    ws.close();
  });

  it('may end the session all the same', async () => {
    const { url, dial } = await listening(instance(), (ws, _session, req) => {
      void (req as SessionRequest).session.destroy().then(() => { ws.send('out'); });
    });
    const visitor = new Visitor();
    await visitor.post(url);
    const ws = dial(`sid=${visitor.cookies.get('sid') ?? ''}`);
    expect(await firstMessage(ws)).toBe('out');
    expect((await visitor.get(url)).body).toBe('{}');
    ws.close();
  });

  it('answers 503 and ends the connection when the store is down', async () => {
    const store = new SwitchStore();
    const { url, dial, found } = await listening(one({ store, storeTimeoutMs: 30, lockTimeoutMs: 30 }), () => undefined);
    const visitor = new Visitor();
    await visitor.post(url);
    store.cutOff();
    const ws = dial(`sid=${visitor.cookies.get('sid') ?? ''}`);
    const refused = await new Promise<{ status: number | undefined; retry: string | undefined; closed: boolean }>((resolve) => {
      ws.on('error', () => undefined);
      ws.on('unexpected-response', (_req, res) => {
        res.resume().on('end', () => {
          res.socket.on('close', () => { resolve({ status: res.statusCode, retry: res.headers['retry-after'], closed: true }); });
        });
      });
    });
    expect(refused).toEqual({ status: 503, retry: '1', closed: true });
    expect(found).toEqual([undefined]);
  });

  it('is undefined when the connection has failed meanwhile, and the process lives on', async () => {
    const store = new SwitchStore();
    const { url, dial, found } = await listening(one({ store }), () => undefined);
    const visitor = new Visitor();
    await visitor.post(url);
    const asked = deferred();
    const go = deferred();
    store.map.before = (method, key) => {
      if (method !== 'get' || !key.includes('.s.')) return undefined;
      asked.resolve();
      return go.promise;
    };
    const upgraded = deferred<Duplex>();
    servers[0]?.on('upgrade', (_req, socket: Duplex) => { upgraded.resolve(socket); });
    const ws = dial(`sid=${visitor.cookies.get('sid') ?? ''}`).on('error', () => undefined);
    const socket = await upgraded.promise;
    await asked.promise;
    socket.destroy(new Error('read ECONNRESET'));
    await new Promise((resolve) => { socket.on('close', resolve); });
    go.resolve();
    ws.terminate();
    await until(() => found.length === 1);
    expect(found).toEqual([undefined]);
  });
});

describe('an upgrade through the middleware', () => {
  it.each([['auto', 'GET'], ['exclusive', 'GET'], ['auto', 'POST']] as const)('access %s and %s: a snapshot, which locks nothing', async (access, method) => {
    const sessions = instance({ access });
    const { post, id, content } = await site({ put }, sessions);
    await post('put');
    const req = new IncomingMessage(new Socket());
    Object.assign(req, { method, url: '/socket' }).headers.cookie = `sid=${id()}`;
    // As engine.io does: what it passes has methods of a response, and is none.
    const stub = Object.assign(JSON.parse('{}') as ServerResponse, { setHeader: () => undefined, writeHead: () => undefined, end: () => undefined });
    const error = await new Promise((resolve) => { sessions(req, stub, resolve); });
    expect([error, Reflect.get(req, 'session')]).toEqual([undefined, expect.objectContaining({ user: 'ada' })]);
    expect(sessions.health().running).toBe(0);
    expect(await content()).toMatchObject({ user: 'ada' });
  });
});

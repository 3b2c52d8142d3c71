import { AsyncLocalStorage } from 'node:async_hooks';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { hosts, instance, stopAll } from './support/cluster.js';
import { closeAll, raw, serve, Visitor } from './support/servers.js';

afterEach(async () => {
  await closeAll();
  await stopAll();
});

const names = Object.keys(hosts).map((name) => [name] as const);

describe.each(names)('under %s', (name) => {
  it('a handler that updates the session of its own request does not wait for itself', async () => {
    const sessions = instance({ lockTimeoutMs: 300 });
    const { manager } = sessions;
    const { url } = await serve(hosts[name]?.(sessions, async (req, res) => {
      if (req.method === 'POST' && req.session.count !== undefined) {
        req.session.count += 1;
        await manager.update(req.session.id, (session) => { session.count = (session.count ?? 0) + 1; });
        req.session.count += 1;
      } else if (req.method === 'POST') {
        req.session.count = 0;
      }
      res.end(JSON.stringify(req.session));
    }) ?? (() => undefined));
    const visitor = new Visitor();
    await visitor.post(url);
    expect((await visitor.post(url)).body).toBe('{"count":3}');
    expect((await visitor.get(url)).body).toBe('{"count":3}');
    expect(manager.health()).toMatchObject({ running: 0, waiting: 0 });
  });

  it.each([[true, 'OK'], [false, 'CLUSTER_LOCKED']])('reentrant: %s notes no context unless it is true; an update inside: %s', async (reentrant, outcome) => {
    const noted = jest.spyOn(AsyncLocalStorage.prototype, 'enterWith');
    const sessions = instance({ lockTimeoutMs: 50, reentrant });
    const { url } = await serve(hosts[name]?.(sessions, async (req, res) => {
      const isSecond = req.session.count !== undefined;
      req.session.count = (req.session.count ?? 0) + 1;
      // Before the update, whose own work may note one.
      const contexts = noted.mock.calls.length > 0;
      // What is not a ClusterError shows as undefined.
      const told = isSecond ? await sessions.manager.update(req.session.id, () => 'OK').catch((error: unknown) => (error as { code: string }).code) : 'first';
      res.end(`${told} ${contexts}`);
    }) ?? (() => undefined));
    const visitor = new Visitor();
    await visitor.post(url);
    expect((await visitor.post(url)).body).toBe(`${outcome} ${reentrant}`);
    expect(sessions.manager.health()).toMatchObject({ running: 0, waiting: 0 });
    noted.mockRestore();
  });

  it('nor does one that got the session by save() or regenerate(): a GET, and the first request of a visitor', async () => {
    const sessions = instance({ lockTimeoutMs: 300 });
    const { manager } = sessions;
    const { url } = await serve(hosts[name]?.(sessions, async (req, res) => {
      if (req.url === '/new-id') await req.session.regenerate({ keep: true });
      req.session.count = (req.session.count ?? 0) + 1;
      if (req.url !== '/new-id') await req.session.save();
      await manager.update(req.session.id, (session) => { session.count = (session.count ?? 0) + 1; });
      req.session.count += 1;
      res.end(JSON.stringify(req.session));
    }) ?? (() => undefined));
    const visitor = new Visitor();
    expect((await visitor.get(url)).body).toBe('{"count":3}');
    expect((await visitor.get(url)).body).toBe('{"count":6}');
    expect((await visitor.get(`${url}/new-id`)).body).toBe('{"count":9}');
    expect((await visitor.get(url)).body).toBe('{"count":12}');
    expect(manager.health()).toMatchObject({ running: 0, waiting: 0 });
  });

  it('a find inside of a handler that is never sent ends with the response', async () => {
    const sessions = instance({ lockTimeoutMs: 300, affinity: 'keep' });
    const { url } = await serve(hosts[name]?.(sessions, async (req, res) => {
      req.session.count = (req.session.count ?? 0) + 1;
      if (req.url === '/forgets') await sessions.manager.findSession(req.session.id);
      res.end(String(req.session.count));
    }) ?? (() => undefined));
    const visitor = new Visitor();
    await visitor.post(url);
    await visitor.post(`${url}/forgets`);
    expect(await visitor.post(url)).toMatchObject({ status: 200, body: '3' });
    expect(sessions.health().running).toBe(0);
  });

  it('pipelined requests do not share a handle, also where the session is here already', async () => {
    const { port, url } = await serve(hosts[name]?.(instance({ affinity: 'keep' }), async (req, res) => {
      const before = req.session.count ?? 0;
      await new Promise((resolve) => { setTimeout(resolve, 5); });
      req.session.count = before + 1;
      res.end(String(req.session.count));
    }) ?? (() => undefined));
    const visitor = new Visitor();
    await visitor.post(url);
    const cookie = [...visitor.cookies].map((pair) => pair.join('=')).join('; ');
    const line = (last = '') => `POST / HTTP/1.1\r\nHost: a\r\nCookie: ${cookie}\r\nContent-Length: 0\r\n${last}\r\n`;
    await raw(port, line() + line() + line('Connection: close\r\n'));
    expect((await visitor.post(url)).body).toBe('5');
  });

  it('a GET pipelined behind a POST does not come back to the handle of that', async () => {
    const sessions = instance({ lockTimeoutMs: 1000, affinity: 'keep' });
    const { url, port } = await serve(hosts[name]?.(sessions, async (req, res) => {
      if (req.method === 'GET') {
        await sessions.manager.update(req.session.id, async (s) => {
          const before = s.count ?? 0;
          await new Promise((r) => { setTimeout(r, 20); });
          s.count = before + 1;
        });
        res.end('got');
        return;
      }
      const before = req.session.count ?? 0;
      await new Promise((r) => { setTimeout(r, 10); });
      req.session.count = before + 1;
      res.end(String(req.session.count));
    }) ?? (() => undefined));
    const visitor = new Visitor();
    await visitor.post(url);
    const cookie = [...visitor.cookies].map((pair) => pair.join('=')).join('; ');
    const line = (method: string, last = '') => `${method} / HTTP/1.1\r\nHost: a\r\nCookie: ${cookie}\r\nContent-Length: 0\r\n${last}\r\n`;
    await raw(port, line('POST') + line('GET', 'Connection: close\r\n'));
    expect((await visitor.post(url)).body).toBe('4');
  });
});

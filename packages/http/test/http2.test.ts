import { createReadStream } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { constants, createSecureServer, createServer, type Http2ServerResponse } from 'node:http2';
import { request, type RequestOptions } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { ConnectionOptions } from 'node:tls';
import { afterEach, describe, expect, it } from '@jest/globals';
import { MemoryStore } from '@cluster/core';
import { Clock } from '@cluster/core/driver';
import { LEFT_GRACE_MS } from '../src/turn.js';
import { certificate } from './support/certificate.js';
import { instance, instances, one, stopAll, SwitchStore, warningsOf, type Handler } from './support/cluster.js';
import { counter, until } from './support/counter.js';
import { asHandler, Client, closeHttp2, listening, serve2 } from './support/http2.js';
import { deferred } from './support/servers.js';

afterEach(async () => {
  await closeHttp2();
  await stopAll();
});

const count: Handler = (req, res) => {
  req.session.count = (req.session.count ?? 0) + 1;
  res.end(String(req.session.count));
};

describe('a session over HTTP/2', () => {
  it('is begun, changed and read; a redirect leaves after the change is stored', async () => {
    const [here, there] = instances();
    const [one, other] = [await serve2(here, counter), await serve2(there, counter)];
    const client = new Client(one);
    const first = await client.ask('POST');
    expect(first).toMatchObject({ status: 303, headers: { location: '/', 'cache-control': 'private', 'set-cookie': [expect.stringMatching(/^sid=[\w-]{32}; Path=\/; HttpOnly; SameSite=Lax$/)] } });
    const elsewhere = new Client(other);
    elsewhere.cookie = client.cookie;
    expect((await elsewhere.ask('GET')).body).toBe('{"count":1}');
    expect((await elsewhere.ask('POST')).headers).not.toHaveProperty('set-cookie');
    expect((await client.ask('GET')).body).toBe('{"count":2}');
    await client.ask('POST', '/login');
    expect((await client.ask('GET')).body).toBe('{"user":"ada"}');
    expect((await client.ask('POST', '/logout')).headers['set-cookie']).toEqual([expect.stringMatching(/^sid=; Max-Age=0/)]);
  });

  it('loses none of the changes of streams that run at once on one connection', async () => {
    const client = new Client(await serve2(instance(), count));
    await client.ask('POST');
    const replies = await Promise.all(Array.from({ length: 30 }, () => client.ask('POST')));
    expect(replies.map(({ body }) => Number(body)).sort((a, b) => a - b)).toEqual(Array.from({ length: 30 }, (_, index) => index + 2));
  });

  it('that cannot be looked up, or changed: 503, without a warning of node about the words of a status', async () => {
    const store = new SwitchStore();
    const client = new Client(await serve2(one({ store, storeTimeoutMs: 30, lockTimeoutMs: 30 }), async (req, res) => {
      if (req.url === '/cut') store.cutOff();
      await count(req, res);
    }));
    await client.ask('POST');
    const warnings = await warningsOf(async () => {
      // Whether the change of the first is stored is unknown, so it is not to be repeated.
      for (const [path, retryAfter] of [['/cut', undefined], ['/', '1']] as const) {
        const reply = await client.ask('POST', path);
        expect(reply).toMatchObject({ status: 503, body: 'Service Unavailable\n', headers: { 'cache-control': 'no-store' } });
        expect(reply.headers['retry-after']).toBe(retryAfter);
      }
    });
    // Ours says why it is a 503.
    expect(warnings).toEqual(['CLUSTER_HTTP_STORE_FAILED']);
  });

  it('HEAD, 204 and 304 have no body and carry the cookie', async () => {
    const port = await serve2(instance(), (req, res) => {
      req.session.count = 1;
      res.writeHead(Number(req.url?.slice(1))).end(req.method === 'HEAD' ? 'body' : undefined);
    });
    for (const [method, status] of [['HEAD', 200], ['GET', 204], ['GET', 304]] as const) {
      const reply = await new Client(port).ask(method, `/${status}`);
      expect(reply).toMatchObject({ status, body: '' });
      expect(reply.headers['set-cookie']).toHaveLength(1);
    }
  });
});

describe('while a response is held', () => {
  /** What the handler sees after its end, before the store has answered. */
  async function whileHeld(look: (res: Http2ServerResponse) => void) {
    const store = new SwitchStore();
    const go = deferred();
    const held = deferred();
    const sessions = one({ store });
    const port = await listening(createServer((req, res) => {
      void sessions.open(req, res).then((session) => {
        if (session === undefined) return;
        session.count = 1;
        store.map.before = (method, key) => { if (method === 'put' && key.includes('.s.')) { held.resolve(); return go.promise; } return undefined; };
        res.writeHead(201, { 'X-A': 'a' });
        res.end('made');
        look(res);
      });
    }));
    const reply = new Client(port).ask('POST');
    await held.promise;
    go.resolve();
    return reply;
  }

  it('it looks as it will be, and takes no second head', async () => {
    const seen: unknown[] = [];
    const reply = await whileHeld((res) => {
      seen.push(res.headersSent, res.writableEnded, res.statusCode);
      expect(() => res.writeHead(500)).toThrow(expect.objectContaining({ code: 'ERR_HTTP_HEADERS_SENT' }));
      res.on('finish', () => { seen.push(res.headersSent); });
    });
    expect(reply).toMatchObject({ status: 201, body: 'made', headers: { 'x-a': 'a' } });
    expect(seen).toEqual([true, true, 201, true]);
  });

  it('early hints and pushes pass at once; trailers follow', async () => {
    const store = new SwitchStore();
    const sessions = one({ store });
    const go = deferred();
    const port = await listening(createServer((req, res) => {
      void sessions.open(req, res).then((session) => {
        if (session === undefined) return;
        res.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' });
        session.count = 1;
        store.map.before = (method, key) => (method === 'put' && key.includes('.s.') ? go.promise : undefined);
        res.createPushResponse({ ':path': '/style.css' }, (error, push) => { expect(error).toBeNull(); push.end('pushed'); });
        res.addTrailers({ 'x-sum': '7' });
        res.end('page');
      });
    }));
    const client = new Client(port);
    const pushed = deferred<string>();
    client.session.on('stream', (stream) => { stream.setEncoding('utf8').on('data', (text: string) => { pushed.resolve(text); }); });
    const stream = client.stream('GET');
    const reply = client.replyOf(stream);
    expect(await pushed.promise).toBe('pushed');
    go.resolve();
    expect(await reply).toMatchObject({ status: 200, body: 'page', early: [{ ':status': 103 }], trailers: { 'x-sum': '7' }, headers: { 'set-cookie': [expect.stringMatching(/^sid=/)] } });
  });
});

describe('a stream that the client resets', () => {
  const reset = (stream: { close: (code: number) => void }) => { stream.close(constants.NGHTTP2_CANCEL); };

  async function locked() {
    const clock = Clock.manual();
    const sessions = one({ store: new MemoryStore({ clock }), clock });
    const inside = deferred();
    const go = deferred();
    let ran = 0;
    const closed: string[] = [];
    const server = createServer((req, res) => {
      res.on('close', () => { closed.push(req.url); });
      const parsed = req.url === '/late' ? go.promise : Promise.resolve();
      void parsed.then(() => sessions.open(req, res)).then(async (session) => {
        if (session === undefined) return;
        ran += 1;
        session.count = (session.count ?? 0) + 1;
        if (req.url === '/hung') { inside.resolve(); return; }
        if (req.url === '/slow') { inside.resolve(); await go.promise; }
        res.end();
      });
    });
    const client = new Client(await listening(server));
    await client.ask('POST');
    return { client, clock, sessions, inside, go, ran: () => ran, closed };
  }

  it('while it waits: gives its place up, and its handler does not run', async () => {
    const { client, sessions, inside, go, ran, closed } = await locked();
    const slow = client.ask('POST', '/slow');
    await inside.promise;
    const waiting = client.stream('POST', '/waits').on('error', () => undefined);
    waiting.end();
    await until(() => sessions.health().waiting === 1);
    reset(waiting);
    await until(() => closed.includes('/waits'));
    await until(() => sessions.health().waiting === 0);
    go.resolve();
    await slow;
    expect(ran()).toBe(2);
    expect((await client.ask('POST')).status).toBe(200);
  });

  it('while its handler runs and does not end: the session is given on after 5 s', async () => {
    const { client, clock, sessions, inside, closed } = await locked();
    const hung = client.stream('POST', '/hung').on('error', () => undefined);
    hung.end();
    await inside.promise;
    const next = client.ask('POST', '/next');
    await until(() => sessions.health().waiting === 1);
    reset(hung);
    await until(() => closed.includes('/hung'));
    await clock.advance(LEFT_GRACE_MS - 1);
    expect(sessions.health().waiting).toBe(1);
    await clock.advance(1);
    expect((await next).status).toBe(200);
  });

  it('while its handler runs, which ends in time: what it changed is stored', async () => {
    const { client, inside, go, closed, sessions } = await locked();
    const slow = client.stream('POST', '/slow').on('error', () => undefined);
    slow.end();
    await inside.promise;
    reset(slow);
    await until(() => closed.includes('/slow'));
    go.resolve();
    await until(() => sessions.health().running === 0);
    expect(await sessions.manager.update(client.cookie?.slice(4) ?? '', ({ count }) => count)).toBe(2);
  });

  it('before its session is asked for: nothing is locked', async () => {
    const { client, sessions, go, ran, closed } = await locked();
    const late = client.stream('POST', '/late').on('error', () => undefined);
    late.end();
    await until(() => sessions.health().status === 'up');
    await new Promise((resolve) => { setImmediate(resolve); });
    reset(late);
    await until(() => closed.includes('/late'));
    go.resolve();
    expect((await client.ask('POST', '/next')).status).toBe(200);
    expect([ran(), sessions.health().running]).toEqual([2, 0]);
  });

  it('or whose connection breaks while the change is stored: it is stored, and nothing else happens', async () => {
    const store = new SwitchStore();
    const sessions = one({ store });
    const port = await serve2(sessions, count);
    const client = new Client(port);
    await client.ask('POST');
    const held = deferred();
    const go = deferred();
    store.map.before = (method, key) => { if (method === 'put' && key.includes('.s.')) { held.resolve(); return go.promise; } return undefined; };
    const warnings = await warningsOf(async () => {
      const broken = client.ask('POST').catch((error: unknown) => error);
      // A new session, so that there is a cookie to be written on a connection that is not there any more.
      const begun = new Client(port);
      const lost = begun.ask('POST').catch((error: unknown) => error);
      await held.promise;
      client.session.destroy();
      begun.session.destroy();
      await Promise.all([broken, lost]);
      go.resolve();
      await until(() => sessions.health().running === 0);
    });
    expect(warnings).toEqual([]);
    const again = new Client(port);
    again.cookie = client.cookie;
    expect((await again.ask('POST')).body).toBe('3');
  });
});

describe('a large body', () => {
  it('is piped with back-pressure, and the session is free from the first byte on', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'cluster-http2-'));
    try {
      const file = join(folder, 'large');
      await writeFile(file, Buffer.alloc(16_000_000, 'abcdefgh'));
      const source = createReadStream(file);
      const port = await serve2(instance(), (req, res) => {
        req.session.count = (req.session.count ?? 0) + 1;
        if (req.url === '/large') return pipeline(source, res);
        return res.end(String(req.session.count));
      });
      const client = new Client(port);
      await client.ask('POST');
      const stream = client.stream('POST', '/large');
      stream.end();
      await new Promise((resolve) => { stream.once('response', resolve); });
      // Nobody reads the stream yet; another one of the same session is answered all the same.
      expect((await client.ask('POST')).body).toBe('3');
      expect(source.bytesRead).toBeLessThan(4_000_000);
      let bytes = 0;
      for await (const chunk of stream) bytes += (chunk as Buffer).length;
      expect(bytes).toBe(16_000_000);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('over TLS', () => {
  it('the cookie is Secure, over HTTP/2 and over the HTTP/1.1 of the same server', async () => {
    const tls = await certificate();
    const server = createSecureServer({ ...tls.server, allowHTTP1: true }, asHandler(instance(), count));
    const port = await listening(server);
    const client = new Client(port, tls.client, 'https');
    expect((await client.ask('POST')).headers['set-cookie']).toEqual([expect.stringMatching(/; Secure;/)]);
    expect((await client.ask('POST')).body).toBe('2');
    const lines = await new Promise((resolve, reject) => {
      const http1: RequestOptions & ConnectionOptions = { port, host: '127.0.0.1', method: 'POST', agent: false, ALPNProtocols: ['http/1.1'], ...tls.client };
      request(http1, (res) => {
        res.resume().on('end', () => { resolve([res.httpVersion, res.headers['set-cookie']]); });
      }).on('error', reject).end();
    });
    expect(lines).toEqual(['1.1', [expect.stringMatching(/; Secure;/)]]);
  });
});

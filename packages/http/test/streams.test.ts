import { createReadStream } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { Agent, createServer, request, type IncomingMessage, type OutgoingHttpHeaders, type RequestOptions } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { afterEach, describe, expect, it } from '@jest/globals';
import { MemoryStore } from '@cluster/core';
import { Clock } from '@cluster/core/driver';
import type { SessionMiddleware } from '@cluster/http';
import { LEFT_GRACE_MS } from '../src/turn.js';
import { hosts, instance, one, stopAll, SwitchStore, warningsOf, type Handler, type SessionRequest } from './support/cluster.js';
import { until } from './support/counter.js';
import { ask, closeAll, deferred, raw, serve, Visitor } from './support/servers.js';

afterEach(async () => {
  await closeAll();
  await stopAll();
});

const open = (sessions: SessionMiddleware, handler: Handler) => serve(hosts['node:http']?.(sessions, handler) ?? (() => undefined));

const count: Handler = (req, res) => {
  req.session.count = (req.session.count ?? 0) + 1;
  res.end(String(req.session.count));
};

/** A visitor with a session, and what it takes to ask by hand. */
async function visiting(sessions: SessionMiddleware, handler: Handler) {
  const { url, port, server } = await open(sessions, handler);
  const visitor = new Visitor();
  await visitor.post(url);
  const id = visitor.cookies.get('sid') ?? '';
  return { url, port, server, visitor, id, cookie: `sid=${id}` };
}

/** A request whose response is read by the test. */
function asking(url: string, options: RequestOptions & { headers?: OutgoingHttpHeaders }, body = ''): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => { request(url, { agent: false, ...options }, resolve).on('error', reject).end(body); });
}

const codeOf = (change: () => unknown): unknown => {
  try {
    change();
    return 'done';
  } catch (error) {
    return Reflect.get(error as Error, 'code');
  }
};

describe('a streamed response', () => {
  it('of a large file: the session is stored and free from the first byte on, and back-pressure reaches the file', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'cluster-streams-'));
    try {
      const file = join(folder, 'large');
      const size = 64_000_000;
      await writeFile(file, Buffer.alloc(size, 'abcdefgh'));
      const source = createReadStream(file);
      let late: unknown;
      const { url, visitor, cookie } = await visiting(instance(), async (req, res) => {
        if (req.url !== '/large') return count(req, res);
        req.session.count = 10;
        const piped = pipeline(source, res);
        source.once('data', () => { setImmediate(() => { late = codeOf(() => { req.session.count = 99; }); }); });
        return piped;
      });
      const res = await asking(`${url}/large`, { method: 'POST', headers: { cookie } });
      expect((await visitor.post(url)).body).toBe('11');
      expect(late).toBe('CLUSTER_SESSION_ENDED');
      expect(source.bytesRead).toBeLessThan(size / 2);
      let bytes = 0;
      for await (const chunk of res) bytes += (chunk as Buffer).length;
      expect(bytes).toBe(size);
      expect((await visitor.get(url)).body).toBe('12');
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('is stored by the first write, and what is written meanwhile follows in its order', async () => {
    const store = new SwitchStore();
    const held = deferred();
    const go = deferred();
    const { url, cookie, visitor } = await visiting(one({ store }), (req, res) => {
      if (req.url !== '/parts') return count(req, res);
      req.session.count = 5;
      store.map.before = (method, key) => { if (method === 'put' && key.includes('.s.')) { held.resolve(); return go.promise; } return undefined; };
      res.write('a');
      const code = codeOf(() => { req.session.count = 6; });
      res.write('b');
      return res.end(String(code));
    });
    const reply = ask(`${url}/parts`, { method: 'POST', headers: { cookie } });
    await held.promise;
    go.resolve();
    expect((await reply).body).toBe('abCLUSTER_SESSION_ENDED');
    expect((await visitor.post(url)).body).toBe('6');
  });

  it('of events: flushHeaders alone releases the session, and update changes it inside the stream', async () => {
    const sessions = instance();
    const next = deferred();
    const { url, visitor, cookie } = await visiting(sessions, async (req, res) => {
      if (req.url !== '/events') return count(req, res);
      const { id } = req.session;
      req.session.count = 20;
      res.setHeader('Content-Type', 'text/event-stream').flushHeaders();
      await next.promise;
      const now = await sessions.manager.update(id, (session) => { session.count = (session.count ?? 0) + 100; return session.count; });
      return res.end(`data: ${now}\n\n`);
    });
    const res = await asking(`${url}/events`, { method: 'POST', headers: { cookie } });
    expect(sessions.health().running).toBe(0);
    expect((await visitor.post(url)).body).toBe('21');
    next.resolve();
    expect(await text(res)).toBe('data: 121\n\n');
    expect((await visitor.post(url)).body).toBe('122');
  });

  it('has begun, so a new id could not be told: regenerate is refused, for a new session too', async () => {
    const codes: unknown[] = [];
    const { url } = await open(instance(), async (req, res) => {
      res.write('begun');
      await req.session.regenerate().catch((error: unknown) => { codes.push(Reflect.get(error as Error, 'code')); });
      res.end();
    });
    await ask(url, { method: 'POST' });
    expect(codes).toEqual(['CLUSTER_SESSION_ENDED']);
  });

  it('has ended, so nobody would hear that a logout after it failed: a warning tells', async () => {
    const store = new SwitchStore();
    const { url, cookie } = await visiting(one({ store, storeTimeoutMs: 30, lockTimeoutMs: 30 }), (req, res) => {
      if (req.url !== '/logout') return count(req, res);
      res.end('bye');
      store.cutOff();
      req.session = null;
      return undefined;
    });
    expect(await warningsOf(async (given) => {
      expect((await ask(`${url}/logout`, { headers: { cookie } })).body).toBe('bye');
      await until(() => given.length > 0);
    })).toEqual(['CLUSTER_UNKNOWN_OUTCOME']);
  });

  it.each(['changed', 'not looked at'])('whose session is asked for after its headers have left, and %s: nothing stays locked', async (what) => {
    const sessions = instance();
    const { url, cookie } = await visiting(sessions, count);
    const early = await serve((req, res) => {
      res.write('begun ');
      sessions(req, res, () => { res.end(what === 'changed' ? codeOf(() => { (req as SessionRequest).session.count = 9; }) : what); });
    });
    const body = `begun ${what === 'changed' ? 'CLUSTER_SESSION_ENDED' : what}`;
    for (let time = 0; time < 2; time += 1) expect((await ask(early.url, { method: 'POST', headers: { cookie } })).body).toBe(body);
    expect(sessions.health().running).toBe(0);
    expect((await ask(url, { method: 'POST', headers: { cookie } })).body).toBe('2');
  });
});

describe('informational responses', () => {
  it('early hints leave at once; the session may be changed after them, and the cookie comes', async () => {
    const { url } = await open(instance(), (req, res) => {
      res.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' });
      req.session.count = 1;
      res.end('page');
    });
    const reply = await ask(url, { method: 'POST' });
    expect(reply).toMatchObject({ status: 200, body: 'page', informational: [103], early: [{ link: '</style.css>; rel=preload; as=style' }] });
    expect(reply.headers['set-cookie']).toHaveLength(1);
  });

  it('a body that is asked for with 100-continue, or refused, by what the session says', async () => {
    const sessions = instance();
    const server = createServer();
    server.on('request', (req, res) => { void sessions.open(req, res).then((session) => session && count(req as SessionRequest, res)); });
    server.on('checkContinue', (req, res) => {
      void sessions.open(req, res).then(async (session) => {
        if (session?.count === undefined) {
          res.writeHead(401).end();
          return;
        }
        res.writeContinue();
        session.note = await text(req);
        res.end('stored');
      });
    });
    const { url } = await serve((req, res) => { server.emit('request', req, res); });
    const behind = await serve(() => undefined);
    behind.server.on('checkContinue', (req, res) => { server.emit('checkContinue', req, res); });
    const visitor = new Visitor();
    await visitor.post(url);
    const upload = (cookie: string) => new Promise<{ status: number | undefined; asked: boolean }>((resolve, reject) => {
      let asked = false;
      const req = request(behind.url, { method: 'POST', agent: false, headers: { cookie, expect: '100-continue', 'content-length': 4 } });
      req.on('continue', () => { asked = true; req.end('note'); });
      req.on('response', (res) => { res.resume().on('end', () => { resolve({ status: res.statusCode, asked }); req.destroy(); }); });
      req.on('error', reject).flushHeaders();
    });
    expect(await upload('sid=none')).toEqual({ status: 401, asked: false });
    expect(await upload(`sid=${visitor.cookies.get('sid') ?? ''}`)).toEqual({ status: 200, asked: true });
    expect(await sessions.manager.update(visitor.cookies.get('sid') ?? '', ({ note }) => note)).toBe('note');
  });
});

describe('a response without a body', () => {
  it.each([['HEAD', 200], ['GET', 204], ['GET', 304], ['DELETE', 204]] as const)('%s %i: the change is stored and the cookie comes', async (method, status) => {
    const { url } = await open(instance(), (req, res) => {
      if (req.url === '/count') return res.end(String(req.session.count));
      req.session.count = 7;
      res.statusCode = status;
      return res.end();
    });
    const visitor = new Visitor();
    expect(await visitor.ask(url, { method })).toMatchObject({ status, body: '' });
    expect((await visitor.get(`${url}/count`)).body).toBe('7');
  });
});

describe('one connection', () => {
  it('pipelined requests of one session, in every mixture: each sees what stands before it, and the answers come in order', async () => {
    const { port, cookie, visitor, url } = await visiting(instance(), (req, res) => (req.method === 'POST' ? count(req, res) : res.end(`read ${req.session.count}`)));
    const line = (method: string, last = false) => `${method} / HTTP/1.1\r\nHost: a\r\nCookie: ${cookie}\r\nContent-Length: 0\r\n${last ? 'Connection: close\r\n' : ''}\r\n`;
    const bodiesOf = async (requests: string) => (await raw(port, requests)).split('HTTP/1.1 200 OK').slice(1).map((part) => part.split('\r\n\r\n')[1]);
    expect(await bodiesOf(line('POST') + line('POST') + line('POST') + line('POST', true))).toEqual(['2', '3', '4', '5']);
    // A GET waits for nobody: it sees the count before or after the POST beside it.
    expect(await bodiesOf(line('GET') + line('POST') + line('GET') + line('POST', true))).toEqual([
      expect.stringMatching(/^read [5-7]$/), '6', expect.stringMatching(/^read [5-7]$/), '7',
    ]);
    expect((await visitor.get(url)).body).toBe('read 7');
  });

  it('goes on after an error, also with a body that nobody has read', async () => {
    const store = new SwitchStore();
    const { url, server, cookie } = await visiting(one({ store, storeTimeoutMs: 30, lockTimeoutMs: 30 }), async (req, res) => {
      await text(req);
      return count(req, res);
    });
    let connections = 0;
    server.on('connection', () => { connections += 1; });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const post = async (body: string) => {
      const res = await asking(url, { method: 'POST', agent, headers: { cookie, 'content-length': body.length } }, body);
      return [res.statusCode, await text(res)];
    };
    const { before } = store.map;
    store.cutOff();
    for (let time = 0; time < 2; time += 1) expect(await post('x'.repeat(100_000))).toEqual([503, 'Service Unavailable\n']);
    store.map.before = before;
    expect(await post('x')).toEqual([200, '2']);
    expect(connections).toBe(1);
    agent.destroy();
  });

  it('a refused commit in a pipeline: the answers before and after it are the handlers\'', async () => {
    const { port, cookie } = await visiting(instance(), (req, res) => {
      if (req.url === '/bad') req.session.set('note', () => 'not to be encoded');
      return count(req, res);
    });
    const line = (path: string, last = false) => `POST ${path} HTTP/1.1\r\nHost: a\r\nCookie: ${cookie}\r\nContent-Length: 0\r\n${last ? 'Connection: close\r\n' : ''}\r\n`;
    const answer = await raw(port, line('/') + line('/bad') + line('/', true));
    expect([...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)).toEqual(['200', '500', '200']);
    expect(answer).toMatch(/\r\n\r\n3$/);
  });
});

describe('an upload that breaks off', () => {
  async function uploading(handler: Handler) {
    const clock = Clock.manual();
    const sessions = one({ store: new MemoryStore({ clock }), clock });
    const begun = deferred();
    const { port, cookie, visitor, url } = await visiting(sessions, (req, res) => {
      if (req.url !== '/upload') return count(req, res);
      req.session.note = 'upload';
      begun.resolve();
      return handler(req, res);
    });
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(`POST /upload HTTP/1.1\r\nHost: a\r\nCookie: ${cookie}\r\nContent-Length: 1000000\r\n\r\n${'x'.repeat(1_000)}`);
    await begun.promise;
    const next = visitor.post(url);
    await until(() => sessions.health().waiting === 1);
    socket.destroy();
    return { clock, next, sessions };
  }

  it('and whose handler ends then: the session is free at once', async () => {
    const { next } = await uploading(async (req, res) => {
      await text(req).catch(() => 'broken');
      res.end();
    });
    expect((await next).body).toBe('2');
  });

  it('and whose handler never ends: free after 5 s, and its change is dropped', async () => {
    let failed = false;
    const { next, clock, sessions } = await uploading((req) => { text(req).catch(() => { failed = true; }); });
    await until(() => failed);
    await clock.advance(LEFT_GRACE_MS);
    expect((await next).body).toBe('2');
    expect(sessions.health().running).toBe(0);
  });
});

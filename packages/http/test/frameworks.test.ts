import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import compression from 'compression';
import connect from 'connect';
import flash from 'connect-flash';
import express from 'express';
import express4 from 'express4';
import morgan from 'morgan';
import passport from 'passport';
import { ClusterError } from '@cluster/core';
import { instance, one, stopAll, SwitchStore } from './support/cluster.js';
import { ask, closeAll, serve, Visitor } from './support/servers.js';

declare global {
  // eslint-disable-next-line @typescript-eslint/no-namespace
  namespace Express { interface User { name: string } }
}

afterEach(async () => {
  await closeAll();
  await stopAll();
});

let folder = '';
const big = 'x'.repeat(200_000);
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'cluster-http-'));
  writeFileSync(join(folder, 'small.txt'), 'small');
  writeFileSync(join(folder, 'big.txt'), big);
});
afterAll(() => { rmSync(folder, { recursive: true }); });

const expresses: [string, typeof express][] = [['Express 5', express], ['Express 4', express4]];

describe.each(expresses)('%s', (_name, framework) => {
  const shop = () => {
    const app = framework();
    app.use(instance());
    app.post('/add', (req, res) => {
      req.session.count = (req.session.count ?? 0) + 1;
      res.redirect(303, '/count');
    });
    app.get('/count', (req, res) => { res.json({ count: req.session.count ?? 0 }); });
    return app;
  };

  it('redirect, json, sendStatus, send and status answer as without sessions', async () => {
    const app = shop();
    app.post('/status', (req, res) => { req.session.note = 'a'; res.sendStatus(202); });
    app.post('/send', (req, res) => { req.session.note = 'b'; res.status(201).send('<p>sent</p>'); });
    app.post('/cookie', (req, res) => { req.session.note = 'c'; res.cookie('theme', 'dark').type('txt').send('ok'); });
    const { url } = await serve(app);
    const visitor = new Visitor();
    expect(await visitor.post(`${url}/add`)).toMatchObject({ status: 303, headers: { location: '/count' } });
    expect(await visitor.get(`${url}/count`)).toMatchObject({ status: 200, body: '{"count":1}', headers: { 'content-type': 'application/json; charset=utf-8' } });
    expect(await visitor.post(`${url}/status`)).toMatchObject({ status: 202, body: 'Accepted' });
    expect(await visitor.post(`${url}/send`)).toMatchObject({ status: 201, body: '<p>sent</p>', headers: { 'content-length': '11' } });
    expect((await new Visitor().post(`${url}/cookie`)).headers['set-cookie']).toEqual(['theme=dark; Path=/', expect.stringMatching(/^sid=/)]);
  });

  it('an ETag that matches is answered with 304', async () => {
    const { url } = await serve(shop());
    const visitor = new Visitor();
    await visitor.post(`${url}/add`);
    const { headers } = await visitor.get(`${url}/count`);
    const again = await visitor.ask(`${url}/count`, { headers: { 'If-None-Match': headers.etag ?? '' } });
    expect(again).toMatchObject({ status: 304, body: '' });
  });

  it('sendFile, download and static files arrive whole, with the change before them', async () => {
    const app = shop();
    app.use('/files', (req, _res, next) => { req.session.note = 'file'; next(); }, framework.static(folder));
    app.get('/send/:name', (req, res) => { req.session.note = 'send'; res.sendFile(req.params.name, { root: folder }); });
    app.get('/download', (req, res) => { req.session.note = 'download'; res.download(join(folder, 'big.txt'), 'report.txt'); });
    const { url } = await serve(app);
    for (const path of ['files/big.txt', 'send/big.txt', 'download']) {
      const reply = await ask(`${url}/${path}`);
      expect(reply.status).toBe(200);
      expect(reply.body === big).toBe(true);
      expect(reply.headers['set-cookie']).toHaveLength(1);
    }
    expect((await ask(`${url}/download`)).headers['content-disposition']).toMatch(/^attachment; filename="?report\.txt"?$/);
    expect(await ask(`${url}/send/small.txt`, { headers: { Range: 'bytes=1-3' } })).toMatchObject({ status: 206, body: 'mal' });
    expect((await ask(`${url}/files/none.txt`)).status).toBe(404);
    expect(await ask(`${url}/files/big.txt`, { method: 'HEAD' })).toMatchObject({ status: 200, body: '', headers: { 'content-length': String(big.length) } });
  });

  it('an error of a handler is answered by the framework, before and after the first flush', async () => {
    const app = shop();
    app.post('/before', (req) => { req.session.note = 'kept'; throw Object.assign(new Error('teapot'), { status: 418 }); });
    app.post('/after', (req, res, next) => { req.session.note = 'kept'; res.write('begun'); next(new Error('too late')); });
    const { url } = await serve(app.set('env', 'test'));
    expect((await ask(`${url}/before`, { method: 'POST' })).status).toBe(418);
    await expect(ask(`${url}/after`, { method: 'POST' })).rejects.toThrow(/hang up|aborted|reset/);
  });

  it("a session that cannot be looked up goes to the application's error handler", async () => {
    const store = new SwitchStore();
    const app = framework();
    app.use(one({ store, storeTimeoutMs: 30, lockTimeoutMs: 30 }));
    app.post('/', (req, res) => { req.session.count = 1; res.end(); });
    app.use(((error, _req, res, next) => {
      if (res.headersSent) next(error);
      else res.status(503).send(ClusterError.is(error) ? error.code : 'other');
    }) as express.ErrorRequestHandler);
    const { url } = await serve(app);
    const visitor = new Visitor();
    await visitor.post(url);
    store.cutOff();
    expect(await visitor.get(url)).toMatchObject({ status: 503, body: 'CLUSTER_UNAVAILABLE' });
  });

  it('compression compresses before and after the session, and errors stay readable', async () => {
    for (const order of ['before', 'after']) {
      const store = new SwitchStore();
      const sessions = one({ store, storeTimeoutMs: 30, lockTimeoutMs: 30 });
      const app = framework();
      if (order === 'before') app.use(compression(), sessions);
      else app.use(sessions, compression());
      app.post('/big', (req, res) => { req.session.count = (req.session.count ?? 0) + 1; res.type('txt').send(big); });
      app.post('/stream', (req, res) => {
        req.session.count = (req.session.count ?? 0) + 1;
        res.type('txt');
        for (let part = 0; part < 20; part += 1) res.write(big.slice(0, 10_000));
        res.end();
      });
      app.post('/fail', (req, res) => { req.session.note = 'lost'; store.cutOff(); res.type('txt').send(big); });
      const { url } = await serve(app);
      const visitor = new Visitor();
      for (const path of ['big', 'stream']) {
        const reply = await visitorBytes(visitor, `${url}/${path}`);
        expect(reply.encoding).toBe('gzip');
        expect(gunzipSync(reply.bytes).toString() === big).toBe(true);
      }
      const failed = await visitorBytes(visitor, `${url}/fail`);
      expect(failed.status).toBe(503);
      expect((failed.encoding === 'gzip' ? gunzipSync(failed.bytes) : failed.bytes).toString()).toBe('Service Unavailable\n');
    }
  });

  it('morgan logs the status that left, before and after the session', async () => {
    for (const order of ['before', 'after']) {
      const store = new SwitchStore();
      const sessions = one({ store, storeTimeoutMs: 30, lockTimeoutMs: 30 });
      const lines: string[] = [];
      const log = morgan(':method :url :status :res[content-length]', { stream: { write: (line) => { lines.push(line.trim()); } } });
      const app = framework();
      if (order === 'before') app.use(log, sessions);
      else app.use(sessions, log);
      app.post('/ok', (req, res) => { req.session.count = 1; res.status(201).send('made'); });
      app.post('/fail', (req, res) => { req.session.note = 'x'; store.cutOff(); res.status(201).send('made'); });
      const { url } = await serve(app);
      await ask(`${url}/ok`, { method: 'POST' });
      await ask(`${url}/fail`, { method: 'POST' });
      while (lines.length < 2) await new Promise((resolve) => { setImmediate(resolve); });
      expect(lines).toEqual(['POST /ok 201 4', 'POST /fail 503 20']);
    }
  });

  it('passport logs in and out, each under a new id', async () => {
    const auth = new passport.Passport();
    auth.serializeUser((user, done) => { done(null, user.name); });
    auth.deserializeUser((name: string, done) => { done(null, { name }); });
    const app = shop();
    app.use(auth.initialize(), auth.session() as express.Handler);
    app.post('/login', (req, res, next) => { req.login({ name: 'ada' }, (error: unknown) => { if (error) next(error); else res.redirect('/me'); }); });
    app.post('/logout', (req, res, next) => { req.logout((error: unknown) => { if (error) next(error); else res.redirect('/me'); }); });
    app.post('/keep', (req, res, next) => { req.login({ name: 'grace' }, { keepSessionInfo: true, session: true }, (error: unknown) => { if (error) next(error); else res.redirect('/me'); }); });
    app.get('/me', (req, res) => { res.json([req.isAuthenticated(), req.user?.name ?? null, req.session.count ?? null]); });
    const { url } = await serve(app);
    const visitor = new Visitor();
    await visitor.post(`${url}/add`);
    const ids = [visitor.cookies.get('sid')];
    const me = async () => JSON.parse((await visitor.get(`${url}/me`)).body) as unknown;
    expect(await me()).toEqual([false, null, 1]);
    for (const [path, expected] of [['login', [true, 'ada', null]], ['logout', [false, null, null]]] as const) {
      expect((await visitor.post(`${url}/${path}`)).status).toBe(302);
      expect(await me()).toEqual(expected);
      ids.push(visitor.cookies.get('sid'));
    }
    await visitor.post(`${url}/add`);
    await visitor.post(`${url}/keep`);
    expect(await me()).toEqual([true, 'grace', 1]);
    expect(new Set(ids).size).toBe(3);
  });

  it('a double click on login ends logged in', async () => {
    const auth = new passport.Passport();
    auth.serializeUser((user, done) => { done(null, user.name); });
    auth.deserializeUser((name: string, done) => { done(null, { name }); });
    const app = shop();
    app.use(auth.initialize(), auth.session() as express.Handler);
    app.post('/login', (req, res, next) => { req.login({ name: 'ada' }, (error: unknown) => { if (error) next(error); else res.redirect('/me'); }); });
    app.get('/me', (req, res) => { res.json(req.user?.name ?? null); });
    const { url } = await serve(app);
    const visitor = new Visitor();
    await visitor.post(`${url}/add`);
    const replies = await Promise.all([visitor.post(`${url}/login`), visitor.post(`${url}/login`)]);
    expect(replies.map(({ status }) => status)).toEqual([302, 302]);
    // Browsers drop the first reply at the second click, so that each one has to do.
    for (const { headers } of replies) {
      const cookie = headers['set-cookie']?.[0]?.split(';')[0] ?? 'none';
      expect((await ask(`${url}/me`, { headers: { cookie } })).body).toBe('"ada"');
    }
    expect((await visitor.get(`${url}/me`)).body).toBe('"ada"');
  });

  it('connect-flash shows a message once, on the page after the redirect', async () => {
    const app = shop();
    app.use(flash());
    app.post('/buy', (req, res) => { req.flash('info', 'bought'); res.redirect('/page'); });
    app.get('/page', (req, res) => { res.json(req.flash('info')); });
    const { url } = await serve(app);
    const visitor = new Visitor();
    await visitor.post(`${url}/buy`);
    expect([(await visitor.get(`${url}/page`)).body, (await visitor.get(`${url}/page`)).body]).toEqual(['["bought"]', '[]']);
  });

  it('a GET that keeps a token for the next POST works, as csurf does', async () => {
    const app = shop();
    app.get('/form', (req, res) => { res.send(req.session.csrf ??= randomBytes(8).toString('hex')); });
    app.post('/form', framework.urlencoded({ extended: false }), (req, res) => {
      const { token } = req.body as { token?: string };
      res.sendStatus(token !== undefined && token === req.session.csrf ? 200 : 403);
    });
    const { url } = await serve(app);
    const visitor = new Visitor();
    const { body: token } = await visitor.get(`${url}/form`);
    expect((await visitor.post(`${url}/form`, `token=${token}`)).status).toBe(200);
    expect((await visitor.post(`${url}/form`, 'token=other')).status).toBe(403);
    expect((await visitor.get(`${url}/form`)).body).toBe(token);
  });

  it('a mounted application sees the same session', async () => {
    const app = shop();
    const sub = framework();
    sub.post('/add', (req, res) => { req.session.count = (req.session.count ?? 0) + 10; res.json(req.originalUrl); });
    app.use('/sub', sub);
    const { url } = await serve(app);
    const visitor = new Visitor();
    await visitor.post(`${url}/add`);
    await visitor.post(`${url}/sub/add`);
    expect((await visitor.get(`${url}/count`)).body).toBe('{"count":11}');
  });
});

/** A POST whose body is left as it came. */
function visitorBytes(visitor: Visitor, url: string) {
  const cookie = [...visitor.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  return new Promise<{ status: number | undefined; encoding: string | undefined; bytes: Buffer }>((resolve, reject) => {
    request(url, { method: 'POST', agent: false, headers: { 'Accept-Encoding': 'gzip', ...(cookie !== '' && { cookie }) } }, (res) => {
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => { chunks.push(chunk); });
      res.on('error', reject).on('end', () => {
        for (const line of res.headers['set-cookie'] ?? []) visitor.cookies.set('sid', line.slice(4, line.indexOf(';')));
        resolve({ status: res.statusCode, encoding: res.headers['content-encoding'], bytes: Buffer.concat(chunks) });
      });
    }).on('error', reject).end();
  });
}

describe('Connect', () => {
  it('hands a session that cannot be looked up to its error handling', async () => {
    const store = new SwitchStore();
    const app = connect().use(one({ store, storeTimeoutMs: 30, lockTimeoutMs: 30 })).use((req, res) => {
      (req as express.Request).session.count = 1;
      res.end('ok');
    });
    const { url } = await serve(app);
    const visitor = new Visitor();
    expect((await visitor.post(url)).body).toBe('ok');
    store.cutOff();
    const reply = await visitor.get(url);
    expect(reply).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
  });
});

describe('node:http', () => {
  it('with a promise: the session, or undefined when the request has been answered', async () => {
    const store = new SwitchStore();
    const sessions = one({ store, storeTimeoutMs: 30, lockTimeoutMs: 30 });
    const found: boolean[] = [];
    const { url } = await serve((req, res) => {
      void sessions.open(req, res).then((session) => {
        found.push(session !== undefined);
        if (session === undefined) return;
        session.count = (session.count ?? 0) + 1;
        res.end(String(session.count));
      });
    });
    const visitor = new Visitor();
    expect([(await visitor.post(url)).body, (await visitor.post(url)).body]).toEqual(['1', '2']);
    store.cutOff();
    expect(await visitor.post(url)).toMatchObject({ status: 503, headers: { 'retry-after': '1' }, body: 'Service Unavailable\n' });
    expect(found).toEqual([true, true, false]);
  });

  it('without a next, and a second time, it says what to do and does it once', async () => {
    const sessions = instance();
    const { url } = await serve((req, res) => {
      expect(() => { Reflect.apply(sessions, undefined, [req, res]); }).toThrow(/use `await sessions\.open\(req, res\)`/);
      void sessions.open(req, res).then((first) => sessions.open(req, res).then((second) => {
        res.end(String(first !== undefined && first === second));
      }));
    });
    expect((await ask(url)).body).toBe('true');
  });

  it('with next: the error is its argument', async () => {
    const store = new SwitchStore();
    const sessions = one({ store, storeTimeoutMs: 30, lockTimeoutMs: 30 });
    const { url } = await serve((req, res) => {
      sessions(req, res, (error) => { res.end(error === undefined ? 'found' : 'no session'); });
    });
    expect((await ask(url)).body).toBe('found');
    store.cutOff();
    expect((await ask(url, { headers: { cookie: `sid=${'a'.repeat(32)}` } })).body).toBe('no session');
  });
});

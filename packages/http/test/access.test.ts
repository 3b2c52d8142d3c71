import { afterEach, describe, expect, it } from '@jest/globals';
import { express5, instance, stopAll, warningsOf } from './support/cluster.js';
import { counter, until } from './support/counter.js';
import { ask, closeAll, deferred, serve, Visitor, type Reply } from './support/servers.js';

afterEach(async () => {
  await closeAll();
  await stopAll();
});

describe('access', () => {
  it("auto: POSTs wait for each other, GETs for nobody", async () => {
    const first = deferred();
    const inside: string[] = [];
    const { url } = await serve(express5(instance(), async (req, res) => {
      inside.push(`${req.method ?? ''} ${req.url ?? ''}`);
      if (req.url === '/slow') await first.promise;
      await counter(req, res);
    }));
    const visitor = new Visitor();
    await visitor.post(url);
    inside.length = 0;
    const slow = visitor.post(`${url}/slow`);
    await until(() => inside.length === 1);
    const second = visitor.post(`${url}/second`);
    for (const method of ['GET', 'HEAD']) expect((await visitor.ask(`${url}/read`, { method })).status).toBe(200);
    expect(inside).toEqual(['POST /slow', 'GET /read', 'HEAD /read']);
    first.resolve();
    await Promise.all([slow, second]);
    expect(inside.at(-1)).toBe('POST /second');
    expect((await visitor.get(url)).body).toBe('{"count":3}');
  });

  it.each([['a word', () => 'exclusiv', "found 'exclusiv'"], ['a promise', async () => 'exclusive', 'found Promise'], ['nothing', () => undefined, 'found undefined']])('refuses %s from the function, and shows it', async (_, access, found) => {
    let refused: unknown;
    // Such functions reach it from JavaScript.
    const sessions = instance({ access: access as () => 'auto' });
    const { url } = await serve((req, res) => { sessions(req, res, (error) => { refused = error; res.end(); }); });
    await ask(url, { headers: { cookie: `sid=${'u'.repeat(32)}` } });
    expect(refused).toMatchObject({ code: 'CLUSTER_BAD_OPTION', message: expect.stringContaining(found) });
  });

  it('OPTIONS has no session and leaves that of the cookie alone', async () => {
    const sessions = instance();
    const { url } = await serve(express5(sessions, (req, res) => {
      if (req.method === 'OPTIONS') req.session.user = 'nobody';
      return counter(req, res);
    }));
    const visitor = new Visitor();
    await visitor.post(url);
    const { storeCalls } = sessions.health();
    let reply: Reply | undefined;
    const warnings = await warningsOf(async () => { reply = await visitor.ask(url, { method: 'OPTIONS' }); });
    expect(reply).toMatchObject({ status: 200 });
    expect(reply).not.toHaveProperty('headers.set-cookie');
    expect(warnings).toEqual(['CLUSTER_HTTP_NOT_LOOKED_UP']);
    // Beats go on meanwhile; a look-up is one of these.
    const after = sessions.health().storeCalls;
    for (const call of ['acquire', 'read', 'create', 'commit']) expect(after[call]).toBe(storeCalls[call]);
    expect((await visitor.get(url)).body).toBe('{"count":1}');
  });

  it.each([
    ["'exclusive'", 'exclusive', 'LOCKED'],
    ["'snapshot'", 'snapshot', 'read'],
    ["a function's 'exclusive'", (): 'exclusive' => 'exclusive', 'LOCKED'],
    ["'shared'", 'shared', 'LOCKED'],
    ["a function's 'auto'", (): 'auto' => 'auto', 'read'],
  ] as const)('%s decides over a GET', async (_name, access, outcome) => {
    const go = deferred();
    const sessions = instance({ access, lockTimeoutMs: 30 });
    const { url } = await serve(express5(sessions, async (req, res) => {
      if (req.url === '/slow') await go.promise;
      await counter(req, res);
    }));
    const visitor = new Visitor();
    await visitor.post(url);
    const id = visitor.cookies.get('sid') ?? '';
    const holder = await sessions.manager.findSession(id);
    expect((await visitor.get(url)).status).toBe(outcome === 'LOCKED' ? 503 : 200);
    if (holder !== undefined) await sessions.manager.releaseSession(holder);
  });

  it("'shared' lets requests in at once, on one object, and each is answered when its change is stored", async () => {
    const go = deferred();
    const sessions = instance({ access: (req) => (req.method === 'POST' ? 'shared' : 'snapshot') });
    let inside = 0;
    const { url } = await serve(express5(sessions, async (req, res) => {
      if (req.method === 'POST' && req.session.count !== undefined) {
        inside += 1;
        if (inside === 3) go.resolve();
        await go.promise;
      }
      await counter(req, res);
    }));
    const visitor = new Visitor();
    await visitor.post(url);
    const answers = await Promise.all([visitor.post(url), visitor.post(url), visitor.post(url)]);
    expect(answers.map(({ status }) => status)).toEqual([303, 303, 303]);
    expect((await visitor.get(url)).body).toBe('{"count":4}');
  });

  it('anything else from the function is an error that names it', async () => {
    // What a JavaScript user may return.
    const sessions = instance({ access: (() => 'none') as never });
    const { url } = await serve(express5(sessions, counter));
    expect((await ask(url, { headers: { cookie: 'sid=x' } })).status).toBe(500);
  });

  it('a lock error names the method and path of who holds it, without the query', async () => {
    const go = deferred();
    const sessions = instance({ lockTimeoutMs: 30 });
    const { url } = await serve(express5(sessions, async (req, res) => {
      req.session.count = 1;
      if (req.url?.startsWith('/slow') === true) await go.promise;
      res.end();
    }));
    const visitor = new Visitor();
    await visitor.post(url);
    const slow = visitor.post(`${url}/slow?token=secret`);
    await until(() => sessions.health().running === 1);
    const refused: unknown = await sessions.manager.findSession(visitor.cookies.get('sid') ?? '').catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'CLUSTER_LOCKED' });
    expect(String(refused)).toMatch(/POST \/slow(?!\?)/);
    expect((await visitor.post(url))).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
    go.resolve();
    await slow;
  });

  it('a GET that changes something is stored, also beside a POST', async () => {
    const go = deferred();
    const inside = deferred();
    const { url } = await serve(express5(instance(), async (req, res) => {
      if (req.url === '/csrf') {
        req.session.csrf = 'token';
        inside.resolve();
        await go.promise;
        res.end();
      } else {
        await counter(req, res);
      }
    }));
    const visitor = new Visitor();
    await visitor.post(url);
    const get = visitor.get(`${url}/csrf`);
    await inside.promise;
    await visitor.post(url);
    go.resolve();
    expect((await get).status).toBe(200);
    expect(JSON.parse((await visitor.get(url)).body)).toEqual({ count: 2, csrf: 'token' });
  });
});

import { request } from 'node:http';
import { afterEach, describe, expect, it } from '@jest/globals';
import { DistributedManager, MemoryStore } from '@cluster/core';
import { Clock } from '@cluster/core/driver';
import { LEFT_GRACE_MS } from '../src/turn.js';
import { express5, hosts, instance, instances, one, stopAll, SwitchStore, warningsOf, type Handler } from './support/cluster.js';
import { ask, closeAll, deferred, serve, Visitor, type Reply } from './support/servers.js';

afterEach(async () => {
  await closeAll();
  await stopAll();
});

const until = async (holds: () => boolean) => {
  while (!holds()) await new Promise((resolve) => { setTimeout(resolve, 2); });
};

/** Counts up on POST, shows the count on GET, logs in and out. */
const counter: Handler = async (req, res) => {
  if (req.url === '/login') {
    await req.session.regenerate();
    req.session.user = 'ada';
    res.writeHead(303, { Location: '/' }).end();
  } else if (req.url === '/logout') {
    req.session = null;
    res.end('out');
  } else if (req.method === 'POST') {
    req.session.count = (req.session.count ?? 0) + 1;
    res.writeHead(303, { Location: '/' }).end();
  } else {
    res.end(JSON.stringify({ ...req.session }));
  }
};

describe.each(Object.entries(hosts))('%s', (_name, host) => {
  it('keeps what a visitor changed, on two instances', async () => {
    const [one, two] = instances();
    const a = await serve(host(one, counter));
    const b = await serve(host(two, counter));
    const visitor = new Visitor();
    expect((await visitor.get(`${a.url}/`)).body).toBe('{}');
    for (const { url } of [a, b, b, a]) {
      expect((await visitor.post(url)).status).toBe(303);
      expect((await visitor.get(`${(url === a.url ? b : a).url}/`)).status).toBe(200);
    }
    expect(JSON.parse((await visitor.get(b.url)).body)).toEqual({ count: 4 });
  });

  it('logs in under a new id and out for good', async () => {
    const { url } = await serve(host(instance(), counter));
    const visitor = new Visitor();
    await visitor.post(url);
    const before = visitor.cookies.get('sid');
    await visitor.post(`${url}/login`);
    expect(visitor.cookies.get('sid')).not.toBe(before);
    const after = visitor.cookies.get('sid');
    expect((await visitor.get(url)).body).toBe('{"user":"ada"}');
    const bye = await visitor.post(`${url}/logout`);
    expect(bye.headers['set-cookie']).toEqual([expect.stringMatching(/^sid=; Max-Age=0;.*Expires=Thu, 01 Jan 1970/)]);
    expect(visitor.cookies.has('sid')).toBe(false);
    for (const id of [before, after]) expect((await ask(url, { headers: { cookie: `sid=${id ?? ''}` } })).body).toBe('{}');
  });

  it('answers 503 with Retry-After when the store is down', async () => {
    const store = new SwitchStore();
    const { url } = await serve(host(one({ store, storeTimeoutMs: 50, lockTimeoutMs: 50 }), counter));
    const visitor = new Visitor();
    await visitor.post(url);
    store.cutOff();
    const reply = await visitor.get(url);
    expect(reply).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
    expect(reply.headers).not.toHaveProperty('set-cookie');
  });
});

describe('a visitor without a session', () => {
  it('costs no store call and gets no cookie', async () => {
    const sessions = instance();
    const { url } = await serve(express5(sessions, (req, res) => { res.end(`${req.session.user ?? 'nobody'} ${String(req.session.isNew)}`); }));
    const reply = await ask(url);
    expect(reply.body).toBe('nobody true');
    expect(reply.headers).not.toHaveProperty('set-cookie');
    expect(reply.headers).not.toHaveProperty('cache-control');
    expect(sessions.health()).toMatchObject({ status: 'new', storeCalls: {} });
  });

  it('has a response that is node\'s own from the first flush on', async () => {
    let own: unknown[] = [];
    const { url } = await serve(express5(instance(), (_req, res) => {
      const { write, end } = Object.getPrototypeOf(Object.getPrototypeOf(res)) as typeof res;
      res.write('body');
      own = [res.headersSent, res.write === write, res.end === end];
      res.end();
    }));
    await ask(url);
    expect(own).toEqual([true, true, true]);
  });

  it('begins one in the very call that ends the response', async () => {
    const { url } = await serve(express5(instance(), (req, res) => { res.end(String(req.session.count = (req.session.count ?? 0) + 1)); }));
    const visitor = new Visitor();
    expect([(await visitor.get(url)).body, (await visitor.get(url)).body]).toEqual(['1', '2']);
  });

  it('may not begin one after the headers have left', async () => {
    const thrown = deferred<unknown>();
    const { url } = await serve(express5(instance(), (req, res) => {
      res.write('early');
      try {
        req.session.user = 'ada';
      } catch (error) {
        thrown.resolve(error);
      }
      res.end();
    }));
    expect((await ask(url)).headers).not.toHaveProperty('set-cookie');
    expect(await thrown.promise).toMatchObject({ code: 'CLUSTER_SESSION_ENDED' });
  });
});

describe('the reply', () => {
  it('leaves after the change is stored: the target of a redirect sees it on another instance', async () => {
    const store = new SwitchStore();
    const a = await serve(express5(one({ store }), counter));
    const b = await serve(express5(one({ store: new SwitchStore(store.map) }), counter));
    const visitor = new Visitor();
    await visitor.post(a.url);
    for (let round = 2; round < 6; round += 1) {
      store.map.before = (method, key) => (method === 'put' && key.includes('.s.') ? new Promise((resolve) => { setTimeout(resolve, 20); }) : undefined);
      const reply = await visitor.post(round % 2 === 0 ? a.url : b.url);
      expect(reply.status).toBe(303);
      expect(JSON.parse((await visitor.get(round % 2 === 0 ? b.url : a.url)).body)).toEqual({ count: round });
    }
  });

  it('is the error alone if the change is not acknowledged', async () => {
    const store = new SwitchStore();
    const { url } = await serve(express5(one({ store, storeTimeoutMs: 40, lockTimeoutMs: 40 }), (req, res) => {
      req.session.user = 'ada';
      store.cutOff();
      res.setHeader('ETag', '"1"');
      res.writeHead(302, { Location: '/cart' }).end('handler');
    }));
    const reply = await ask(url, { method: 'POST' });
    expect(reply).toMatchObject({ status: 503, body: 'Service Unavailable\n' });
    for (const name of ['set-cookie', 'etag', 'location']) expect(reply.headers).not.toHaveProperty(name);
  });

  it('names no attribute that cannot be stored to the visitor, and stores nothing', async () => {
    const sessions = instance();
    await sessions.start();
    const before = sessions.health().storeCalls['create'];
    const { url } = await serve(express5(sessions, (req, res) => {
      req.session.set('work', () => undefined);
      res.end('body');
    }));
    expect(await ask(url)).toMatchObject({ status: 500, body: 'Internal Server Error\n' });
    expect(sessions.health().storeCalls['create']).toBe(before);
  });

  it('releases the session at the first flush; a change after it throws', async () => {
    const go = deferred();
    const thrown = deferred<unknown>();
    const { url } = await serve(express5(instance(), async (req, res) => {
      if (req.url === '/stream') {
        req.session.note = 'streaming';
        res.write('first ');
        await go.promise;
        try {
          req.session.note = 'late';
        } catch (error) {
          thrown.resolve(error);
        }
        res.end('last');
      } else {
        await counter(req, res);
      }
    }));
    const visitor = new Visitor();
    await visitor.post(url);
    const stream = visitor.post(`${url}/stream`);
    // Exclusive, and yet not kept waiting by the stream that goes on.
    let note: unknown;
    while (note !== 'streaming') note = Reflect.get(JSON.parse((await visitor.get(url)).body) as object, 'note');
    expect((await visitor.post(url)).status).toBe(303);
    go.resolve();
    expect((await stream).body).toBe('first last');
    expect(await thrown.promise).toMatchObject({ code: 'CLUSTER_SESSION_ENDED' });
  });
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
    expect(sessions.health().storeCalls).toMatchObject({ acquire: storeCalls['acquire'] ?? 0, create: storeCalls['create'], read: storeCalls['read'] ?? 0 });
    expect((await visitor.get(url)).body).toBe('{"count":1}');
  });

  it.each([
    ["'exclusive'", 'exclusive', 'LOCKED'],
    ["'snapshot'", 'snapshot', 'read'],
    ["a function's 'exclusive'", (): 'exclusive' => 'exclusive', 'LOCKED'],
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

  it('anything else from the function is an error that names it', async () => {
    // What a JavaScript user may return.
    const sessions = instance({ access: (() => 'shared') as never });
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

describe('a session that is gone', () => {
  it('an unknown id gets a new one; ids from a cookie are never adopted', async () => {
    const { url } = await serve(express5(instance(), counter));
    const reply = await ask(url, { method: 'POST', headers: { cookie: 'sid=chosen-by-somebody' } });
    expect(reply.status).toBe(303);
    expect(reply.headers['set-cookie']?.[0]).toMatch(/^sid=[\w-]{32};/);
    expect((await ask(url, { headers: { cookie: 'sid=chosen-by-somebody' } })).body).toBe('{}');
  });

  it('an id that was changed: an empty session, changes dropped with one warning, and no cookie', async () => {
    const { url } = await serve(express5(instance(), counter));
    const visitor = new Visitor();
    await visitor.post(url);
    const old = { cookie: `sid=${visitor.cookies.get('sid') ?? ''}` };
    await visitor.post(`${url}/login`);
    const warnings = await warningsOf(async () => {
      for (const path of ['/', '/', '/login']) {
        const reply = await ask(url + path, { method: 'POST', headers: old });
        expect(reply.status).toBe(303);
        expect(reply.headers).not.toHaveProperty('set-cookie');
      }
    });
    expect(warnings).toEqual(['CLUSTER_HTTP_MOVED']);
    const read = await ask(url, { headers: old });
    expect(read).toMatchObject({ status: 200, body: '{}' });
    expect(read.headers).not.toHaveProperty('set-cookie');
    expect((await visitor.get(url)).body).toBe('{"user":"ada"}');
  });

  it('a logout under an id that was changed says that it did not happen', async () => {
    const { url } = await serve(express5(instance(), counter));
    const visitor = new Visitor();
    await visitor.post(url);
    const old = { cookie: `sid=${visitor.cookies.get('sid') ?? ''}` };
    await visitor.post(`${url}/login`);
    const reply = await ask(`${url}/logout`, { method: 'POST', headers: old });
    expect(reply.status).toBe(409);
    expect(reply.headers).not.toHaveProperty('set-cookie');
    expect((await visitor.get(url)).body).toBe('{"user":"ada"}');
  });

  it('a logout stays a logout, also when a slower request on another instance ends after it', async () => {
    const go = deferred();
    const inside = deferred();
    const slow: Handler = async (req, res) => {
      req.session.note = 'slow';
      inside.resolve();
      await go.promise;
      res.end('slow');
    };
    const [a, b] = instances();
    const here = await serve(express5(a, counter));
    const there = await serve(express5(b, slow));
    const visitor = new Visitor();
    await visitor.post(here.url);
    const id = visitor.cookies.get('sid') ?? '';
    const late = visitor.get(there.url);
    await inside.promise;
    expect((await visitor.post(`${here.url}/logout`)).body).toBe('out');
    go.resolve();
    await late;
    for (const manager of [a.manager, b.manager]) expect(await manager.findSession(id)).toBeUndefined();
  });

  it('a change of a session that was removed meanwhile is refused with 409', async () => {
    const sessions = instance();
    const { url } = await serve(express5(sessions, async (req, res) => {
      req.session.note = 'changed';
      if (req.url === '/remove') await sessions.manager.removeSession(req.session.id);
      res.end('body');
    }));
    const visitor = new Visitor();
    await visitor.post(`${url}/`);
    const id = visitor.cookies.get('sid') ?? '';
    expect(await visitor.post(`${url}/remove`)).toMatchObject({ status: 409 });
    expect(await sessions.manager.findSession(id)).toBeUndefined();
  });
});

describe("onStoreError 'anonymous'", () => {
  it('goes on with an empty session that is neither stored nor sent', async () => {
    const store = new SwitchStore();
    const { url } = await serve(express5(one({ store, storeTimeoutMs: 40, lockTimeoutMs: 40, onStoreError: 'anonymous' }), counter));
    const visitor = new Visitor();
    await visitor.post(url);
    store.cutOff();
    expect(await visitor.get(url)).toMatchObject({ status: 200, body: '{}' });
    const warnings = await warningsOf(async () => {
      const reply = await visitor.post(url);
      expect(reply.status).toBe(303);
      expect(reply.headers).not.toHaveProperty('set-cookie');
    });
    expect(warnings).toEqual(['CLUSTER_HTTP_STORE_DOWN']);
    expect((await visitor.post(`${url}/logout`)).status).toBe(503);
    store.map.before = () => undefined;
    expect((await visitor.get(url)).body).toBe('{"count":1}');
  });

  it('does not cover a session that is locked', async () => {
    const sessions = instance({ lockTimeoutMs: 20, onStoreError: 'anonymous' });
    const { url } = await serve(express5(sessions, counter));
    const visitor = new Visitor();
    await visitor.post(url);
    const holder = await sessions.manager.findSession(visitor.cookies.get('sid') ?? '');
    expect((await visitor.post(url)).status).toBe(503);
    if (holder !== undefined) await sessions.manager.releaseSession(holder);
  });
});

describe('a client that leaves', () => {
  it('gives its place in the queue up, and its handler never runs', async () => {
    const ran: string[] = [];
    const sessions = instance();
    const { url, port } = await serve(express5(sessions, (req, res) => {
      ran.push(req.url ?? '');
      return counter(req, res);
    }));
    const visitor = new Visitor();
    await visitor.post(`${url}/first`);
    const holder = await sessions.manager.findSession(visitor.cookies.get('sid') ?? '');
    const leaver = request({ port, host: '127.0.0.1', method: 'POST', path: '/leaver', agent: false, headers: { cookie: `sid=${visitor.cookies.get('sid') ?? ''}` } });
    leaver.on('error', () => undefined).end();
    await until(() => sessions.health().waiting === 1);
    leaver.destroy();
    await until(() => sessions.health().waiting === 0);
    if (holder !== undefined) await sessions.manager.releaseSession(holder);
    await visitor.post(`${url}/last`);
    expect(ran).toEqual(['/first', '/last']);
  });

  it('a handler that goes on keeps the lock for 5 s at most', async () => {
    const clock = Clock.manual();
    // Its own clock for the grace only: the manager is passed in, on the system's.
    const sessions = one({ store: new MemoryStore({ clock }), clock });
    const inside = deferred();
    const thrown = deferred<unknown>();
    const go = deferred();
    const { url, port } = await serve(express5(sessions, async (req, res) => {
      req.session.count = (req.session.count ?? 0) + 1;
      if (req.url === '/slow') {
        inside.resolve();
        await go.promise;
        try {
          req.session.note = 'too late';
        } catch (error) {
          thrown.resolve(error);
        }
      }
      res.end('body');
    }));
    const visitor = new Visitor();
    await visitor.post(url);
    const leaver = request({ port, host: '127.0.0.1', method: 'POST', path: '/slow', agent: false, headers: { cookie: `sid=${visitor.cookies.get('sid') ?? ''}` } });
    leaver.on('error', () => undefined).end();
    await inside.promise;
    leaver.destroy();
    const next = visitor.post(url);
    await until(() => sessions.health().waiting === 1);
    await clock.advance(LEFT_GRACE_MS - 1);
    expect(sessions.health()).toMatchObject({ running: 1, waiting: 1 });
    await clock.advance(1);
    expect((await next).status).toBe(200);
    go.resolve();
    expect(await thrown.promise).toMatchObject({ code: 'CLUSTER_SESSION_ENDED' });
    const left = await sessions.manager.findSession(visitor.cookies.get('sid') ?? '', { access: 'snapshot' });
    expect(left?.count).toBe(2);
  });

  it('a handler that ends in time is stored', async () => {
    const sessions = instance();
    const inside = deferred();
    const go = deferred();
    const closed = deferred();
    const { url, port } = await serve(express5(sessions, async (req, res) => {
      req.session.count = (req.session.count ?? 0) + 1;
      if (req.url === '/slow') {
        res.on('close', () => { closed.resolve(); });
        inside.resolve();
        await go.promise;
      }
      res.end('body');
    }));
    const visitor = new Visitor();
    await visitor.post(url);
    const leaver = request({ port, host: '127.0.0.1', method: 'POST', path: '/slow', agent: false, headers: { cookie: `sid=${visitor.cookies.get('sid') ?? ''}` } });
    leaver.on('error', () => undefined).end();
    await inside.promise;
    leaver.destroy();
    await closed.promise;
    go.resolve();
    await until(() => sessions.health().running === 0);
    expect((await sessions.manager.findSession(visitor.cookies.get('sid') ?? '', { access: 'snapshot' }))?.count).toBe(2);
  });
});

describe('the middleware', () => {
  it('mounted twice works once', async () => {
    const sessions = instance();
    const { url } = await serve((req, res) => {
      sessions(req, res, () => { sessions(req, res, () => { void counter(req as never, res); }); });
    });
    expect((await ask(url, { method: 'POST' })).headers['set-cookie']).toHaveLength(1);
  });

  it('stops the manager that it made, and none that was passed in', async () => {
    const own = instance();
    await own.start();
    expect(own.health().status).toBe('up');
    await own.drain();
    expect(own.health().status).toBe('draining');
    await own[Symbol.asyncDispose]();
    expect(own.health().status).toBe('stopped');

    const manager = new DistributedManager(new MemoryStore());
    const guest = one({ manager });
    await guest.start();
    await guest.stop();
    expect(guest.manager).toBe(manager);
    expect(manager.health().status).toBe('up');
    await manager.stop();
  });

  it('refuses to replace the session by anything but null', async () => {
    const { url } = await serve(express5(instance(), (req, res) => {
      const present = req.session;
      req.session = present;
      expect(() => { req.session = {} as never; }).toThrow(expect.objectContaining({ code: 'CLUSTER_BAD_OPTION' }));
      res.end(String(req.session === present && req.sessionID === present.id));
    }));
    expect((await ask(url)).body).toBe('true');
  });

  it('lets attributes be enumerated, and nothing else', async () => {
    const { url } = await serve(express5(instance(), (req, res) => {
      req.session.user = 'ada';
      expect(() => req.session.set('save', 1)).toThrow(expect.objectContaining({ code: 'CLUSTER_RESERVED_NAME' }));
      expect(() => req.session.set('__proto__', 1)).toThrow(expect.objectContaining({ code: 'CLUSTER_RESERVED_NAME' }));
      res.end(JSON.stringify([Object.keys(req.session), req.session]));
    }));
    expect((await ask(url)).body).toBe('[["user"],{"user":"ada"}]');
  });
});

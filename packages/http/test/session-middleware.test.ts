import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import express from 'express';
import { ClusterError, DistributedManager, MemoryStore } from '@cluster/core';
import { express5, hosts, instance, instances, one, stopAll, SwitchStore, warningsOf } from './support/cluster.js';
import { counter } from './support/counter.js';
import { ask, closeAll, deferred, raw, serve, Visitor } from './support/servers.js';

afterEach(async () => {
  await closeAll();
  await stopAll();
});

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

  it('answers 503 without Retry-After when the change may be stored: who obeyed it would count twice', async () => {
    const store = new SwitchStore();
    const sessions = one({ store, storeTimeoutMs: 50, lockTimeoutMs: 50 });
    const codes: unknown[] = [];
    sessions.manager.on('sendFailed', ({ error }) => { codes.push(ClusterError.is(error) ? error.code : error); });
    const { url } = await serve(host(sessions, (req, res) => {
      // From here on the store does not answer; the session was found before.
      if (req.url === '/lost') res.setHeader('Retry-After', '5');
      if (req.url === '/lost') store.map.before = (_, key) => (key.includes('.s.') ? new Promise<void>(() => undefined) : undefined);
      return counter(req, res);
    }));
    const visitor = new Visitor();
    await visitor.post(url);
    for (const reply of [await visitor.post(`${url}/lost`), await ask(`${url}/lost`, { method: 'POST' })]) {
      expect([reply.status, reply.body]).toEqual([503, 'Service Unavailable\n']);
      expect(reply.headers).not.toHaveProperty('retry-after');
    }
    expect(codes).toEqual(['CLUSTER_UNKNOWN_OUTCOME', 'CLUSTER_UNKNOWN_OUTCOME']);
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

describe('two instances', () => {
  it('lose none of the changes that arrive at once', async () => {
    const [one, two] = instances();
    const urls = [(await serve(express5(one, counter))).url, (await serve(express5(two, counter))).url];
    const visitor = new Visitor();
    await visitor.post(urls[0] ?? '');
    const replies = await Promise.all(Array.from({ length: 60 }, (_, at) => visitor.post(urls[at % 2] ?? '')));
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([303]));
    for (const url of urls) expect((await visitor.get(url)).body).toBe('{"count":61}');
  });
});

describe('the types', () => {
  it('of req.session are declared in one file', () => {
    const folder = join(import.meta.dirname, '..', 'src');
    const declaring = readdirSync(folder).filter((file) => readFileSync(join(folder, file), 'utf8').includes('declare global'));
    expect(declaring).toEqual(['express-types.ts']);
  });

  it('take attributes from SessionData and null for the end', async () => {
    const { url } = await serve(express().use(instance()).post('/', (req, res) => {
      req.session.count = 1;
      // @ts-expect-error: SessionData says that it is a number.
      req.session.count = 'one';
      // @ts-expect-error: no such attribute; `get` and `set` take any name.
      const none: unknown = req.session.unknown;
      req.session = null;
      res.json([none === undefined, req.session.get('unknown') === undefined]);
    }));
    expect((await ask(url, { method: 'POST' })).body).toBe('[true,true]');
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

describe('the middleware', () => {
  it('mounted twice works once', async () => {
    const sessions = instance();
    const { url } = await serve((req, res) => {
      sessions(req, res, () => { sessions(req, res, () => { void counter(req as never, res); }); });
    });
    expect((await ask(url, { method: 'POST' })).headers['set-cookie']).toHaveLength(1);
  });

  it('is refused where another one has given the request its session, which goes on', async () => {
    const [first, second] = [instance(), instance({ name: 'api' })];
    const refusals: unknown[] = [];
    const { url } = await serve((req, res) => {
      first(req, res, () => { second(req, res, (error) => { refusals.push(error); void counter(req as never, res); }); });
    });
    const reply = await ask(url, { method: 'POST' });
    expect(refusals).toEqual([expect.objectContaining({ code: 'CLUSTER_BAD_OPTION', message: expect.stringMatching(/expected one session\(\{\.\.\.\}\) per request/) })]);
    expect(reply.headers['set-cookie']).toEqual([expect.stringMatching(/^sid=/)]);
  });

  it('is refused by open as well, with 500, also for an upgrade', async () => {
    const [first, second] = [instance(), instance({ name: 'api' })];
    const opened: unknown[] = [];
    const { url, port, server } = await serve((req, res) => {
      first(req, res, () => { void second.open(req, res).then((session) => { opened.push(session); }); });
    });
    server.on('upgrade', (req, socket) => {
      void first.open(req, socket).then(() => second.open(req, socket)).then((session) => { opened.push(session); });
    });
    expect((await ask(url)).status).toBe(500);
    expect(await raw(port, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n')).toMatch(/^HTTP\/1\.1 500 /);
    expect(opened).toEqual([undefined, undefined]);
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
      res.end(String(req.session === present && req.sessionID === present.id && !Object.keys(req).includes('sessionID')));
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

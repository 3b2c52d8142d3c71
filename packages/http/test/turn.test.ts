import { request } from 'node:http';
import { afterEach, describe, expect, it } from '@jest/globals';
import { MemoryStore } from '@cluster/core';
import { Clock } from '@cluster/core/driver';
import { LEFT_GRACE_MS } from '../src/turn.js';
import { express5, instance, instances, one, stopAll, warningsOf, type Handler } from './support/cluster.js';
import { counter, until } from './support/counter.js';
import { ask, closeAll, deferred, serve, Visitor } from './support/servers.js';

afterEach(async () => {
  await closeAll();
  await stopAll();
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
      for (let time = 0; time < 2; time += 1) {
        const reply = await ask(url, { method: 'POST', headers: old });
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

  it('has no handler run and no lock kept by a manager that does not hear of it', async () => {
    const ran: string[] = [];
    const sessions = instance();
    const { findSession } = sessions.manager;
    sessions.manager.findSession = function deaf(this: typeof sessions.manager, id, { access = 'exclusive' } = {}) { return findSession.call(this, id, { access }); };
    const { url, port } = await serve(express5(sessions, (req, res) => {
      ran.push(req.url ?? '');
      return counter(req, res);
    }));
    const visitor = new Visitor();
    await visitor.post(`${url}/first`);
    const holder = await sessions.manager.findSession(visitor.cookies.get('sid') ?? '');
    const leaver = request({ port, host: '127.0.0.1', method: 'POST', path: '/leaver', agent: false, headers: { cookie: `sid=${visitor.cookies.get('sid') ?? ''}` } });
    const left = deferred();
    leaver.on('error', () => undefined).on('close', () => { left.resolve(); }).end();
    await until(() => sessions.health().waiting === 1);
    leaver.destroy();
    await left.promise;
    // A request of its own, so that the server has seen the one before it end.
    await ask(`${url}/meanwhile`);
    if (holder !== undefined) await sessions.manager.releaseSession(holder);
    expect((await visitor.post(`${url}/last`)).status).toBe(303);
    expect(ran).toEqual(['/first', '/meanwhile', '/last']);
  });

  it.each(['as it was', 'under a new id'])('a handler that goes on keeps the lock of a session %s for 5 s at most', async (how) => {
    const clock = Clock.manual();
    const sessions = one({ store: new MemoryStore({ clock }), clock });
    const inside = deferred();
    const thrown = deferred<unknown>();
    const go = deferred();
    let closed = false;
    const { url, port } = await serve(express5(sessions, async (req, res) => {
      res.on('close', () => { closed ||= req.url === '/slow'; });
      req.session.count = (req.session.count ?? 0) + 1;
      if (req.url === '/slow') {
        const changed = how === 'under a new id' ? req.session.regenerate({ keep: true }) : undefined;
        inside.resolve();
        await changed;
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
    await until(() => sessions.health().running === 1);
    const next = how === 'as it was' ? visitor.post(url) : undefined;
    if (next !== undefined) await until(() => sessions.health().waiting === 1);
    // The server hears of it in its own time.
    await until(() => closed);
    await clock.advance(LEFT_GRACE_MS - 1);
    expect(sessions.health().running).toBe(1);
    await clock.advance(1);
    if (next !== undefined) expect((await next).status).toBe(200);
    await until(() => sessions.health().running === 0);
    go.resolve();
    expect(await thrown.promise).toMatchObject({ code: 'CLUSTER_SESSION_ENDED' });
    if (next === undefined) return;
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

describe('a change that cannot be stored', () => {
  it('is answered 500, and the server is told why: once per code and message by a warning that names no path, each time by an event', async () => {
    const shop = instance();
    const failed: unknown[] = [];
    shop.manager.on('sendFailed', ({ label, error }) => { failed.push([label, Reflect.get(Object(error) as object, 'code')]); });
    const { url } = await serve(express5(shop, (req, res) => {
      req.session.set('callback', () => 1);
      res.end('stored');
    }));
    const warnings = await warningsOf(async () => {
      for (const path of ['/function', '/function', '/other']) {
        const reply = await ask(url + path, { method: 'POST' });
        expect(reply).toMatchObject({ status: 500, body: 'Internal Server Error\n' });
      }
    });
    expect(warnings).toEqual(['CLUSTER_NOT_ENCODABLE']);
    expect(failed).toHaveLength(3);
    expect(failed[0]).toEqual(['POST /function', 'CLUSTER_NOT_ENCODABLE']);
  });
});

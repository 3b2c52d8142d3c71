import { afterEach, describe, expect, it } from '@jest/globals';
import type { ClusterError } from '@cluster/core';
import { express5, instance, instances, one, stopAll, SwitchStore, warningsOf } from './support/cluster.js';
import { put, site, type Work } from './support/site.js';
import { ask, closeAll, deferred, serve } from './support/servers.js';

afterEach(async () => {
  await closeAll();
  await stopAll();
});

describe('every method answers by its promise and by its callback', () => {
  const methods = ['save', 'reload', 'regenerate', 'destroy', 'release', 'touch'] as const;
  it.each(methods)('%s', async (method) => {
    const { post } = await site({
      put,
      promise: async ({ session }) => session[method]().then((value: unknown) => typeof value),
      callback: ({ session }) => new Promise((resolve) => { void session[method]((error) => { resolve(error ?? 'done'); }); }),
    });
    for (const path of ['promise', 'callback']) {
      await post('put');
      expect((await post(path)).body).toBe(path === 'promise' ? '"undefined"' : '"done"');
    }
  });

  it.each(['save', 'regenerate', 'destroy', 'release'] as const)('%s with an error', async (method) => {
    const store = new SwitchStore();
    const failing = (work: Work): Work => (req, res) => {
      req.session.note = 'changed';
      store.cutOff();
      res.statusCode = 500;
      return work(req, res);
    };
    const { post, content } = await site({
      put,
      promise: failing(async ({ session }) => session[method]().then(() => 'done', (error: unknown) => Reflect.get(error as Error, 'status') as unknown)),
      callback: failing(({ session }) => new Promise((resolve) => { void session[method]((error) => { resolve(Reflect.get(error as Error, 'status')); }); })),
    }, one({ store, storeTimeoutMs: 30, lockTimeoutMs: 30 }));
    for (const path of ['promise', 'callback']) {
      await post('put');
      // The application has been told, and answers an error: the page is its own.
      const reply = await post(path);
      expect(reply).toMatchObject({ status: 500, body: '503' });
      expect(reply.headers).not.toHaveProperty('set-cookie');
      store.map.before = () => undefined;
      expect(await content()).not.toHaveProperty('note');
    }
  });
});

describe('save', () => {
  it('stores what changed, keeps the lock and goes on', async () => {
    const [sessions, elsewhere] = instances({ lockTimeoutMs: 20 });
    const { post, id, content } = await site({
      put,
      save: async ({ session }) => {
        session.user = 'grace';
        await session.save();
        const stored = await elsewhere.manager.findSession(id(), { access: 'snapshot' });
        const other: unknown = await elsewhere.manager.findSession(id()).catch((error: unknown) => Reflect.get(error as Error, 'code') as unknown);
        session.note = 'after';
        return [stored?.user, other];
      },
    }, sessions);
    await post('put');
    expect(JSON.parse((await post('save')).body)).toEqual(['grace', 'CLUSTER_LOCKED']);
    expect(await content()).toEqual({ user: 'grace', cart: ['book'], note: 'after' });
  });

  it('of a new session gives it a cookie', async () => {
    const { post, content } = await site({ save: async (req, res) => { put(req, res); await req.session.save(); } });
    expect((await post('save')).headers['set-cookie']).toHaveLength(1);
    expect(await content()).toEqual({ user: 'ada', cart: ['book'] });
  });

  it('works in a GET, too', async () => {
    const { post, get, content } = await site({ put, save: async ({ session }) => { session.note = 'saved'; await session.save(); session.note = 'end'; } });
    await post('put');
    expect((await get('save')).status).toBe(200);
    expect(await content()).toMatchObject({ note: 'end' });
  });
});

describe('reload', () => {
  it('drops what changed', async () => {
    const { post, content } = await site({ put, reload: async ({ session }) => { session.user = 'eve'; await session.reload(); return session.user; } });
    await post('put');
    expect((await post('reload')).body).toBe('"ada"');
    expect(await content()).toMatchObject({ user: 'ada' });
  });

  it('in a GET shows what others have stored meanwhile', async () => {
    const go = deferred();
    const inside = deferred();
    const { post, get } = await site({ put, reload: async ({ session }) => {
      const before = session.user;
      inside.resolve();
      await go.promise;
      await session.reload();
      return [before, session.user];
    }, set: ({ session }) => { session.user = 'grace'; } });
    await post('put');
    const slow = get('reload');
    await inside.promise;
    await post('set');
    go.resolve();
    expect(JSON.parse((await slow).body)).toEqual(['ada', 'grace']);
  });
});

describe('release', () => {
  it('stores what changed, lets others in, and refuses changes from then on', async () => {
    const go = deferred();
    const inside = deferred();
    const { post, content } = await site({
      put,
      release: async ({ session }) => {
        session.note = 'released';
        await session.release();
        inside.resolve();
        await go.promise;
        expect(() => { session.note = 'late'; }).toThrow(expect.objectContaining({ code: 'CLUSTER_SESSION_ENDED' }));
        return session.note;
      },
    });
    await post('put');
    const slow = post('release');
    await inside.promise;
    expect((await post('put')).status).toBe(200);
    go.resolve();
    expect((await slow)).toMatchObject({ status: 200, body: '"released"' });
    expect(await content()).toMatchObject({ note: 'released' });
  });

  it('of a new session stores it, and the cookie follows', async () => {
    const { post, content } = await site({ release: async (req, res) => { put(req, res); await req.session.release(); } });
    expect((await post('release')).headers['set-cookie']).toHaveLength(1);
    expect(await content()).toEqual({ user: 'ada', cart: ['book'] });
  });
});

describe('regenerate', () => {
  const keeps: [string, unknown, object][] = [
    ['nothing by default', undefined, {}], ['what it names', { keep: ['cart', 'none'] }, { cart: ['book'] }],
    ['everything', { keep: true }, { user: 'ada', cart: ['book'] }], ['nothing of an empty list', { keep: [] }, {}],
  ];
  it.each(keeps)('keeps %s', async (_name, options, kept) => {
    const { post, id, content, sessions } = await site({ put, renew: async (req) => {
      const before = req.session;
      await req.session.regenerate(options as { keep: true });
      expect(req.session).not.toBe(before);
      expect(req.sessionID).toBe(req.session.id);
      expect(() => { before.user = 'eve'; }).toThrow(expect.objectContaining({ code: 'CLUSTER_SESSION_ENDED' }));
      return { ...req.session };
    } });
    await post('put');
    const old = id();
    const reply = await post('renew');
    expect(reply.headers['set-cookie']).toHaveLength(1);
    expect(id()).not.toBe(old);
    expect(JSON.parse(reply.body)).toEqual(kept);
    expect(await content()).toEqual(kept);
    await expect(sessions.manager.findSession(old)).rejects.toMatchObject({ code: 'CLUSTER_MOVED' });
  });

  it.each(keeps)('of a session that is not stored keeps %s', async (_name, options, kept) => {
    const { post, content } = await site({ renew: async (req, res) => { put(req, res); await req.session.regenerate(options as { keep: true }); } });
    const reply = await post('renew');
    expect(reply.headers['set-cookie']?.length ?? 0).toBe(Object.keys(kept).length > 0 ? 1 : 0);
    expect(await content()).toEqual(kept);
  });

  it('works in a GET, as the return from an identity provider is one', async () => {
    const { post, get, id, content, sessions } = await site({ put, callback: async (req) => {
      await req.session.regenerate({ keep: ['cart'] });
      req.session.user = 'grace';
    } });
    await post('put');
    const old = id();
    expect((await get('callback')).status).toBe(200);
    expect(id()).not.toBe(old);
    expect(await content()).toEqual({ user: 'grace', cart: ['book'] });
    await expect(sessions.manager.findSession(old)).rejects.toMatchObject({ code: 'CLUSTER_MOVED' });
  });

  it('takes a callback after options', async () => {
    const { post, content } = await site({
      put, renew: ({ session }) => new Promise((resolve) => { void session.regenerate({ keep: true }, (error) => { resolve(error); }); }),
    });
    await post('put');
    expect((await post('renew')).headers['set-cookie']).toHaveLength(1);
    expect(await content()).toEqual({ user: 'ada', cart: ['book'] });
  });

  it('cannot be replaced: each is a reserved name', async () => {
    const { url } = await serve(express5(instance(), (req, res) => {
      res.end(JSON.stringify(['cookie', 'save', 'id'].map((name) => {
        try {
          return Reflect.set(req.session, name, 1);
        } catch (error) {
          return Reflect.get(Object(error) as object, 'code') as unknown;
        }
      })));
    }));
    expect((await ask(url)).body).toBe(JSON.stringify(['CLUSTER_RESERVED_NAME', 'CLUSTER_RESERVED_NAME', 'CLUSTER_RESERVED_NAME']));
  });

  it.each([[{ keep: 'cart' }, /keep: expected true or an array/], [{ graceMs: 50 }, /graceMs: no such option; known is keep/]])('refuses %j', async (options, text) => {
    const { post, id } = await site({ put, renew: ({ session }, res) => {
      res.statusCode = 500;
      return session.regenerate(options as never).catch((error: unknown) => [(error as ClusterError).code, (error as Error).message]);
    } });
    await post('put');
    const before = id();
    const [code, message] = JSON.parse((await post('renew')).body) as [string, string];
    expect(code).toBe('CLUSTER_BAD_OPTION');
    expect(message).toMatch(text);
    expect(id()).toBe(before);
  });

  it('that is not awaited is done before the response leaves', async () => {
    const { post, id } = await site({ put, renew: ({ session }) => { void session.regenerate(); } });
    await post('put');
    const old = id();
    await post('renew');
    expect(id()).not.toBe(old);
  });
});

describe('destroy', () => {
  const ways: Record<string, Work> = {
    'awaited': ({ session }) => session.destroy(),
    'not awaited': ({ session }) => { void session.destroy(); },
    'with a callback': ({ session }) => new Promise((resolve) => { void session.destroy(resolve); }),
    'as null': (req) => { req.session = null; },
  };
  it.each(Object.entries(ways))('%s: the session is gone everywhere and the cookie cleared when the response leaves', async (_name, way) => {
    const [a, b] = instances();
    const { post, id, visitor } = await site({ put, bye: way }, a);
    await post('put');
    const old = id();
    const reply = await post('bye');
    expect(reply.status).toBe(200);
    expect(reply.headers['set-cookie']).toEqual([expect.stringMatching(/^sid=; Max-Age=0; .*Expires=Thu, 01 Jan 1970 00:00:00 GMT/)]);
    expect(visitor.cookies.size).toBe(0);
    for (const { manager } of [a, b]) expect(await manager.findSession(old)).toBeUndefined();
  });

  it('in a GET works the same', async () => {
    const { post, get, id, sessions } = await site({ put, bye: ({ session }) => session.destroy() });
    await post('put');
    const old = id();
    expect((await get('bye')).status).toBe(200);
    expect(id()).toBe('');
    expect(await sessions.manager.findSession(old)).toBeUndefined();
  });

  it('is refused when the session got another id meanwhile, and the login stays', async () => {
    const go = deferred();
    const inside = deferred();
    const { url, post, id, content } = await site({
      put, renew: ({ session }) => session.regenerate({ keep: true }),
      bye: async ({ session }, res) => {
        inside.resolve();
        await go.promise;
        res.statusCode = 409;
        return session.destroy().catch((error: unknown) => (error as ClusterError).code);
      },
    });
    await post('put');
    const slow = ask(`${url}/bye`, { headers: { cookie: `sid=${id()}` } });
    await inside.promise;
    await post('renew');
    go.resolve();
    const reply = await slow;
    expect(reply.body).toBe('"CLUSTER_MOVED"');
    expect(reply.headers).not.toHaveProperty('set-cookie');
    expect(await content()).toMatchObject({ user: 'ada' });
  });

  it('leaves an empty session, which is stored under a new id if something is put into it', async () => {
    const { post, id, content } = await site({ put, bye: async (req) => {
      const before = req.session;
      await req.session.destroy();
      expect(() => { before.user = 'eve'; }).toThrow(expect.objectContaining({ code: 'CLUSTER_SESSION_ENDED' }));
      const after = { ...req.session };
      req.session.note = 'goodbye';
      return after;
    } });
    await post('put');
    const old = id();
    expect((await post('bye')).body).toBe('{}');
    expect(id()).not.toBe(old);
    expect(await content()).toEqual({ note: 'goodbye' });
  });

  it('of a session that was never stored sends nothing', async () => {
    const { post, sessions } = await site({ bye: async (req, res) => { put(req, res); await req.session.destroy(); } });
    const reply = await post('bye');
    expect(reply.headers).not.toHaveProperty('set-cookie');
    expect(sessions.health().storeCalls).toEqual({});
  });

  it('as null that fails fails the response', async () => {
    const store = new SwitchStore();
    const { post, id, content } = await site({ put, bye: async (req) => {
      store.cutOff();
      req.session = null;
      // Long enough for the removal to have failed before the response ends.
      await new Promise((resolve) => { setTimeout(resolve, 120); });
    } }, one({ store, storeTimeoutMs: 20, lockTimeoutMs: 20 }));
    await post('put');
    const old = id();
    const reply = await post('bye');
    expect(reply.status).toBe(503);
    expect(reply.headers).not.toHaveProperty('set-cookie');
    expect(id()).toBe(old);
    store.map.before = () => undefined;
    expect(await content()).toMatchObject({ user: 'ada' });
  });
});

describe('session.cookie', () => {
  it('shows the options, and refuses to be set', async () => {
    const sessions = instance({ cookie: { maxAge: 60_000, sameSite: 'strict' } });
    const { get } = await site({ read: ({ session }) => {
      for (const name of ['maxAge', 'expires', 'secure']) {
        expect(() => Reflect.set(session.cookie, name, 1)).toThrow(expect.objectContaining({ code: 'CLUSTER_BAD_OPTION' }));
      }
      expect(session.cookie.expires?.getTime()).toBeCloseTo(Date.now() + 60_000, -3);
      return session.cookie;
    } }, sessions);
    expect(JSON.parse((await get('read')).body)).toMatchObject({ path: '/', httpOnly: true, secure: 'auto', sameSite: 'strict', maxAge: 60_000, originalMaxAge: 60_000 });
  });
});

describe('a session without a record behind it', () => {
  it('takes every method in a request whose id was changed, with one warning for all changes', async () => {
    const { url, post, id } = await site({
      put, renew: ({ session }) => session.regenerate(),
      all: async (req) => {
        req.session.user = 'eve';
        await req.session.save();
        await req.session.reload();
        await req.session.touch();
        req.session.user = 'eve';
        await req.session.release();
      },
    });
    await post('put');
    const headers = { cookie: `sid=${id()}` };
    await post('renew');
    const warnings = await warningsOf(async () => {
      const reply = await ask(`${url}/all`, { method: 'POST', headers });
      expect(reply.status).toBe(200);
      expect(reply.headers).not.toHaveProperty('set-cookie');
    });
    expect(warnings).toEqual(['CLUSTER_HTTP_MOVED']);
  });

  it('is begun anew by a second login under the id that the first one ended, whose reply may have been lost', async () => {
    const { url, post, id } = await site({
      put,
      login: async (req) => {
        await req.session.regenerate({ keep: ['cart'] });
        req.session.user = 'ada';
        await req.session.save();
      },
      logout: (req) => req.session.regenerate(), // as passport does
      read: ({ session }) => ({ user: session.user, cart: session.cart }),
    });
    await post('put');
    const headers = { cookie: `sid=${id()}` };
    await post('login');
    const first = id();
    const again = await ask(`${url}/login`, { method: 'POST', headers });
    const second = /^sid=([\w-]+)/.exec(again.headers['set-cookie']?.[0] ?? '')?.[1];
    expect(second).toMatch(/^[\w-]{32}$/);
    expect(second).not.toBe(first);
    // What the old id led to does not come along: whoever planted that id would have it.
    expect(JSON.parse((await ask(`${url}/read`, { headers: { cookie: `sid=${second}` } })).body)).toEqual({ user: 'ada' });
    expect(JSON.parse((await ask(`${url}/read`, { headers: { cookie: `sid=${first}` } })).body)).toEqual({ user: 'ada', cart: ['book'] });
    expect((await ask(`${url}/logout`, { method: 'POST', headers })).headers).not.toHaveProperty('set-cookie');
  });
});

import { afterEach, describe, expect, it } from '@jest/globals';
import express from 'express';
import { one, stopAll, SwitchStore, type SessionRequest } from './support/cluster.js';
import { put, site } from './support/site.js';
import { closeAll, serve, Visitor } from './support/servers.js';

afterEach(async () => {
  await closeAll();
  await stopAll();
});

describe.each(['save', 'regenerate', 'destroy', 'release'] as const)('%s that fails', (method) => {
  const ways: [string, (session: SessionRequest['session']) => unknown][] = [
    ['that nobody awaits', (session) => { void session[method](); }],
    ['that nobody awaits, and that has failed before the end', async (session) => {
      void session[method]();
      await new Promise((resolve) => { setTimeout(resolve, 90); });
    }],
    ['whose callback ignores the error', (session) => new Promise((resolve) => { void session[method](() => { resolve(undefined); }); })],
    ['whose error is caught and forgotten', (session) => session[method]().catch(() => 'forgotten')],
  ];
  it.each(ways)('%s: the response is the error', async (_name, way) => {
    const store = new SwitchStore();
    const { post, id, content } = await site({
      put, fail: ({ session }) => {
        session.note = 'changed';
        store.cutOff();
        return way(session);
      },
    }, one({ store, storeTimeoutMs: 20, lockTimeoutMs: 20 }));
    await post('put');
    const before = id();
    const reply = await post('fail');
    expect(reply.status).toBe(503);
    expect(reply.headers).not.toHaveProperty('set-cookie');
    expect(id()).toBe(before);
    store.map.before = () => undefined;
    expect(await content()).toEqual({ user: 'ada', cart: ['book'] });
  });
});

it('a method that is called wrongly: the response is the error, and the session is free for the next request', async () => {
  const { post, content } = await site({
    put, wrong: async ({ session }) => {
      session.note = 'changed';
      await session.regenerate({ keep: 'cart' } as never).catch(() => 'forgotten');
    },
  }, one({ store: new SwitchStore(), lockTimeoutMs: 500 }));
  await post('put');
  expect((await post('wrong')).status).toBe(500);
  expect(await content()).toEqual({ user: 'ada', cart: ['book'] });
  expect((await post('put')).status).toBe(200);
});

it.each(['save', 'release'] as const)('%s that is awaited before the answer: its failure goes to the error handler of the application, which that of the response does not', async (method) => {
  const store = new SwitchStore();
  const app = express().use(one({ store, storeTimeoutMs: 20, lockTimeoutMs: 20 }));
  app.post('/put', (req, res) => {
    put(req, res);
    res.end();
  });
  app.post('/:when', async (req, res) => {
    req.session.note = 'changed';
    store.cutOff();
    if (req.params.when === 'before') await req.session[method]();
    res.end('done');
  });
  const seen: unknown[] = [];
  const ours: express.ErrorRequestHandler = (error, _req, res, next) => {
    seen.push(Reflect.get(error as Error, 'code'));
    if (res.headersSent) next(error);
    else res.status(503).send('in our words');
  };
  const { url } = await serve(app.use(ours));
  const visitor = new Visitor();
  const replies: string[] = [];
  for (const when of ['before', 'never']) {
    store.map.before = () => undefined;
    expect((await visitor.post(`${url}/put`)).status).toBe(200);
    const { status, body } = await visitor.post(`${url}/${when}`);
    replies.push(`${String(status)} ${body}`);
  }
  expect(replies).toEqual(['503 in our words', '503 Service Unavailable\n']);
  expect(seen).toEqual(['CLUSTER_UNKNOWN_OUTCOME']);
});

describe('a method that succeeds after one that failed', () => {
  it('destroy ends the session after all', async () => {
    const store = new SwitchStore();
    const { post, id, sessions } = await site({
      put, bye: async ({ session }, res) => {
        store.cutOff();
        await session.destroy().catch(() => undefined);
        store.map.before = () => undefined;
        await (res.req as SessionRequest).session.destroy();
      },
    }, one({ store, storeTimeoutMs: 20, lockTimeoutMs: 20 }));
    await post('put');
    const old = id();
    expect((await post('bye')).status).toBe(200);
    expect(id()).toBe('');
    expect(await sessions.manager.findSession(old)).toBeUndefined();
  });

  it('regenerate after a save of a new session that failed: changes are stored and the cookie is sent', async () => {
    const { post, content } = await site({ renew: async (req) => {
      req.session.set('callback', () => 1);
      await req.session.save().catch(() => undefined);
      await req.session.regenerate();
      req.session.note = 'after';
    } });
    const reply = await post('renew');
    expect(reply.status).toBe(200);
    expect(reply.headers['set-cookie']).toHaveLength(1);
    expect(await content()).toEqual({ note: 'after' });
  });
});

describe('regenerate after release', () => {
  it('of a session that is not stored: changes are stored and the cookie is sent', async () => {
    const { post, content } = await site({ renew: async (req) => {
      await req.session.release();
      await req.session.regenerate();
      req.session.note = 'after';
    } });
    expect((await post('renew')).headers['set-cookie']).toHaveLength(1);
    expect(await content()).toEqual({ note: 'after' });
  });

  it('of a stored session finds it again, as it is by then', async () => {
    const { get, post, id, content, sessions } = await site({ put, renew: async (req) => {
      req.session.note = 'before';
      await req.session.release();
      await sessions.manager.update(req.session.id, (other) => { other.count = 1; });
      await req.session.regenerate({ keep: true });
      req.session.user = 'grace';
    } });
    for (const renew of [post, get]) {
      await post('put');
      const old = id();
      expect((await renew('renew')).headers['set-cookie']).toHaveLength(1);
      expect(id()).not.toBe(old);
      expect(await content()).toEqual({ user: 'grace', cart: ['book'], note: 'before', count: 1 });
      await expect(sessions.manager.findSession(old)).rejects.toMatchObject({ code: 'CLUSTER_MOVED' });
    }
  });

  it('of a session that was removed meanwhile, or after the response has begun, is refused', async () => {
    const { post, id, content, sessions } = await site({
      put,
      removed: async (req) => {
        await req.session.release();
        await sessions.manager.removeSession(req.session.id);
        void req.session.regenerate();
      },
      late: async (req, res) => {
        await req.session.release();
        res.write('');
        return req.session.regenerate().catch((error: unknown) => Reflect.get(error as Error, 'code') as unknown);
      },
    });
    await post('put');
    const removed = await post('removed');
    expect(removed.status).toBe(409);
    expect(removed.headers).not.toHaveProperty('set-cookie');
    await post('put');
    const before = id();
    expect((await post('late')).body).toBe('"CLUSTER_SESSION_ENDED"');
    expect(id()).toBe(before);
    expect(await content()).toEqual({ user: 'ada', cart: ['book'] });
  });
});

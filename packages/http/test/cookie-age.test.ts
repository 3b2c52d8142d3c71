import { afterEach, describe, expect, it } from '@jest/globals';
import { ClusterError, MemoryStore } from '@cluster/core';
import { Clock, type ManualClock } from '@cluster/core/driver';
import { sign } from 'cookie-signature';
import type { SessionMiddleware, SessionOptions } from '@cluster/http';
import { express5, instance, one, stopAll, SwitchStore } from './support/cluster.js';
import { put, site, type Work } from './support/site.js';
import { ask, closeAll, deferred, serve } from './support/servers.js';

afterEach(async () => {
  await closeAll();
  await stopAll();
});

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const AGE_MS = 6 * HOUR_MS;

type Options = Omit<Extract<SessionOptions, { store: unknown }>, 'store' | 'clock'>;

/** Two instances whose time stands still; the second knows nothing of ages unless it is told. */
function clocked(options: Options = {}, others: Options = options): { a: SessionMiddleware; b: SessionMiddleware; clock: ManualClock } {
  const clock = Clock.manual(Date.now());
  const store = new MemoryStore({ clock });
  // So that a day has but a few beats.
  const slow = { leaseMs: DAY_MS, clock };
  return { clock, a: one({ ...slow, ...options, store }), b: one({ ...slow, ...others, store: new MemoryStore({ shareWith: store }) }) };
}

const remember: Work = (req, res) => {
  void put(req, res);
  req.session.cookie.maxAge = AGE_MS;
};
const read: Work = ({ session }) => ({ user: session.user ?? null, maxAge: session.cookie.maxAge ?? null });
const forget: Work = ({ session }) => { session.cookie.maxAge = null; };

const cookieOf = (headers: { 'set-cookie'?: string[] | undefined }) => (headers['set-cookie'] ?? []).map((line) => line.replace(/^sid=[\w-]{32}/, 'sid=ID').replace(/\.[0-9a-z]+;/, '.TIME;').replace(/Expires=[^;]*/, 'Expires=DATE'));
const REMEMBERED = ['sid=ID.TIME; Max-Age=21600; Path=/; Expires=DATE; HttpOnly; SameSite=Lax'];
const PLAIN = ['sid=ID; Path=/; HttpOnly; SameSite=Lax'];

describe('a maxAge of one session', () => {
  it('is that of its cookie, and the session lives as long without use', async () => {
    const { a, clock } = clocked();
    const { post, get } = await site({ remember, put, read }, a);
    const reply = await post('remember');
    expect(cookieOf(reply.headers)).toEqual(REMEMBERED);
    const expires = /Expires=([^;]*)/.exec(reply.headers['set-cookie']?.[0] ?? '')?.[1] ?? '';
    expect(Date.parse(expires)).toBeCloseTo(clock.wallMs() + AGE_MS, -4);
    await clock.advance(AGE_MS - 1);
    expect((await get('read')).body).toBe(JSON.stringify({ user: 'ada', maxAge: AGE_MS }));
    await clock.advance(AGE_MS + 2 * MINUTE_MS);
    expect((await get('read')).body).toBe(JSON.stringify({ user: null, maxAge: null }));
  });

  it('is kept by other instances, which send the cookie again when less than half is left', async () => {
    const { a, b, clock } = clocked();
    const { post, visitor } = await site({ remember }, a);
    const other = await site({ read }, b);
    await post('remember');
    await clock.advance(AGE_MS / 2 - MINUTE_MS);
    const early = await visitor.get(`${other.url}/read`);
    expect(early.body).toBe(JSON.stringify({ user: 'ada', maxAge: AGE_MS }));
    expect(early.headers).not.toHaveProperty('set-cookie');
    await clock.advance(2 * MINUTE_MS);
    expect(cookieOf((await visitor.get(`${other.url}/read`)).headers)).toEqual(REMEMBERED);
    expect((await visitor.get(`${other.url}/read`)).headers).not.toHaveProperty('set-cookie');
  });

  it('is sent again before browsers drop it, which keep no cookie for more than 400 days', async () => {
    const { post, get, visitor } = await site({ put, forever: ({ session }) => { session.cookie.maxAge = 10 * 365 * DAY_MS; }, read });
    await post('put');
    await post('forever');
    const [id = ''] = (visitor.cookies.get('sid') ?? '').split('.');
    for (const [days, times] of [[199, undefined], [201, 1]] as const) {
      visitor.cookies.set('sid', `${id}.${Math.floor((Date.now() - days * DAY_MS) / 1000).toString(36)}`);
      expect((await get('read')).headers['set-cookie']?.length).toBe(times);
    }
  });

  it('alone is a change: stored, and the cookie is sent anew; set to what it is it is none', async () => {
    const sessions = instance({ affinity: 'keep' });
    const { post, id } = await site({ put, remember: ({ session }) => { session.cookie.maxAge = AGE_MS; } }, sessions);
    await post('put');
    const before = id();
    const commits = () => sessions.health().storeCalls.commit ?? 0;
    const count = commits();
    expect(cookieOf((await post('remember')).headers)).toEqual(REMEMBERED);
    expect(id().slice(0, 32)).toBe(before);
    expect(commits()).toBe(count + 1);
    expect((await post('remember')).headers).not.toHaveProperty('set-cookie');
    expect(commits()).toBe(count + 1);
  });

  it.each([['null', null], ['undefined', undefined], ['expires = false', false], ['expires = null', null]])('taken back by %s is the browser\'s session again, on every instance', async (way, value) => {
    const { a, b, clock } = clocked({ cookie: { maxAge: 20 * MINUTE_MS } }, {});
    const { post, visitor } = await site({
      remember, read, back: ({ session }) => { Object.assign(session.cookie, way.startsWith('expires') ? { expires: value } : { maxAge: value }); },
    }, a);
    const other = await site({ read, put }, b);
    await post('remember');
    expect(cookieOf((await post('back')).headers)).toEqual(PLAIN);
    expect((await post('back')).headers).not.toHaveProperty('set-cookie');
    for (const url of [`${other.url}/read`]) expect((await visitor.get(url)).body).toBe(JSON.stringify({ user: 'ada', maxAge: null }));
    await clock.advance(34 * MINUTE_MS);
    expect((await post('read')).body).toBe(JSON.stringify({ user: null, maxAge: 20 * MINUTE_MS }));
  });

  it('that nobody set is not taken back: a login form without its box ticked costs nothing', async () => {
    const sessions = instance({ affinity: 'keep' });
    const { post } = await site({ put, back: forget }, sessions);
    await post('put');
    const { commit } = sessions.health().storeCalls;
    expect((await post('back')).headers).not.toHaveProperty('set-cookie');
    expect(sessions.health().storeCalls.commit).toBe(commit);
  });

  it('comes before that of the options, which shows where there is none', async () => {
    const sessions = instance({ cookie: { maxAge: 60_000 } });
    const { post } = await site({ put, remember, read }, sessions);
    expect(cookieOf((await post('put')).headers)).toEqual(['sid=ID.TIME; Max-Age=60; Path=/; Expires=DATE; HttpOnly; SameSite=Lax']);
    expect((await post('read')).body).toBe(JSON.stringify({ user: 'ada', maxAge: 60_000 }));
    expect(cookieOf((await post('remember')).headers)).toEqual(REMEMBERED);
  });

  it('is bounded by the absolute time-out', async () => {
    const { a, clock } = clocked({ absoluteTimeoutMs: HOUR_MS });
    const { post, get } = await site({ remember, read }, a);
    await post('remember');
    await clock.advance(HOUR_MS - 1);
    expect((await get('read')).body).toContain('ada');
    await clock.advance(2);
    expect((await get('read')).body).toContain('"user":null');
  });

  it('is in a signed cookie too', async () => {
    const { post, visitor } = await site({ remember, read }, instance({ secret: 'secret' }));
    await post('remember');
    const value = decodeURIComponent(visitor.cookies.get('sid') ?? '');
    expect(value).toMatch(/^[\w-]{32}\.[0-9a-z]{6}\./);
    expect(value).toBe(sign(value.split('.').slice(0, 2).join('.'), 'secret'));
    expect((await post('read')).body).toContain('ada');
  });

  it('set for a visitor without a session stores and sends nothing', async () => {
    const sessions = instance();
    const { post, get } = await site({ age: ({ session }) => { session.cookie.maxAge = DAY_MS; } }, sessions);
    for (const request of [post, get]) expect((await request('age')).headers).not.toHaveProperty('set-cookie');
    expect(sessions.health().storeCalls).toEqual({});
  });

  it('is set by a GET as well, after the usual check', async () => {
    const sessions = instance({ onConflict: 'error' });
    const go = deferred();
    const inside = deferred();
    const { url, post, get, id } = await site({
      put, remember: ({ session }) => { session.cookie.maxAge = AGE_MS; }, read, day: ({ session }) => { session.cookie.maxAge = DAY_MS; },
      slow: async ({ session }) => {
        inside.resolve();
        await go.promise;
        session.cookie.maxAge = 2 * DAY_MS;
      },
    }, sessions);
    await post('put');
    expect(cookieOf((await get('remember')).headers)).toEqual(REMEMBERED);
    const slow = ask(`${url}/slow`, { headers: { cookie: `sid=${id()}` } });
    await inside.promise;
    await post('day');
    go.resolve();
    expect((await slow).status).toBe(409);
    expect((await slow).headers).not.toHaveProperty('set-cookie');
    expect((await get('read')).body).toContain(String(DAY_MS));
  });

  it('set by a request that a login has overtaken sends no cookie', async () => {
    const go = deferred();
    const inside = deferred();
    const { url, post, id } = await site({
      put, renew: ({ session }) => session.regenerate({ keep: true }),
      slow: async ({ session }) => {
        inside.resolve();
        await go.promise;
        session.cookie.maxAge = DAY_MS;
      },
    });
    await post('put');
    const slow = ask(`${url}/slow`, { headers: { cookie: `sid=${id()}` } });
    await inside.promise;
    await post('renew');
    go.resolve();
    expect((await slow).status).toBe(200);
    expect((await slow).headers).not.toHaveProperty('set-cookie');
  });

  it('that cannot be stored is not sent, and one set too late throws', async () => {
    const store = new SwitchStore();
    const { post, content } = await site({
      put, read,
      down: ({ session }) => {
        store.cutOff();
        session.cookie.maxAge = DAY_MS;
      },
      late: async ({ session }) => {
        await session.release();
        expect(() => { session.cookie.maxAge = DAY_MS; }).toThrow(expect.objectContaining({ code: 'CLUSTER_SESSION_ENDED' }));
      },
    }, one({ store, storeTimeoutMs: 20, lockTimeoutMs: 20 }));
    await post('put');
    const reply = await post('down');
    expect(reply.status).toBe(503);
    expect(reply.headers).not.toHaveProperty('set-cookie');
    store.map.before = () => undefined;
    const late = await post('late');
    expect(late.status).toBe(200);
    expect(late.headers).not.toHaveProperty('set-cookie');
    expect(await content()).toEqual({ user: 'ada', cart: ['book'] });
    expect((await post('read')).body).toContain('"maxAge":null');
  });
});

describe('regenerate', () => {
  const kept: [string, unknown, boolean][] = [
    ['without keep', undefined, false], ['with attributes to keep', { keep: ['user'] }, false],
    ["with keep: ['cookie']", { keep: ['cookie', 'user'] }, true], ['with keep: true', { keep: true }, true],
  ];
  it.each(kept)('%s', async (_name, options, keeps) => {
    const renew: Work = async ({ session }) => { await session.regenerate(options as { keep: true }); };
    const { post } = await site({
      remember, read,
      renew: async (req, res) => { await renew(req, res); req.session.note = 'new'; },
      begin: async (req, res) => { await remember(req, res); await renew(req, res); req.session.note = 'new'; },
    });
    const cookie = keeps ? REMEMBERED : PLAIN;
    const maxAge = keeps ? AGE_MS : null;
    await post('remember');
    expect(cookieOf((await post('renew')).headers)).toEqual(cookie);
    expect(JSON.parse((await post('read')).body)).toMatchObject({ maxAge });
    const { post: anew } = await site({ read, begin: async (req, res) => { await remember(req, res); await renew(req, res); req.session.note = 'new'; } });
    expect(cookieOf((await anew('begin')).headers)).toEqual(cookie);
    expect(JSON.parse((await anew('read')).body)).toMatchObject({ maxAge });
  });

  it('and an age set after it: the login with "remember me"', async () => {
    const { a, b, clock } = clocked();
    const { post, visitor } = await site({ put, login: async (req) => {
      await req.session.regenerate();
      req.session.user = 'grace';
      req.session.cookie.maxAge = AGE_MS;
    } }, a);
    await post('put');
    expect(cookieOf((await post('login')).headers)).toEqual(REMEMBERED);
    await clock.advance(2 * HOUR_MS);
    const other = await site({ read }, b);
    expect((await visitor.get(`${other.url}/read`)).body).toContain('grace');
  });
});

describe('as users of express-session write it', () => {
  it('expires and originalMaxAge are the same age', async () => {
    // From one request to the next, some milliseconds may pass between the application's look at the clock and ours.
    let lagMs = 0;
    const { post } = await site({
      put, read,
      expires: ({ session }) => { session.cookie.expires = new Date(Date.now() + AGE_MS - (lagMs += 300)); },
      original: ({ session }) => { session.cookie.originalMaxAge = AGE_MS; },
      back: forget,
    });
    await post('put');
    for (const way of ['expires', 'original']) {
      expect(cookieOf((await post(way)).headers)).toEqual(REMEMBERED);
      // Again in every request, as middleware does it: the same age, from a later moment.
      expect((await post(way)).headers).not.toHaveProperty('set-cookie');
      expect((await post('read')).body).toContain(String(AGE_MS));
      await post('back');
    }
  });

  it('what it shows has the shape that they know', async () => {
    const { post, get } = await site({ put, remember, read: ({ session: { cookie } }) => {
      const maxAge: number | undefined = cookie.maxAge;
      const original: number | null = cookie.originalMaxAge;
      const expires: Date | null | undefined = cookie.expires;
      expect(expires === null ? undefined : Math.round((expires.getTime() - Date.now()) / 1000) * 1000).toBe(maxAge);
      expect(original).toBe(maxAge ?? null);
      return { ...cookie };
    }, same: ({ session }) => session.cookie === session.cookie });
    await post('put');
    const shown = { path: '/', httpOnly: true, secure: 'auto', sameSite: 'lax', partitioned: false };
    expect(JSON.parse((await get('read')).body)).toEqual({ ...shown, originalMaxAge: null, expires: null });
    await post('remember');
    expect(JSON.parse((await get('read')).body)).toEqual({ ...shown, maxAge: AGE_MS, originalMaxAge: AGE_MS, expires: expect.any(String) });
    expect((await get('same')).body).toBe('true');
  });

  const bad: [string, unknown][] = [
    ['maxAge', 0], ['maxAge', 999], ['maxAge', -1], ['maxAge', 1000.5], ['maxAge', NaN], ['maxAge', Infinity], ['maxAge', '60000'], ['maxAge', false],
    ['maxAge', 1e15], ['maxAge', new Date(Date.now() + DAY_MS)], ['originalMaxAge', 'x'], ['expires', new Date(0)], ['expires', new Date(NaN)],
    ['expires', 60_000], ['expires', 'tomorrow'], ['expires', true], ['expires', new Date(8.64e15)],
    ['secure', true], ['path', '/'], ['domain', 'foo.com'], ['httpOnly', false], ['sameSite', 'none'], ['partitioned', true], ['priority', 'high'],
  ];
  it.each(bad)('%s = %p is refused, by name, before anything is changed', async (name, value) => {
    const sessions = instance({ affinity: 'keep' });
    const { post } = await site({ put, read, bad: ({ session }) => {
      try {
        Reflect.set(session.cookie, name, value);
      } catch (error) {
        return ClusterError.is(error) ? [error.code, error.message] : ['no ClusterError', ''];
      }
      return ['not refused', ''];
    } }, sessions);
    await post('put');
    const { commit } = sessions.health().storeCalls;
    const reply = await post('bad');
    const [code, message] = JSON.parse(reply.body) as [string, string];
    expect(code).toBe('CLUSTER_BAD_OPTION');
    expect(message).toMatch(new RegExp(`^session\\.cookie\\.${name}: `));
    expect(reply.headers).not.toHaveProperty('set-cookie');
    expect(sessions.health().storeCalls.commit).toBe(commit);
    expect((await post('read')).body).toContain('"maxAge":null');
  });
});

describe('touch', () => {
  it('starts the idle time of a long response anew, and tells when the session is gone', async () => {
    const { a, clock } = clocked();
    const step = [deferred(), deferred()] as const;
    const done = [deferred(), deferred()] as const;
    const { url, post, id } = await site({ put, read, stream: async ({ session }, res) => {
      res.write('data: 0\n');
      await step[0].promise;
      await session.touch();
      done[0].resolve();
      await step[1].promise;
      return session.touch().catch((error: unknown) => { done[1].resolve(); return Reflect.get(error as Error, 'code') as unknown; });
    } }, a);
    await post('put');
    const streaming = ask(`${url}/stream`, { headers: { cookie: `sid=${id()}` } });
    await clock.advance(25 * MINUTE_MS);
    step[0].resolve();
    await done[0].promise;
    await clock.advance(25 * MINUTE_MS);
    expect((await post('read')).body).toContain('ada');
    await a.manager.removeSession(id());
    step[1].resolve();
    expect((await streaming).body).toBe('data: 0\n"CLUSTER_SESSION_ENDED"');
  });

  it('starts the age of the cookie anew, where it has one', async () => {
    const { post } = await site({ put, remember, touch: ({ session }) => session.touch() });
    await post('put');
    expect((await post('touch')).headers).not.toHaveProperty('set-cookie');
    await post('remember');
    expect(cookieOf((await post('touch')).headers)).toEqual(REMEMBERED);
  });

  it('that fails, or that nobody awaits, fails no response', async () => {
    const store = new SwitchStore();
    const { post } = await site({ put, touch: ({ session }) => {
      store.cutOff();
      void session.touch();
    } }, one({ store, affinity: 'release', storeTimeoutMs: 20, lockTimeoutMs: 20 }));
    await post('put');
    // The lock cannot be given back either, which is no concern of the visitor.
    expect((await post('touch')).status).toBe(200);
  });
});

it('a request that looks at no cookie has none made for it', async () => {
  const { url } = await serve(express5(instance(), (req, res) => { res.end(String(Object.keys(req.session).includes('cookie'))); }));
  expect((await ask(url)).body).toBe('false');
});

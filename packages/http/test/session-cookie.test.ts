import { createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import express from 'express';
import { sign } from 'cookie-signature';
import type { CookieOptions, SessionMiddleware } from '@cluster/http';
import { certificate } from './support/certificate.js';
import { express5, instance, stopAll, warningsOf, type Handler } from './support/cluster.js';
import { ask, closeAll, deferred, serve, Visitor } from './support/servers.js';

afterEach(async () => {
  jest.restoreAllMocks();
  await closeAll();
  await stopAll();
});

const counter: Handler = (req, res) => {
  if (req.method === 'POST') req.session.count = (req.session.count ?? 0) + 1;
  res.end(String(req.session.count ?? 0));
};

const countedOn = (sessions: SessionMiddleware) => serve(express5(sessions, counter));

async function setCookie(cookie: CookieOptions, headers: Record<string, string> = {}): Promise<string> {
  const { url } = await countedOn(instance({ cookie }));
  const reply = await ask(url, { method: 'POST', headers });
  return (reply.headers['set-cookie']?.[0] ?? '').replace(/^sid=[\w-]{32}(\.[0-9a-z]+)?/, 'sid=ID');
}

describe('Set-Cookie', () => {
  it.each<[string, CookieOptions, string]>([
    ['by default', {}, 'sid=ID; Path=/; HttpOnly; SameSite=Lax'],
    ['path and domain', { path: '/shop', domain: 'foo.com' }, 'sid=ID; Domain=foo.com; Path=/shop; HttpOnly; SameSite=Lax'],
    ['everything', { httpOnly: false, secure: true, sameSite: 'none', partitioned: true, priority: 'high' }, 'sid=ID; Path=/; Secure; Partitioned; Priority=High; SameSite=None'],
    ['strict', { sameSite: 'strict', secure: false }, 'sid=ID; Path=/; HttpOnly; SameSite=Strict'],
  ])('%s', async (_name, cookie, line) => {
    expect(await setCookie(cookie)).toBe(line);
  });

  it('with an age has Max-Age and Expires', async () => {
    expect(await setCookie({ maxAge: 1_800_000 })).toMatch(/^sid=ID; Max-Age=1800; Path=\/; Expires=.* GMT; HttpOnly; SameSite=Lax$/);
  });

  it('is sent when the session is stored, and not again', async () => {
    const { url } = await countedOn(instance());
    const visitor = new Visitor();
    expect((await visitor.get(url)).headers).not.toHaveProperty('set-cookie');
    const first = await visitor.post(url);
    expect(first.headers['set-cookie']).toHaveLength(1);
    expect(first.headers['cache-control']).toBe('private');
    const second = await visitor.post(url);
    expect(second.headers).not.toHaveProperty('set-cookie');
    expect(second.headers).not.toHaveProperty('cache-control');
  });

  it('leaves what the application says about caching', async () => {
    const { url } = await serve(express5(instance(), (req, res) => {
      res.setHeader('Cache-Control', 'public, max-age=60');
      return counter(req, res);
    }));
    expect((await ask(url, { method: 'POST' })).headers['cache-control']).toBe('public, max-age=60');
  });
});

describe("secure: 'auto'", () => {
  it('is Secure on a TLS connection', async () => {
    const sessions = instance();
    const tls = await certificate();
    const server = createServer(tls.server, express5(sessions, counter));
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    const { port } = server.address() as AddressInfo;
    const lines = await new Promise<string[] | undefined>((resolve, reject) => {
      request({ port, host: '127.0.0.1', method: 'POST', agent: false, ...tls.client }, (res) => {
        res.resume().on('end', () => { resolve(res.headers['set-cookie']); });
      }).on('error', reject).end();
    });
    await new Promise((resolve) => server.close(resolve));
    expect(lines?.[0]).toMatch(/; Secure;/);
  });

  it("is Secure where Express trusts its proxy's word", async () => {
    const sessions = instance();
    const app = express().set('trust proxy', 'loopback').use(sessions).use(((req, res) => counter(req, res)) as express.Handler);
    const { url } = await serve(app);
    const over = async (proto: string) => (await ask(url, { method: 'POST', headers: { 'X-Forwarded-Proto': proto } })).headers['set-cookie']?.[0];
    expect(await over('https')).toMatch(/; Secure;/);
    expect(await over('http')).not.toMatch(/Secure/);
  });

  it('tells once why a browser will drop the cookie', async () => {
    expect(await warningsOf(() => setCookie({ secure: true }))).toEqual(['CLUSTER_HTTP_SECURE_OVER_HTTP']);
    for (const cookie of [{ sameSite: 'none' }, { partitioned: true }] as const) {
      expect(await warningsOf(() => setCookie(cookie))).toEqual(['CLUSTER_HTTP_INSECURE_COOKIE']);
    }
    for (const name of ['__Host-sid', '__Secure-sid']) {
      const { url } = await countedOn(instance({ name }));
      expect(await warningsOf(() => ask(url, { method: 'POST' }))).toEqual(['CLUSTER_HTTP_INSECURE_COOKIE']);
    }
  });
});

describe('a signed cookie', () => {
  it('is signed by the first secret and verified by every one', async () => {
    const { url } = await countedOn(instance({ secret: ['new', 'old'] }));
    const visitor = new Visitor();
    await visitor.post(url);
    const value = decodeURIComponent(visitor.cookies.get('sid') ?? '');
    expect(value).toBe(sign(value.slice(0, 32), 'new'));
    expect((await visitor.post(url)).body).toBe('2');
    visitor.cookies.set('sid', encodeURIComponent(sign(value.slice(0, 32), 'old')));
    expect((await visitor.post(url)).body).toBe('3');
  });

  it('is not used, with one warning, unless one of them verifies it', async () => {
    const id = 'A'.repeat(32);
    const sessions = instance({ secret: ['new', 'old'] });
    let asked: string | undefined;
    const { url } = await serve(express5(sessions, counter));
    const { findSession } = sessions.manager;
    sessions.manager.findSession = function watched(this: typeof sessions.manager, sought, options) {
      asked = sought;
      return findSession.call(this, sought, options);
    };
    for (const secret of ['new', 'old']) {
      asked = undefined;
      await ask(url, { headers: { cookie: `sid=${encodeURIComponent(sign(id, secret))}` } });
      expect(asked).toBe(id);
    }
    asked = undefined;
    const warnings = await warningsOf(async () => {
      for (const value of [sign(id, 'other'), id, `${id}.`, '.', '']) await ask(url, { headers: { cookie: `sid=${encodeURIComponent(value)}` } });
    });
    expect(asked).toBeUndefined();
    expect(warnings).toEqual(['CLUSTER_HTTP_BAD_SIGNATURE']);
  });
});

describe('a cookie from outside', () => {
  const id = 'B'.repeat(32);
  it.each<[string, string, string[], string[]]>([
    ['the plain case', `sid=${id}`, [id], ['UNKNOWN_ID']],
    ['among others', `a=1; xsid=2; sid=${id}; sidx=3`, [id], ['UNKNOWN_ID']],
    ['in quotes and blanks', ` sid = "x" ;  sid=${id} `, [id], ['UNKNOWN_ID']],
    ['empty', 'sid=', [], ['MALFORMED_COOKIE']],
    ['of bad escapes', 'sid=%E0%A4%A', [], ['MALFORMED_COOKIE']],
    ['with path characters', 'sid=../../etc/passwd', [], ['MALFORMED_COOKIE']],
    ['with a null byte', 'sid=a%00b', [], ['MALFORMED_COOKIE']],
    ['too long', `sid=${'x'.repeat(8_000)}`, [], ['MALFORMED_COOKIE']],
    ['named like a property of every object', `__proto__=1; sid=${id}`, [id], ['UNKNOWN_ID']],
    ['doubled', `sid=${id}; sid=${'C'.repeat(32)}`, [id], ['DOUBLED_COOKIE', 'UNKNOWN_ID']],
    ['doubled, the first one malformed', `sid=..; sid=${id}`, [id], ['MALFORMED_COOKIE', 'DOUBLED_COOKIE', 'UNKNOWN_ID']],
    ['of other names only', 'other=1; sid', [], []],
  ])('%s', async (_name, cookie, sought, reasons) => {
    const sessions = instance();
    const asked: string[] = [];
    const { findSession } = sessions.manager;
    sessions.manager.findSession = function watched(this: typeof sessions.manager, each, options) {
      asked.push(each);
      return findSession.call(this, each, options);
    };
    const { url } = await countedOn(sessions);
    const warnings = await warningsOf(async () => {
      for (let time = 0; time < 2; time += 1) expect(await ask(url, { headers: { cookie } })).toMatchObject({ status: 200, body: '0' });
    });
    expect(asked).toEqual([...sought, ...sought]);
    expect(warnings).toEqual(reasons.map((reason) => `CLUSTER_HTTP_${reason}`));
  });

  it('of another name is the one that counts where `name` says so', async () => {
    const { url } = await countedOn(instance({ name: 'shop.sid' }));
    const visitor = new Visitor();
    await visitor.post(url);
    expect([...visitor.cookies.keys()]).toEqual(['shop.sid']);
    expect((await visitor.post(url)).body).toBe('2');
  });
});

describe('a cookie with an age', () => {
  it('is re-sent when less than half is left, or its age is not known', async () => {
    const sessions = instance({ idleTimeoutMs: 3_600_000, cookie: { maxAge: 3_600_000 }, secret: 'secret' });
    const { url } = await countedOn(sessions);
    const visitor = new Visitor();
    await visitor.post(url);
    const started = Date.now();
    const value = decodeURIComponent(visitor.cookies.get('sid') ?? '');
    const id = value.slice(0, 32);
    const present = () => value.split('.')[1];
    expect(parseInt(present() ?? '', 36)).toBeCloseTo(started / 1000, -1);
    const resent = async (sentMs: number | undefined) => {
      const text = sentMs === undefined ? id : `${id}.${Math.floor(sentMs / 1000).toString(36)}`;
      const reply = await ask(url, { headers: { cookie: `sid=${encodeURIComponent(sign(text, 'secret'))}` } });
      expect(reply.body).toBe('1');
      return reply.headers['set-cookie']?.length ?? 0;
    };
    expect(await resent(started)).toBe(0);
    expect(await resent(started - 1_700_000)).toBe(0);
    expect(await resent(started - 1_900_000)).toBe(1);
    expect(await resent(undefined)).toBe(1);
  });

  it('is not re-sent by a request that a login has overtaken', async () => {
    const go = deferred();
    const inside = deferred();
    const { url } = await serve(express5(instance({ idleTimeoutMs: 3_600_000, cookie: { maxAge: 3_600_000 } }), async (req, res) => {
      if (req.url === '/login') {
        await req.session.regenerate({ keep: true });
      } else if (req.url === '/slow') {
        inside.resolve();
        await go.promise;
      }
      await counter(req, res);
    }));
    const visitor = new Visitor();
    await visitor.post(url);
    const id = visitor.cookies.get('sid')?.slice(0, 32) ?? '';
    const slow = ask(`${url}/slow`, { headers: { cookie: `sid=${id}` } });
    await inside.promise;
    await visitor.post(`${url}/login`);
    go.resolve();
    expect((await slow).status).toBe(200);
    expect((await slow).headers).not.toHaveProperty('set-cookie');
  });
});

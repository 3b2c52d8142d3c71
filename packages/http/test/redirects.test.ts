import type { RequestListener, ServerResponse } from 'node:http';
import { afterEach, describe, expect, it } from '@jest/globals';
import { MemoryStore } from '@cluster/core';
import type { SessionMiddleware, SessionOptions } from '@cluster/http';
import { hosts, one, stopAll, warned, type Handler, type SessionRequest } from './support/cluster.js';
import { until } from './support/counter.js';
import { ask, closeAll, deferred, serve, Visitor, type Reply } from './support/servers.js';

type Options = Omit<Extract<SessionOptions, { store: unknown }>, 'store'>;

interface Site { readonly url: string; readonly sessions: SessionMiddleware; readonly served: string[] }

let release = deferred();
/** Ends every request for /slow; the other paths answer at once. */
const endAll = () => { release.resolve(); release = deferred(); };

const replies = new Set<Promise<Reply>>();
afterEach(async () => {
  endAll();
  await Promise.all(replies);
  replies.clear();
  await closeAll();
  await stopAll();
});

const bodyOf = async (req: SessionRequest) => {
  let body = '';
  for await (const chunk of req) body += String(chunk);
  return body;
};

const handlerOf = (served: string[]): Handler => async (req, res: ServerResponse) => {
  const url = (req as { originalUrl?: string }).originalUrl ?? req.url ?? '';
  const path = url.split('?')[0] ?? '';
  served.push(`${req.method ?? ''} ${url} ${await bodyOf(req)}`.trim());
  if (path.endsWith('/slow')) await release.promise;
  req.session.count = (req.session.count ?? 0) + 1;
  res.end(String(req.session.count));
};

/** Two instances over one store, each reached at its own port; both know where. */
async function two(options: Options = {}, { host = 'node:http', urlOf = (port: number) => `http://127.0.0.1:${port}` }: {
  readonly host?: string; readonly urlOf?: (port: number, name: string) => string;
} = {}): Promise<[Site, Site]> {
  const made: Site[] = [];
  const first = new MemoryStore({ instanceId: 'a' });
  for (const store of [first, new MemoryStore({ instanceId: 'b', shareWith: first })]) {
    let listener: RequestListener = () => undefined;
    const { url, port } = await serve((req, res) => { listener(req, res); });
    const sessions = one({ onLocked: 'redirect', publicUrl: urlOf(port, store.instanceId), affinity: 'keep', ...options, store });
    const served: string[] = [];
    listener = hosts[host]?.(sessions, handlerOf(served)) ?? listener;
    made.push({ url, sessions, served });
  }
  const [a, b] = made;
  if (a === undefined || b === undefined) throw new Error('expected two stores');
  return [a, b];
}

/** A request on `site` that has the session until `endAll`. */
async function busy(site: Site, visitor: Visitor, path = '/slow'): Promise<{ readonly reply: Promise<Reply> }> {
  const before = site.served.length;
  const reply = visitor.post(`${site.url}${path}`);
  replies.add(reply);
  await until(() => site.served.length > before);
  return { reply };
}

/** As a browser does: the same method and body, with the cookies for that address. */
const follow = (visitor: Visitor, reply: Reply, body?: string) => visitor.post(reply.headers.location ?? '', body);

describe.each(Object.keys(hosts))("onLocked 'redirect' under %s", (host) => {
  it('sends a request to the instance whose request has the session, with method, body and query', async () => {
    const [a, b] = await two({}, { host });
    const visitor = new Visitor();
    await visitor.post(`${a.url}/first`);
    const slow = await busy(a, visitor);
    const reply = await visitor.post(`${b.url}/cart/add?item=7&n=%C3%BC`, 'item=7');
    expect(reply).toMatchObject({ status: 307, body: '', headers: { 'location': `${a.url}/cart/add?item=7&n=%C3%BC`, 'cache-control': 'no-store', 'content-length': '0' } });
    expect(reply.headers['set-cookie']).toEqual([expect.stringMatching(/^sid-hop=1; Max-Age=10; Path=\/; HttpOnly; SameSite=Lax$/)]);
    const arrived = follow(visitor, reply, 'item=7');
    await until(() => a.sessions.health().waiting > 0);
    endAll();
    expect((await slow.reply).body).toBe('2');
    expect(await arrived).toMatchObject({ status: 200, body: '3' });
    expect(a.served).toEqual(['POST /first', 'POST /slow', 'POST /cart/add?item=7&n=%C3%BC item=7']);
    expect(b.served).toEqual([]);
  });
});

describe.each(Object.keys(hosts))("a request that waits in place of a redirect, under %s", (host) => {
  it('keeps its place, and does not wait for itself where its handler updates its session', async () => {
    const [a, b] = await two({ lockTimeoutMs: 2_000 }, { host, urlOf: (_port, name) => `http://www-${name}.foo.com` });
    const visitor = new Visitor();
    await visitor.post(`${a.url}/first`);
    const slow = await busy(a, visitor);
    const { url } = await serve(hosts[host]?.(b.sessions, async (req, res) => {
      await b.sessions.manager.update(req.session.id, (session) => { session.count = (session.count ?? 0) + 10; });
      res.end(String(req.session.count));
    }) ?? (() => undefined));
    const waiting = visitor.post(`${url}/next`);
    await until(() => (b.sessions.health().storeCalls.acquire ?? 0) > 2);
    endAll();
    await slow.reply;
    expect(await waiting).toMatchObject({ status: 200, body: '12' });
  });
});

describe("onLocked 'redirect'", () => {
  it('leaves the session where it is used', async () => {
    const [a, b] = await two();
    const visitor = new Visitor();
    await visitor.post(`${a.url}/first`);
    const slow = await busy(a, visitor);
    const arrived = follow(visitor, await visitor.post(`${b.url}/next`));
    await until(() => a.sessions.health().waiting > 0);
    const commits = () => (a.sessions.health().storeCalls.commit ?? 0) + (b.sessions.health().storeCalls.commit ?? 0);
    const before = commits();
    endAll();
    expect([(await slow.reply).body, (await arrived).body]).toEqual(['2', '3']);
    expect(commits() - before).toBe(2);
  });

  it('does not redirect away from an instance that holds the session idle', async () => {
    const [a, b] = await two();
    const visitor = new Visitor();
    await visitor.post(`${a.url}/first`);
    expect(a.sessions.health().held).toBe(1);
    expect(await visitor.post(`${b.url}/next`)).toMatchObject({ status: 200, body: '2' });
    expect(b.served).toEqual(['POST /next']);
  });

  it('redirects once: where the session has moved back meanwhile, the request waits', async () => {
    const [a, b] = await two();
    const visitor = new Visitor();
    await visitor.post(`${a.url}/first`);
    const slow = await busy(a, visitor);
    const reply = await visitor.post(`${b.url}/next`);
    expect(reply.status).toBe(307);
    endAll();
    await slow.reply;
    // Another tab, which was never sent on.
    const other = new Visitor();
    other.cookies.set('sid', visitor.cookies.get('sid') ?? '');
    const back = await busy(b, other);
    const asked = () => a.sessions.health().storeCalls.acquire ?? 0;
    const before = asked();
    const arrived = follow(visitor, reply);
    await until(() => asked() > before + 2);
    endAll();
    expect((await back.reply).body).toBe('3');
    expect(await arrived).toMatchObject({ status: 200, body: '4' });
    expect(a.served).toEqual(['POST /first', 'POST /slow', 'POST /next']);
  });

  it('is followed by fetch, which keeps method and body', async () => {
    const [a, b] = await two();
    const visitor = new Visitor();
    await visitor.post(`${a.url}/first`);
    await busy(a, visitor);
    const cookie = `sid=${visitor.cookies.get('sid') ?? ''}`;
    // fetch takes another port for another site and leaves the cookie behind, so that this one begins a session there.
    const reply = await fetch(`${b.url}/next`, { method: 'PUT', body: 'x'.repeat(100_000), headers: { cookie } });
    expect([reply.status, reply.url, reply.redirected, await reply.text()]).toEqual([200, `${a.url}/next`, true, '1']);
    expect(a.served.at(-1)).toBe(`PUT /next ${'x'.repeat(100_000)}`);
  });

  it('leaves to the answer what middleware has set before', async () => {
    const [a, b] = await two({}, { host: 'Connect' });
    const visitor = new Visitor();
    await visitor.post(`${a.url}/first`);
    await busy(a, visitor);
    const { url } = await serve((req, res) => {
      res.setHeader('Access-Control-Allow-Origin', 'https://foo.com');
      res.appendHeader('Set-Cookie', 'theme=dark');
      b.sessions(req, res, () => { res.end('served'); });
    });
    const reply = await visitor.post(`${url}/next`);
    expect(reply).toMatchObject({ status: 307, headers: { 'access-control-allow-origin': 'https://foo.com', 'location': `${a.url}/next` } });
    expect(reply.headers['set-cookie']).toEqual(['theme=dark', expect.stringContaining('sid-hop=1')]);
  });

  it('never leads to another host than that of the instance, whatever the request names', async () => {
    const [a, b] = await two();
    const visitor = new Visitor();
    await visitor.post(`${a.url}/first`);
    await busy(a, visitor);
    const port = Number(new URL(b.url).port);
    const headers = { cookie: `sid=${visitor.cookies.get('sid') ?? ''}`, host: new URL(b.url).host };
    const target = (path: string) => ask(`http://127.0.0.1:${port}`, { method: 'POST', headers, path });
    for (const path of ['//evil.example.com/x', '/\\evil.example.com', '/@evil.example.com', '/.evil.example.com', '/x?to=https://evil.example.com']) {
      const { status, headers: { location = '' } } = await target(path);
      expect([path, status, location]).toEqual([path, 307, a.url + path]);
      expect(new URL(location).host).toBe(new URL(a.url).host);
    }
  });

  it('waits where the request names a whole address, as one for a proxy does', async () => {
    const [a, b] = await two({ lockTimeoutMs: 300 });
    const visitor = new Visitor();
    await visitor.post(`${a.url}/first`);
    await busy(a, visitor);
    const headers = { cookie: `sid=${visitor.cookies.get('sid') ?? ''}` };
    expect(await ask(b.url, { method: 'POST', headers, path: 'http://evil.example.com/x' })).toMatchObject({ status: 503 });
  });

  describe('to hosts of one domain', () => {
    const urlOf = (_port: number, name: string) => `http://www-${name}.foo.com`;
    const from = (site: Site, visitor: Visitor, host = 'www-b.foo.com') => visitor.ask(`${site.url}/next`, { method: 'POST', headers: { host } });

    it.each(['foo.com', '.FOO.com'])('marks the client at all of them, by cookie.domain %s', async (domain) => {
      const [a, b] = await two({ cookie: { domain } }, { urlOf });
      const visitor = new Visitor();
      await visitor.post(`${a.url}/first`);
      await busy(a, visitor);
      const reply = await from(b, visitor);
      expect(reply).toMatchObject({ status: 307, headers: { location: 'http://www-a.foo.com/next' } });
      expect(reply.headers['set-cookie']).toEqual([`sid-hop=1; Max-Age=10; Domain=${domain}; Path=/; HttpOnly; SameSite=Lax`]);
    });

    it.each<[string, Options, string, (port: number, name: string) => string]>([
      ['has no domain', {}, 'www-b.foo.com', urlOf],
      ['has another domain', { cookie: { domain: 'shop.foo.com' } }, 'b.shop.foo.com', urlOf],
      ['has a domain that the host merely ends like', { cookie: { domain: 'o.com' } }, 'www.o.com', urlOf],
      ['is Secure and the address is not', { cookie: { domain: 'foo.com', secure: true } }, 'www-b.foo.com', urlOf],
    ])('waits where the cookie %s, and says so', async (_, options, host, where) => {
      const [a, b] = await two(options, { urlOf: where });
      const visitor = new Visitor();
      const said = await warned(async () => {
        await visitor.post(`${a.url}/first`);
        const slow = await busy(a, visitor);
        const waiting = from(b, visitor, host);
        await until(() => (b.sessions.health().storeCalls.acquire ?? 0) > 2);
        endAll();
        expect((await slow.reply).body).toBe('2');
        expect(await waiting).toMatchObject({ status: 200, body: '3' });
      });
      expect(said.map(({ code }) => code).filter((code) => code !== 'CLUSTER_HTTP_SECURE_OVER_HTTP')).toEqual(['CLUSTER_HTTP_REDIRECT_WITHOUT_COOKIE']);
    });

    it('sends no client that spoke TLS to an address without', async () => {
      const [a, b] = await two({ cookie: { domain: 'foo.com', secure: false }, trustProxy: true }, { urlOf });
      const visitor = new Visitor();
      await visitor.post(`${a.url}/first`);
      const slow = await busy(a, visitor);
      const waiting = visitor.ask(`${b.url}/next`, { method: 'POST', headers: { 'host': 'www-b.foo.com', 'x-forwarded-proto': 'https' } });
      await until(() => (b.sessions.health().storeCalls.acquire ?? 0) > 2);
      endAll();
      await slow.reply;
      expect(await waiting).toMatchObject({ status: 200, body: '3' });
    });

    it('goes from TLS to TLS with a mark that is Secure', async () => {
      const [a, b] = await two({ cookie: { domain: 'foo.com' }, trustProxy: true }, { urlOf: (_port, name) => `https://www-${name}.foo.com` });
      const visitor = new Visitor();
      await visitor.post(`${a.url}/first`);
      await busy(a, visitor);
      const reply = await visitor.ask(`${b.url}/next`, { method: 'POST', headers: { 'host': 'www-b.foo.com', 'x-forwarded-proto': 'https' } });
      expect(reply).toMatchObject({ status: 307, headers: { location: 'https://www-a.foo.com/next' } });
      expect(reply.headers['set-cookie']?.[0]).toContain('; Secure');
    });
  });

  it('waits where the id does not travel by a cookie', async () => {
    const transport: SessionOptions['transport'] = {
      read: (req) => req.headers['x-id'], write: (res, id) => { res.setHeader('X-Id', id); }, clear: () => undefined,
    };
    const [a, b] = await two({ transport });
    const first = await ask(`${a.url}/first`, { method: 'POST' });
    const headers = { 'x-id': String(first.headers['x-id']) };
    const slow = ask(`${a.url}/slow`, { method: 'POST', headers });
    await until(() => a.served.length > 1);
    const waiting = ask(`${b.url}/next`, { method: 'POST', headers });
    await until(() => (b.sessions.health().storeCalls.acquire ?? 0) > 2);
    endAll();
    expect([(await slow).body, (await waiting).body]).toEqual(['2', '3']);
    expect(b.served).toEqual(['POST /next']);
  });

  it('answers 503 where the function says error, and 307 where it says redirect', async () => {
    const [a, b] = await two({ onLocked: ({ label, holder }) => (label === 'POST /api' ? 'error' : holder.isHere ? 'wait' : 'redirect') });
    const visitor = new Visitor();
    await visitor.post(`${a.url}/first`);
    const slow = await busy(a, visitor);
    expect(await visitor.post(`${b.url}/api`)).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
    const reply = await visitor.post(`${b.url}/page`);
    expect(reply.status).toBe(307);
    expect(await visitor.post(`${a.url}/api`)).toMatchObject({ status: 503 });
    const arrived = follow(visitor, reply);
    await until(() => a.sessions.health().waiting > 0);
    endAll();
    expect([(await slow.reply).body, (await arrived).body]).toEqual(['2', '3']);
  });
});

import { afterEach, describe, expect, it } from '@jest/globals';
import { express5, instance, one, stopAll, SwitchStore } from './support/cluster.js';
import { put, site } from './support/site.js';
import { closeAll, serve, Visitor } from './support/servers.js';

afterEach(async () => {
  await closeAll();
  await stopAll();
});

describe('the answer in place of a response whose change was not stored', () => {
  it('keeps what other middleware has set, and nothing that describes the body replaced', async () => {
    const { url } = await serve(express5(instance(), (req, res) => {
      const kept = { 'Access-Control-Allow-Origin': '*', 'Strict-Transport-Security': 'max-age=9', Vary: 'Origin', 'Content-Security-Policy': "default-src 'self'" };
      const replaced = { ETag: '"a"', Location: '/', 'Content-Encoding': 'x', 'Content-Language': 'en', Age: '3', Refresh: '1', 'Set-Cookie': 'a=b', Expires: '0', 'Last-Modified': '0' };
      for (const [name, value] of Object.entries({ ...kept, ...replaced })) res.setHeader(name, value);
      req.session.set('callback', () => 1);
      res.end('body');
    }));
    const { status, headers } = await new Visitor().post(url);
    expect(status).toBe(500);
    expect(headers).toMatchObject({
      'access-control-allow-origin': '*', 'strict-transport-security': 'max-age=9', vary: 'Origin', 'content-security-policy': "default-src 'self'",
      'cache-control': 'no-store', 'content-type': 'text/plain; charset=utf-8',
    });
    for (const name of ['etag', 'location', 'content-encoding', 'content-language', 'age', 'refresh', 'set-cookie', 'expires', 'last-modified']) expect(headers).not.toHaveProperty(name);
  });
});

describe("an error page of the application's own", () => {
  it('is a response like any other: the change before it is stored', async () => {
    const { post, content } = await site({ put, fail: async ({ session }) => {
      session.note = 'before';
      await Promise.resolve();
      throw Object.assign(new Error('broken'), { status: 500, expose: false });
    } });
    await post('put');
    const { error } = console;
    console.error = () => undefined;
    expect((await post('fail')).status).toBe(500);
    console.error = error;
    expect(await content()).toMatchObject({ note: 'before' });
  });
});

describe('a resend of the cookie', () => {
  it('that cannot be checked is left out, and the request is answered', async () => {
    const store = new SwitchStore();
    const sessions = one({ store, cookie: { maxAge: 60_000 }, storeTimeoutMs: 20, lockTimeoutMs: 20 });
    const { manager } = sessions;
    const { post, visitor, url } = await site({ put, leave: () => 'untouched', look: ({ session }) => session.user }, sessions);
    await post('put');
    // Sent so long ago that it is due.
    visitor.cookies.set('sid', `${(visitor.cookies.get('sid') ?? '').split('.')[0] ?? ''}.1`);
    const { sendSession, findSession } = manager;
    manager.sendSession = () => Promise.reject(new Error('refused'));
    expect(await visitor.get(`${url}/leave`)).toMatchObject({ status: 200, body: '"untouched"' });
    manager.sendSession = sendSession;
    let finds = 0;
    manager.findSession = function once(this: typeof manager, ...args) {
      finds += 1;
      return finds === 1 ? findSession.apply(this, args) : Promise.reject(new Error('refused'));
    };
    const reply = await visitor.get(`${url}/look`);
    expect(finds).toBe(2);
    expect(reply).toMatchObject({ status: 200, body: '"ada"' });
    expect(reply.headers).not.toHaveProperty('set-cookie');
  });
});

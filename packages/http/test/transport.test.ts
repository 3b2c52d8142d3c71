import type { IncomingMessage, ServerResponse } from 'node:http';
import { afterEach, describe, expect, it } from '@jest/globals';
import { MemoryStore } from '@cluster/core';
import type { SessionMiddleware, SessionOptions } from '@cluster/http';
import { hosts, instance, instances, one, stopAll, warningsOf } from './support/cluster.js';
import { counter } from './support/counter.js';
import { Client, closeHttp2, serve2 } from './support/http2.js';
import { ask, closeAll, deferred, raw, serve, type Reply } from './support/servers.js';

afterEach(async () => {
  await closeAll();
  await closeHttp2();
  await stopAll();
});

type Transport = NonNullable<SessionOptions['transport']>;

const byHeader: Transport = {
  read: (req) => req.headers['x-session-id'],
  write: (res, id) => { res.setHeader('X-Session-Id', id); },
  clear: (res) => { res.setHeader('X-Session-Id', ''); },
};

const ID = /^[\w-]{32}$/;
const idIn = (reply: Reply) => String(reply.headers['x-session-id']);
const withId = (id: string, method = 'GET') => ({ method, headers: { 'X-Session-Id': id } });

/** The counter behind one of the hosts, by header unless other functions are given. */
const counting = (sessions: SessionMiddleware, host = 'Express 5') => serve(hosts[host]?.(sessions, counter) ?? (() => undefined));

describe('a session id in a header', () => {
  it.each(Object.keys(hosts))('%s: is told when the session is stored or gets another id, and not again', async (host) => {
    const [here, there] = instances({ transport: byHeader });
    const urls = [(await counting(here, host)).url, (await counting(there, host)).url] as const;
    expect((await ask(urls[0])).headers).not.toHaveProperty('x-session-id');
    const first = await ask(urls[0], { method: 'POST' });
    expect(first.headers).not.toHaveProperty('set-cookie');
    expect(first.headers['cache-control']).toBe('private');
    const id = idIn(first);
    expect(id).toMatch(ID);
    for (const url of urls) expect((await ask(url, withId(id, 'POST'))).headers).not.toHaveProperty('x-session-id');
    expect(JSON.parse((await ask(urls[1], withId(id))).body)).toEqual({ count: 3 });
    const login = await ask(`${urls[1]}/login`, withId(id, 'POST'));
    expect(idIn(login)).toMatch(ID);
    expect(idIn(login)).not.toBe(id);
    const logout = await ask(`${urls[0]}/logout`, withId(idIn(login), 'POST'));
    expect(logout.headers['x-session-id']).toBe('');
    expect(JSON.parse((await ask(urls[1], withId(idIn(login)))).body)).toEqual({});
  });

  it('HTTP/2: as over HTTP/1', async () => {
    const client = new Client(await serve2(instance({ transport: byHeader }), counter));
    const first = await client.ask('POST');
    expect(first.headers).not.toHaveProperty('set-cookie');
    const id = String(first.headers['x-session-id']);
    expect(id).toMatch(ID);
    const headers = { 'x-session-id': id };
    expect((await client.ask('GET', '/', { headers })).body).toBe('{"count":1}');
    const login = await client.ask('POST', '/login', { headers });
    expect(login.headers['x-session-id']).toEqual(expect.not.stringMatching(id));
    const logout = await client.ask('POST', '/logout', { headers: { 'x-session-id': String(login.headers['x-session-id']) } });
    expect(logout.headers['x-session-id']).toBe('');
  });

  it('joins headers that writeHead was given', async () => {
    const { url } = await serve(hosts['node:http']?.(instance({ transport: byHeader }), (req, res) => {
      req.session.count = 1;
      res.writeHead(201, ['X-Session-Id', 'another', 'X-A', 'a']).end();
    }) ?? (() => undefined));
    expect((await ask(url, { method: 'POST' })).headers).toMatchObject({ 'x-a': 'a', 'x-session-id': expect.stringMatching(ID) as unknown });
  });

  it('that is unknown is never adopted', async () => {
    const { url } = await counting(instance({ transport: byHeader }));
    const unknown = 'a'.repeat(32);
    expect((await ask(url, withId(unknown))).headers).not.toHaveProperty('x-session-id');
    const posted = await ask(url, withId(unknown, 'POST'));
    expect(idIn(posted)).toMatch(ID);
    expect(idIn(posted)).not.toBe(unknown);
  });

  it('that was changed gets nothing: it would undo the login', async () => {
    const { url } = await counting(instance({ transport: byHeader }));
    const id = idIn(await ask(url, { method: 'POST' }));
    await ask(`${url}/login`, withId(id, 'POST'));
    const warnings = await warningsOf(async () => {
      expect((await ask(url, withId(id, 'POST'))).headers).not.toHaveProperty('x-session-id');
    });
    expect(warnings).toEqual(['CLUSTER_HTTP_MOVED']);
  });
});

describe('what transport.read finds', () => {
  const long = 'x'.repeat(10_485_760);
  it.each<[string, unknown, string[]]>([
    ['undefined', undefined, []],
    ['null', null, []],
    ['an empty text', '', ['MALFORMED_ID']],
    ['10 MB', long, ['MALFORMED_ID']],
    ['513 characters', 'x'.repeat(513), ['MALFORMED_ID']],
    ['a path', '../../etc/passwd', ['MALFORMED_ID']],
    ['a line break', 'abc\r\nSet-Cookie: a=b', ['MALFORMED_ID']],
    ['an id and a line break', `${'a'.repeat(32)}\n`, ['MALFORMED_ID']],
    ['an array', ['a'.repeat(32)], ['MALFORMED_ID']],
    ['a number', 7, ['MALFORMED_ID']],
    ['an object that pretends', { toString: () => 'a'.repeat(32), length: 3 }, ['MALFORMED_ID']],
  ])('%s is no session, with one warning where there is one', async (_name, found, reasons) => {
    const sessions = instance({ transport: { ...byHeader, read: () => found as string } });
    const { url } = await counting(sessions);
    const warnings = await warningsOf(async () => {
      for (let time = 0; time < 2; time += 1) expect(await ask(url)).toMatchObject({ status: 200, body: '{}' });
    });
    expect(warnings).toEqual(reasons.map((reason) => `CLUSTER_HTTP_${reason}`));
  });

  it('doubled on the wire is one that cannot be an id', async () => {
    const { port } = await counting(instance({ transport: byHeader }), 'node:http');
    const id = 'a'.repeat(32);
    let answer = '';
    const warnings = await warningsOf(async () => {
      answer = await raw(port, `GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Session-Id: ${id}\r\nX-Session-Id: ${id}\r\n\r\n`);
    });
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    expect(warnings).toEqual(['CLUSTER_HTTP_MALFORMED_ID']);
  });
});

describe('a function of the application that fails', () => {
  const failing = () => { throw new TypeError('secret-id-1234'); };
  const asynchronous = () => Promise.resolve('x') as never;

  it.each([['throws', failing, /transport\.read: expected it to answer, found that it throws a TypeError/], ['is asynchronous', asynchronous, /transport\.read: expected it to answer at once, found a promise/]])(
    'read %s: an error that names it and shows no id', async (_name, read, text) => {
      const seen = deferred<unknown>();
      const { url } = await serve((req: IncomingMessage, res: ServerResponse) => {
        instance({ transport: { ...byHeader, read } })(req, res, (error) => { seen.resolve(error); res.end(); });
      });
      await ask(url);
      const error = await seen.promise as Error;
      expect(error).toMatchObject({ code: 'CLUSTER_BAD_OPTION', message: expect.stringMatching(text) as unknown });
      expect(error.message).not.toContain('1234');
    });

  it.each(['write', 'clear'] as const)('%s: the answer is 500, one warning names the function, and the store keeps what was done', async (name) => {
    for (const broken of [failing, asynchronous]) {
      const store = new MemoryStore();
      const { url } = await counting(one({ store, transport: byHeader }));
      const other = await counting(one({ store: new MemoryStore({ shareWith: store }), transport: { ...byHeader, [name]: broken } }), 'node:http');
      const id = idIn(await ask(url, { method: 'POST' }));
      const path = name === 'write' ? 'login' : 'logout';
      let answer: Reply | undefined;
      const warnings = await warningsOf(async () => {
        answer = await ask(`${other.url}/${path}`, withId(id, 'POST'));
        expect((await ask(other.url, withId(id))).status).toBe(200);
      });
      expect(answer).toMatchObject({ status: 500, body: 'Internal Server Error\n' });
      expect(warnings).toContain('CLUSTER_BAD_OPTION');
      expect((await ask(url, withId(id))).body).toBe('{}');
    }
  });

  it('write after a release, when nothing is left to wait for: the handler that ends the response does not throw', async () => {
    let thrown: unknown;
    const sessions = instance({ transport: { ...byHeader, write: failing } });
    const { url } = await serve(hosts['node:http']?.(sessions, async (req, res) => {
      req.session.count = 1;
      await req.session.release();
      try {
        res.write('one');
        res.write('two');
        res.end('three');
      } catch (error) {
        thrown = error;
      }
    }) ?? (() => undefined));
    expect(await ask(url, { method: 'POST' })).toMatchObject({ status: 500, body: 'Internal Server Error\n' });
    expect(thrown).toBeUndefined();
  });
});

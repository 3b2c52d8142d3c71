import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { Agent, request, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { WebSocket } from 'ws';
import * as events from './samples/events.js';
import * as rememberMe from './samples/remember-me.js';
import * as header from './samples/header-transport.js';
import * as websocket from './samples/websocket.js';
import { ask, closeAll, deferred, serve, Visitor } from './support/servers.js';

const folder = join(import.meta.dirname, 'samples');
const guide = readFileSync(join(dirname(dirname(dirname(import.meta.dirname))), 'docs/guide/http.md'), 'utf8');

afterAll(async () => {
  await closeAll();
  for (const server of [header.server, websocket.server]) {
    server.closeAllConnections();
    server.close();
  }
  for (const { sessions } of [events, header, rememberMe, websocket]) await sessions.stop();
});

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return (server.address() as AddressInfo).port;
}

describe('the samples of the guide', () => {
  it.each(readdirSync(folder))('%s stands there as it is tried below', (name) => {
    expect(guide).toContain(`\`\`\`ts\n${readFileSync(join(folder, name), 'utf8')}\`\`\`\n`);
  });

  it('a session id in a header', async () => {
    const url = `http://127.0.0.1:${await listen(header.server)}`;
    const first = await ask(url);
    const id = String(first.headers['x-session-id']);
    expect([first.body, id]).toEqual(['visit 1', expect.stringMatching(/^[\w-]{32}$/)]);
    const second = await ask(url, { headers: { 'X-Session-Id': id } });
    expect(second.body).toBe('visit 2');
    expect(second.headers).not.toHaveProperty('x-session-id');
  });

  it('a login that the browser remembers, and forgets', async () => {
    const { url } = await serve(rememberMe.app);
    const visitor = new Visitor();
    const login = async (form: string) => (await visitor.post(`${url}/login`, form)).headers['set-cookie']?.[0];
    expect(await login('user=ada')).not.toContain('Max-Age');
    expect(await login('user=ada&remember=on')).toContain('; Max-Age=2592000;');
    expect((await visitor.get(url)).body).toBe('{"user":"ada","maxAge":2592000000}');
    expect((await visitor.post(`${url}/forget-this-browser`)).headers['set-cookie']?.[0]).not.toContain('Max-Age');
    expect((await visitor.get(url)).body).toBe('{"user":"ada"}');
  });

  it('server-sent events: requests get in meanwhile, and a logout ends the stream', async () => {
    const { url } = await serve(events.app);
    const visitor = new Visitor();
    const whole = await visitor.post(`${url}/report`);
    expect(whole).toMatchObject({ body: 'data: 25\n\ndata: 50\n\ndata: 75\n\ndata: 100\n\n', headers: { 'content-type': expect.stringMatching(/^text\/event-stream/) as unknown } });
    expect((await visitor.get(`${url}/progress`)).body).toBe('100');
    const stream = await fetch(`${url}/report`, { method: 'POST', headers: { cookie: `sid=${visitor.cookies.get('sid') ?? ''}` } });
    expect((await visitor.post(`${url}/logout`)).status).toBe(200);
    expect(await stream.text()).not.toContain('data: 100');
  });

  it('a process that is asked to end gives its sessions on, and leaves no connection open', async () => {
    process.env['PORT'] = '0';
    const { server, sessions } = await import('./samples/rolling-restart.js');
    const { port } = server.address() as AddressInfo;
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const post = async (path: string, cookie = '') => {
      const sent = request({ port, path, agent, method: path === '/ready' ? 'GET' : 'POST', headers: { cookie } }).end();
      const [reply] = await once(sent, 'response') as [IncomingMessage];
      await once(reply.resume(), 'end');
      return { status: reply.statusCode, connection: reply.headers.connection, cookie: reply.headers['set-cookie']?.[0]?.split(';')[0] };
    };
    const { cookie } = await post('/visit');
    for (let n = 0; n < 50; n += 1) await post('/visit', cookie);
    expect(sessions.health().held).toBe(1);
    expect(await post('/ready')).toMatchObject({ status: 200, connection: 'keep-alive' });
    const closed = once(server, 'close');
    process.emit('SIGTERM');
    expect(await post('/ready')).toMatchObject({ status: 503, connection: 'close' });
    expect(await post('/visit', cookie)).toMatchObject({ status: 200, connection: 'close' });
    expect(sessions.health()).toMatchObject({ status: 'draining', held: 0 });
    await closed;
    await sessions.stop(); // the same stop that the server's close has begun
    agent.destroy();
  });

  it('a WebSocket: refused without a login, then counted in the session', async () => {
    const port = await listen(websocket.server);
    const url = `http://127.0.0.1:${port}`;
    const refused = await new Promise((resolve) => { new WebSocket(`ws://127.0.0.1:${port}`).on('error', resolve); });
    expect(String(refused)).toContain('401');
    const visitor = new Visitor();
    await visitor.get(`${url}/login`);
    const socket = new WebSocket(`ws://127.0.0.1:${port}`, { headers: { cookie: `sid=${visitor.cookies.get('sid') ?? ''}` } });
    const counted = deferred();
    socket.on('open', () => { socket.send('look'); }).on('message', () => { counted.resolve(); });
    await counted.promise;
    socket.close();
    expect((await visitor.get(url)).body).toBe('ada has seen 1');
  });
});

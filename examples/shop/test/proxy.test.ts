import { afterEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { RoundRobinProxy, type Target } from '../proxy.js';

const open: { close: () => unknown }[] = [];

async function serve(listener: RequestListener): Promise<{ server: Server; port: number; url: string }> {
  const server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  open.push({ close: () => { server.closeAllConnections(); server.close(); } });
  // A server that listens on TCP has an address of this shape.
  const { port } = server.address() as AddressInfo;
  return { server, port, url: `http://127.0.0.1:${port}` };
}

async function refusedPort(): Promise<number> {
  const { server, port } = await serve(() => undefined);
  server.close();
  await once(server, 'close');
  return port;
}

async function proxyTo(...targets: Target[]): Promise<string> {
  const proxy = new RoundRobinProxy(() => targets);
  open.push(proxy);
  return (await serve((request, response) => { void proxy.handle(request, response); })).url;
}

const echo = (name: string): RequestListener => (request, response) => {
  let body = '';
  request.on('data', (part: Buffer) => { body += part.toString(); });
  request.on('end', () => { response.end(`${name} ${request.method ?? ''} ${body}`); });
};
const dying: RequestListener = (request, response) => {
  if (request.url === '/health') response.end();
  else request.socket.destroy();
};

afterEach(() => { for (const each of open.splice(0)) each.close(); });

describe('the proxy', () => {
  it('gives requests to the targets in turn, with their bodies, and names the target', async () => {
    const url = await proxyTo({ name: 'a', port: (await serve(echo('a'))).port }, { name: 'b', port: (await serve(echo('b'))).port });
    const replies = [];
    for (let count = 0; count < 4; count++) {
      const response = await fetch(url, { method: 'POST', body: String(count) });
      replies.push(`${response.headers.get('x-shop-process') ?? ''}: ${await response.text()}`);
    }
    expect(replies).toEqual(['a: a POST 0', 'b: b POST 1', 'a: a POST 2', 'b: b POST 3']);
  });

  it('gives any request to the next target when the connection is refused', async () => {
    const url = await proxyTo({ name: 'a', port: await refusedPort() }, { name: 'b', port: (await serve(echo('b'))).port });
    for (const method of ['GET', 'POST']) expect(await (await fetch(url, { method })).text()).toBe(`b ${method} `);
  });

  it('asks the next target for a GET that was cut off, and tells the client of anything else', async () => {
    const url = await proxyTo({ name: 'a', port: (await serve(dying)).port }, { name: 'b', port: (await serve(echo('b'))).port });
    expect(await (await fetch(url)).text()).toBe('b GET ');
    await (await fetch(url)).text(); // b's turn
    const cut = await fetch(url, { method: 'POST' });
    expect([cut.status, cut.headers.get('x-cut-off')]).toEqual([502, 'a']);
  });

  it('asks the next target for a GET when a target falls silent', async () => {
    const silent = await serve(() => undefined);
    const url = await proxyTo({ name: 'a', port: silent.port }, { name: 'b', port: (await serve(echo('b'))).port });
    expect(await (await fetch(url)).text()).toBe('b GET ');
    expect(await (await fetch(url, { method: 'POST' })).text()).toBe('b POST '); // a is left out by now
    expect(await (await fetch(url, { method: 'POST' })).text()).toBe('b POST ');
  });

  it('asks again for a GET when every target was silent for a while', async () => {
    let asked = 0;
    const late = await serve((request, response) => {
      if (request.url !== '/health' && ++asked > 1) response.end('late'); // the first time, and health checks, are left without an answer
    });
    const url = await proxyTo({ name: 'a', port: late.port });
    expect(await (await fetch(url)).text()).toBe('late');
    expect(asked).toBe(2);
  });

  it('asks for seconds while every target is silent', async () => {
    let isSilent = true;
    const stalled = await serve((_request, response) => { if (!isSilent) response.end('late'); });
    const url = await proxyTo({ name: 'a', port: stalled.port });
    const reply = fetch(url);
    await pause(2_500);
    isSilent = false;
    expect(await (await reply).text()).toBe('late');
  });

  it('says what its health checks saw when it gives up', async () => {
    const targets = [{ name: 'a', port: (await serve(() => undefined)).port }, { name: 'b', port: await refusedPort() }, { name: 'c', port: undefined }];
    const proxy = new RoundRobinProxy(() => targets, 1_000);
    open.push(proxy);
    const sentAtMs = performance.now();
    const response = await fetch((await serve((request, reply) => { void proxy.handle(request, reply); })).url);
    expect(response.status).toBe(503);
    expect(performance.now() - sentAtMs).toBeGreaterThan(950); // a refusal by b does not end it
    expect(await response.text()).toMatch(
      /^no process of the shop is up; health checks saw: c not running \(\d+ in \d+ ms\), b ECONNREFUSED \(\d+ in \d+ ms\), a no answer in 300 ms \(\d+ in \d+ ms\)\n$/,
    );
  });

  it('says so when no process is up, and when a body is too large', async () => {
    const url = await proxyTo({ name: 'a', port: undefined });
    expect((await fetch(url)).status).toBe(503);
    expect((await fetch(url, { method: 'POST', body: 'x'.repeat(65_537) })).status).toBe(413);
  });
});

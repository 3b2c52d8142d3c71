import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { Network } from '../src/processes/network.js';
import { TcpProxy, type Address } from '../src/processes/tcp-proxy.js';

const SHORT_MS = 100;

let server: Server;
/** What has arrived at the server. */
let arrived: string;
let serverSockets: Socket[];
let proxy: TcpProxy;
let clients: Client[];

class Client {
  got = '';
  isClosed = false;
  readonly socket: Socket;

  constructor() {
    this.socket = connect(proxy.address.port, proxy.address.host).setNoDelay(true);
    this.socket.on('data', (bytes) => { this.got += String(bytes); });
    this.socket.on('error', () => undefined);
    this.socket.on('close', () => { this.isClosed = true; });
    clients.push(this);
  }
}

async function becomes(condition: () => boolean): Promise<void> {
  for (const endMs = performance.now() + 5_000; !condition();) {
    await sleep(2);
    if (performance.now() > endMs) throw new Error(`not within 5 s: ${String(condition)}`);
  }
}

const textOf = async (socket: Socket): Promise<string> => String((await once(socket, 'data'))[0]);

async function talking(): Promise<Client> {
  const client = new Client();
  client.socket.write('a');
  await becomes(() => client.got === 'a');
  return client;
}

beforeEach(async () => {
  arrived = '';
  serverSockets = [];
  clients = [];
  server = createServer((socket) => {
    serverSockets.push(socket.setNoDelay(true));
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      arrived += String(bytes);
      socket.write(bytes);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  proxy = await TcpProxy.open(() => ({ host: '127.0.0.1', port: (server.address() as { port: number }).port })); // it listens on a port
});
afterEach(() => {
  for (const { socket } of clients) socket.destroy();
  proxy.close();
  server.close();
});

it('before a server of several nodes leads to each by a way of its own', async () => {
  const second = createServer((socket) => { socket.end('second'); });
  second.listen(0, '127.0.0.1');
  await once(second, 'listening');
  const address = () => [server, second].map((node) => ({ host: '127.0.0.1', port: (node.address() as { port: number }).port })); // they listen on ports
  const network = await Network.open({ address, config: () => null });
  const reach = () => network.addresses.map(({ host, port }) => connect(port, host).on('error', () => undefined));
  try {
    const sockets = reach();
    sockets[0]?.write('first');
    expect(await Promise.all(sockets.map(textOf))).toEqual(['first', 'second']);
    network.weather = 'dropped';
    await becomes(() => sockets.every(({ destroyed }) => destroyed));
    network.calm();
    const again = reach();
    again[0]?.write('again');
    expect(await Promise.all(again.map(textOf))).toEqual(['again', 'second']);
    for (const socket of again) socket.destroy();
  } finally {
    network.close();
    second.close();
  }
});

describe('a proxy before an echo server', () => {
  it('passes bytes both ways in their order, and ends what the client ends', async () => {
    const client = new Client();
    for (let n = 0; n < 500; n += 1) client.socket.write(`${n} `);
    const sent = Array.from({ length: 500 }, (_, n) => `${n} `).join('');
    await becomes(() => client.got === sent);
    client.socket.destroy();
    await becomes(() => serverSockets[0]?.destroyed === true);
  });

  it('delays each way, and keeps the order when the delay ends', async () => {
    const client = await talking();
    proxy.delayMs = SHORT_MS;
    const sinceMs = performance.now();
    client.socket.write('b');
    await becomes(() => client.got === 'ab');
    expect(performance.now() - sinceMs).toBeGreaterThanOrEqual(2 * SHORT_MS - 5);
    client.socket.write('c');
    await sleep(SHORT_MS / 4);
    proxy.delayMs = 0;
    client.socket.write('d');
    await becomes(() => client.got === 'abcd');
    expect(arrived).toBe('abcd');
  });

  it('holds everything, then delivers it late, also when the client has gone', async () => {
    const [staying, leaving] = [await talking(), await talking()];
    proxy.weather = 'held';
    staying.socket.write('b');
    leaving.socket.write('c');
    await sleep(SHORT_MS);
    leaving.socket.destroy();
    await sleep(SHORT_MS / 4);
    expect(arrived).toBe('aa');
    expect(serverSockets.map(({ destroyed }) => destroyed)).toEqual([false, false]);
    proxy.weather = 'passes';
    await becomes(() => staying.got === 'ab' && arrived.includes('c') && serverSockets[1]?.destroyed === true);
    expect(staying.isClosed).toBe(false);
  });

  it('half-open: the server sees the end, the client nothing until it passes again', async () => {
    const client = await talking();
    proxy.weather = 'half-open';
    await becomes(() => serverSockets[0]?.destroyed === true);
    const later = new Client();
    for (const each of [client, later]) each.socket.write('b');
    await sleep(SHORT_MS);
    expect([client.isClosed, later.isClosed, later.got]).toEqual([false, false, '']);
    expect(arrived).toBe('a');
    proxy.weather = 'passes';
    await becomes(() => client.isClosed && later.isClosed);
    await talking();
  });

  it('drops connections, and new ones at once', async () => {
    const client = await talking();
    proxy.weather = 'dropped';
    await becomes(() => client.isClosed && serverSockets[0]?.destroyed === true);
    const later = new Client();
    await becomes(() => later.isClosed);
    proxy.weather = 'passes';
    await talking();
  });

  it('loses an answer: the request arrives, and the connection is cut instead', async () => {
    const client = await talking();
    proxy.weather = 'answers lost';
    client.socket.write('b');
    await becomes(() => client.isClosed);
    expect([arrived, client.got]).toEqual(['ab', 'a']);
  });

  it('loses a later answer of the connections that come next, so that greetings are answered', async () => {
    proxy.weather = 'answers lost';
    const got: number[] = [];
    for (let n = 1; n <= 13; n += 1) {
      const client = new Client();
      while (!client.isClosed) {
        const before = client.got;
        client.socket.write('a');
        await becomes(() => client.isClosed || client.got.length > before.length);
      }
      got.push(client.got.length);
      expect(proxy.lostAnswers).toBe(n);
    }
    expect(got.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 13 }, (_, index) => index));
    expect(arrived).toHaveLength(got.reduce((sum, length) => sum + length + 1, 0));
  });

  it('cuts a client that is just ending, and leaves nothing of it', async () => {
    const accepted: Socket[] = [];
    const note = (message: unknown): void => { accepted.push((message as { socket: Socket }).socket); }; // as node documents it
    subscribe('net.server.socket', note);
    const client = await talking();
    unsubscribe('net.server.socket', note);
    const own = accepted.find((socket) => socket.localPort === proxy.address.port);
    if (own === undefined) throw new Error('the proxy accepted the client');
    const closed = once(own, 'close');
    const drop = (): void => { proxy.weather = 'dropped'; };
    // From the tick after `end()` to the end of the poll phase the proxy's side is being shut down.
    const dropOnceEnding = (): void => { process.nextTick(own.writableEnded ? drop : dropOnceEnding); };
    own.once('end', dropOnceEnding);
    client.socket.end();
    await closed;
    expect(own.writableEnded).toBe(true);
    await becomes(() => client.isClosed);
  });

  it('ends a client whose server is not there, and finds one that comes back elsewhere', async () => {
    let target: Address | undefined;
    const moving = await TcpProxy.open(() => target ?? Promise.reject(new Error('the server does not run')));
    try {
      for (const nobody of [undefined, { host: '127.0.0.1', port: 1 }]) {
        target = nobody;
        const refused = connect(moving.address.port, moving.address.host).on('error', () => undefined);
        await becomes(() => refused.destroyed);
      }
      target = { host: '127.0.0.1', port: (server.address() as { port: number }).port }; // it listens on a port
      const served = connect(moving.address.port, moving.address.host);
      served.write('x');
      expect(String((await once(served, 'data'))[0])).toBe('x');
      served.destroy();
    } finally {
      moving.close();
    }
  });
});

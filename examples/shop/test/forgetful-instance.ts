// A shop without shared sessions: every process keeps carts of its own. The demo must find it wanting.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const [, name = '?'] = process.argv.slice(2);
const carts = new Map<string, string[]>();

const server = createServer((request, response) => {
  const cookie = request.headers.cookie ?? `sid=${Math.random()}`;
  const cart = carts.get(cookie) ?? [];
  carts.set(cookie, cart);
  const [, place, item] = request.url?.split('/') ?? [];
  if (request.method === 'POST' && place === 'cart' && item !== undefined) cart.push(item);
  if (request.headers.cookie === undefined) response.setHeader('set-cookie', `${cookie}; Path=/`);
  setTimeout(() => { response.end(JSON.stringify(cart)); }, request.method === 'POST' ? 20 : 0);
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
// A server that listens on TCP has an address of this shape.
process.send?.({ kind: 'ready', port: (server.address() as AddressInfo).port, instanceId: `${name}${process.pid}` });
process.on('message', () => { process.exit(0); });
process.on('disconnect', () => { process.exit(0); });

import { createServer, request, type IncomingHttpHeaders, type RequestListener, type Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';

const running = new Set<Server>();

export interface Running { readonly url: string; readonly port: number; readonly server: Server }

/** A server on a free port of 127.0.0.1; {@link closeAll} ends it. */
export async function serve(listener: RequestListener): Promise<Running> {
  const server = createServer(listener);
  running.add(server);
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const { port } = server.address() as AddressInfo;
  return { server, port, url: `http://127.0.0.1:${port}` };
}

export async function closeAll(): Promise<void> {
  await Promise.all([...running].map((server) => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  })));
  running.clear();
}

export interface Reply {
  readonly status: number; readonly statusMessage: string; readonly headers: IncomingHttpHeaders; readonly rawHeaders: readonly string[];
  readonly body: string; readonly trailers: NodeJS.Dict<string>; readonly informational: readonly number[]; readonly early: readonly IncomingHttpHeaders[];
}

interface Ask { readonly method?: string; readonly headers?: Record<string, string>; readonly body?: string; readonly path?: string }

/** One request on a connection of its own, with everything that came back. */
export function ask(url: string, { method = 'GET', headers = {}, body, path }: Ask = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const informational: number[] = [];
    const early: IncomingHttpHeaders[] = [];
    const req = request(url, { method, headers, agent: false, ...(path !== undefined && { path }) }, (res) => {
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => chunks.push(chunk));
      res.on('error', reject);
      res.on('end', () => {
        resolve({
          status: res.statusCode ?? 0, statusMessage: res.statusMessage ?? '', headers: res.headers, rawHeaders: res.rawHeaders,
          body: Buffer.concat(chunks).toString(), trailers: res.trailers, informational, early,
        });
      });
    });
    req.on('information', ({ statusCode, headers: sent }) => { informational.push(statusCode); early.push(sent); });
    req.on('error', reject);
    req.end(body);
  });
}

/** Keeps cookies like a browser with one site, and follows redirects only when told to. */
export class Visitor {
  readonly cookies = new Map<string, string>();

  async ask(url: string, options: Ask = {}): Promise<Reply> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const reply = await ask(url, { ...options, headers: { ...(cookie !== '' && { cookie }), ...options.headers } });
    for (const line of reply.headers['set-cookie'] ?? []) {
      const [pair = ''] = line.split(';');
      const at = pair.indexOf('=');
      if (/expires=thu, 01 jan 1970/i.test(line)) this.cookies.delete(pair.slice(0, at));
      else this.cookies.set(pair.slice(0, at), pair.slice(at + 1));
    }
    return reply;
  }

  get(url: string): Promise<Reply> { return this.ask(url); }
  post(url: string, body?: string): Promise<Reply> {
    return this.ask(url, { method: 'POST', ...(body !== undefined && { body, headers: { 'Content-Type': 'application/x-www-form-urlencoded' } }) });
  }
}

/** Sends bytes and resolves with everything that came back when the server closes the connection. */
export function raw(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let text = '';
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => { text += chunk; });
    socket.on('error', reject);
    socket.on('end', () => { resolve(text); });
    socket.write(bytes);
  });
}

/** A promise and its ends. */
export function deferred<T = void>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: unknown) => void } {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<T>((yes, no) => { resolve = yes; reject = no; });
  return { promise, resolve, reject };
}

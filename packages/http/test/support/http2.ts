import { connect, createServer, type ClientHttp2Session, type ClientHttp2Stream, type Http2Server, type IncomingHttpHeaders, type SecureClientSessionOptions } from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { SessionMiddleware } from '@cluster/http';
import type { Handler, SessionRequest } from './cluster.js';
import type { ServerResponse } from 'node:http';

const open = new Set<{ close: () => Promise<void> }>();

export async function closeHttp2(): Promise<void> {
  await Promise.all([...open].map(({ close }) => close()));
  open.clear();
}

/** Registers a server that listens, and the clients made of it. */
export async function listening(server: Http2Server): Promise<number> {
  const sessions = new Set<{ destroy: () => void }>();
  server.on('session', (session) => { sessions.add(session); });
  open.add({
    close: async () => {
      for (const session of sessions) session.destroy();
      await new Promise((resolve) => { server.close(resolve); });
    },
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return (server.address() as AddressInfo).port;
}

/** The compatible API has the methods of node:http, though not its types. */
export const asHandler = (sessions: SessionMiddleware, handler: Handler): Parameters<typeof createServer>[1] => (req, res) => {
  void sessions.open(req, res).then((session) => session && handler(req as object as SessionRequest, res as object as ServerResponse));
};

export const serve2 = (sessions: SessionMiddleware, handler: Handler): Promise<number> => listening(createServer(asHandler(sessions, handler)));

export interface Reply2 { readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: string; readonly early: readonly IncomingHttpHeaders[]; readonly trailers: IncomingHttpHeaders }

/** One connection of a browser, with the cookie that it got. */
export class Client {
  cookie: string | undefined;
  readonly session: ClientHttp2Session;

  constructor(port: number, options?: SecureClientSessionOptions, scheme = 'http') {
    this.session = connect(`${scheme}://127.0.0.1:${port}`, options);
    this.session.on('error', () => undefined);
    open.add({ close: () => { this.session.destroy(); return Promise.resolve(); } });
  }

  stream(method: string, path = '/', headers: Record<string, string> = {}): ClientHttp2Stream {
    const { cookie } = this;
    return this.session.request({ ':method': method, ':path': path, ...(cookie !== undefined && { cookie }), ...headers }, { endStream: method === 'GET' || method === 'HEAD' });
  }

  ask(method: string, path?: string, { headers, body }: { headers?: Record<string, string>; body?: string } = {}): Promise<Reply2> {
    const stream = this.stream(method, path, headers);
    if (method !== 'GET' && method !== 'HEAD') stream.end(body);
    return this.replyOf(stream);
  }

  replyOf(stream: ClientHttp2Stream): Promise<Reply2> {
    return new Promise((resolve, reject) => {
      let headers: IncomingHttpHeaders = {};
      let trailers: IncomingHttpHeaders = {};
      const early: IncomingHttpHeaders[] = [];
      let body = '';
      stream.setEncoding('utf8');
      stream.on('headers', (sent: IncomingHttpHeaders) => { early.push(sent); }).on('response', (sent) => { headers = sent; }).on('trailers', (sent: IncomingHttpHeaders) => { trailers = sent; });
      stream.on('data', (text: string) => { body += text; }).on('error', reject).on('close', () => {
        const [line] = headers['set-cookie'] ?? [];
        if (line !== undefined) this.cookie = line.slice(0, line.indexOf(';'));
        if (stream.rstCode === 0) resolve({ status: Number(headers[':status']), headers, body, early, trailers });
        else reject(new Error(`reset with ${stream.rstCode}`));
      });
    });
  }
}

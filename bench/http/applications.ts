// One small application in several ways: a counter in a session of 1 KB. Each kind runs in a process of its own.
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { RequestHandler } from 'express';
import type { SessionMiddleware } from '@cluster/http';
import { openStore, type StoreName } from '../stores.js';

declare module '@cluster/core' {
  interface SessionData { count: number; user: { id: number; name: string }; text: string }
}

/** Where its sessions are. */
export interface Sessions { readonly store: StoreName; readonly address: string }
interface Options { readonly affinity: 'keep' | 'release'; readonly secret?: string }
interface Counted { count?: number; user?: { id: number; name: string }; text?: string }

export const SECRET = 'a secret of the bench, not of an application';
const TEXT = 'x'.repeat(900);

/** Adds one to the counter; the first time it fills the session up to 1 KB. */
function increment(session: Counted): void {
  if (session.count === undefined) Object.assign(session, { user: { id: 1, name: 'somebody' }, text: TEXT });
  session.count = (session.count ?? 0) + 1;
}

async function cluster({ store, address }: Sessions, options: Options): Promise<SessionMiddleware> {
  const { session } = await import('@cluster/http');
  const sessions = session({ store: await openStore(store, address), ...options });
  await sessions.start();
  return sessions;
}

/** On node:http: `/untouched` never looks at its session, like a health check behind the middleware. */
async function onNode(where: Sessions, options: Options): Promise<RequestListener> {
  const sessions = await cluster(where, options);
  const answer = async (req: IncomingMessage, res: ServerResponse) => {
    const session = await sessions.open(req, res);
    if (session === undefined) return;
    if (req.method === 'POST') increment(session);
    res.end(String(session.count ?? 0));
  };
  return (req, res) => {
    if (req.url === '/untouched') sessions(req, res, () => { res.end('0'); });
    else void answer(req, res);
  };
}

interface CountedRequest { readonly session: Counted }

async function onExpress(middleware?: RequestHandler): Promise<RequestListener> {
  const { default: express } = await import('express');
  const app = express();
  if (middleware !== undefined) app.use(middleware);
  // Bare, there is no session.
  const sessionOf = (req: unknown): Counted => (req as Partial<CountedRequest>).session ?? { count: 0 };
  app.get('/', (req, res) => { res.send(String(sessionOf(req).count ?? 0)); });
  app.post('/', (req, res) => {
    const session = sessionOf(req);
    if (middleware !== undefined) increment(session);
    res.send(String(session.count));
  });
  return app;
}

async function rival(): Promise<RequestListener> {
  const { default: session } = await import('express-session');
  return onExpress(session({ secret: SECRET, resave: false, saveUninitialized: false }));
}

const kinds = {
  node: () => Promise.resolve<RequestListener>((_req, res) => { res.end('0'); }),
  'node-held': (where) => onNode(where, { affinity: 'keep' }),
  'node-released': (where) => onNode(where, { affinity: 'release' }),
  express: () => onExpress(),
  'express-session': rival,
  'express-held': async (where) => onExpress(await cluster(where, { affinity: 'keep' })),
  'express-held-signed': async (where) => onExpress(await cluster(where, { affinity: 'keep', secret: SECRET })),
} satisfies Record<string, (where: Sessions) => Promise<RequestListener>>;

export type Kind = keyof typeof kinds;

export async function serve(kind: Kind, where: Sessions): Promise<Server> {
  return createServer(await kinds[kind](where));
}

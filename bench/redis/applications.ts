// One small application in several ways over one Redis: a counter in a session of a given size. Each process runs one of them.
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { SessionMiddleware } from '@cluster/http';
import { increment, listed, type Counted } from './contents.js';

/** What an application is given: where Redis is, whose keys are its own, and how large a session becomes in bytes. */
export interface Setting { readonly url: string; readonly prefix: string; readonly bytes: number }

const SECRET = 'a secret of the bench, not of an application';
const DAY_MS = 24 * 60 * 60 * 1000;

/** What each application answers: the counter, or with `/items` how many items the session has. */
function answerTo(method: string, path: string | undefined, session: Counted, bytes: number): string {
  if (method === 'POST') increment(session, bytes);
  return String(path === '/items' ? listed(session) : session.count ?? 0);
}

const NO_SESSION: Counted = Object.freeze({});

async function cluster({ url, prefix }: Setting, reentrant: boolean): Promise<SessionMiddleware> {
  const [{ session }, { RedisStore }] = await Promise.all([import('@cluster/http'), import('@cluster/store-redis')]);
  const sessions = session({ store: new RedisStore({ url, prefix }), reentrant });
  await sessions.start();
  return sessions;
}

async function clusterOnNode(setting: Setting, reentrant = true): Promise<RequestListener> {
  const sessions = await cluster(setting, reentrant);
  const answer = async (req: IncomingMessage, res: ServerResponse) => {
    const session = await sessions.open(req, res);
    if (session !== undefined) res.end(answerTo(req.method ?? '', req.url, session, setting.bytes));
  };
  return (req, res) => { void answer(req, res); };
}

async function onExpress(bytes: number, middleware?: unknown): Promise<RequestListener> {
  const { default: express } = await import('express');
  const app = express();
  // Each library types its middleware for the versions of Express that it knows.
  if (middleware !== undefined) app.use(middleware as import('express').RequestHandler);
  app.all(['/', '/items'], (req, res) => {
    const { session } = req as unknown as { session?: Counted };
    res.send(session === undefined ? '0' : answerTo(req.method, req.url, session, bytes));
  });
  return app;
}

/** A client of node-redis, which connect-redis wants, and the store on it, with the settings that its documentation recommends. */
async function connectRedis({ url, prefix }: Setting) {
  const [{ createClient }, { RedisStore }] = await Promise.all([import('redis'), import('connect-redis')]);
  const client = await createClient({ url }).connect();
  return new RedisStore({ client, prefix, disableTouch: true });
}

async function expressSession(setting: Setting): Promise<RequestListener> {
  const { default: session } = await import('express-session');
  return onExpress(setting.bytes, session({ store: await connectRedis(setting), secret: SECRET, resave: false, saveUninitialized: false }));
}

async function onFastify(setting: Setting, withSessions: boolean): Promise<RequestListener> {
  const { default: fastify } = await import('fastify');
  let listener: RequestListener | undefined;
  const app = fastify({ serverFactory: (handler) => { listener = handler; return createServer(); } });
  if (withSessions) {
    const [{ default: cookie }, { default: session }] = await Promise.all([import('@fastify/cookie'), import('@fastify/session')]);
    await app.register(cookie);
    await app.register(session, {
      store: await connectRedis(setting), secret: SECRET, rolling: false, saveUninitialized: false, cookie: { secure: false, maxAge: DAY_MS },
    });
  }
  app.route({ method: ['GET', 'POST'], url: '*', handler: async (req) => {
    const { session } = req as { session?: Counted };
    return session === undefined ? '0' : answerTo(req.method, req.url, session, setting.bytes);
  } });
  await app.ready();
  if (listener === undefined) throw new Error('expected fastify to ask for a server');
  return listener;
}

async function onKoa({ url, prefix, bytes }: Setting, withSessions: boolean): Promise<RequestListener> {
  const { default: Koa } = await import('koa');
  const app = new Koa();
  app.keys = [SECRET];
  if (withSessions) {
    const [{ createSession }, { Redis }] = await Promise.all([import('koa-session'), import('ioredis')]);
    const client = new Redis(url);
    app.use(createSession({ store: {
      get: async (key) => JSON.parse(await client.get(prefix + key) ?? 'null') as object | null,
      set: async (key, session, maxAge) => { await client.set(prefix + key, JSON.stringify(session), 'PX', typeof maxAge === 'number' ? maxAge : DAY_MS); },
      destroy: async (key) => { await client.del(prefix + key); },
    } }, app));
  }
  app.use((ctx) => {
    const { session } = ctx as { session?: Counted };
    ctx.body = session === undefined ? '0' : answerTo(ctx.method, ctx.path, session, bytes);
  });
  const callback = app.callback();
  return (req, res) => { void callback(req, res); };
}

const kinds = {
  node: ({ bytes }) => Promise.resolve<RequestListener>((req, res) => { res.end(answerTo('', req.url, NO_SESSION, bytes)); }),
  'node: cluster': (setting) => clusterOnNode(setting),
  'node: cluster, not reentrant': (setting) => clusterOnNode(setting, false),
  express: ({ bytes }) => onExpress(bytes),
  'express: cluster': async (setting) => onExpress(setting.bytes, await cluster(setting, true)),
  'express: cluster, not reentrant': async (setting) => onExpress(setting.bytes, await cluster(setting, false)),
  'express: express-session': expressSession,
  fastify: (setting) => onFastify(setting, false),
  'fastify: @fastify/session': (setting) => onFastify(setting, true),
  koa: (setting) => onKoa(setting, false),
  'koa: koa-session': (setting) => onKoa(setting, true),
} satisfies Record<string, (setting: Setting) => Promise<RequestListener>>;

export type Kind = keyof typeof kinds;

export async function serve(kind: Kind, setting: Setting): Promise<Server> {
  return createServer(await kinds[kind](setting));
}

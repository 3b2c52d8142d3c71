import type { ServerResponse } from 'node:http';
import type { SessionMiddleware } from '@cluster/http';
import { express5, instance, type Handler, type SessionRequest } from './cluster.js';
import { serve, Visitor } from './servers.js';

export type Work = (req: SessionRequest, res: ServerResponse) => unknown;

/** A site whose path names the work that is done on `req.session`; the answer is what the work returns. */
export async function site(works: Record<string, Work>, sessions: SessionMiddleware = instance()) {
  const handler: Handler = async (req, res) => {
    const work = works[(req.url ?? '').slice(1)];
    res.end(JSON.stringify(work === undefined ? { ...req.session } : await work(req, res) ?? null));
  };
  const { url } = await serve(express5(sessions, handler));
  const visitor = new Visitor();
  return {
    url, sessions, visitor,
    id: () => visitor.cookies.get('sid') ?? '',
    post: async (path = '') => visitor.post(`${url}/${path}`),
    get: async (path = '') => visitor.get(`${url}/${path}`),
    content: async () => JSON.parse((await visitor.get(`${url}/`)).body) as unknown,
  };
}

export const put: Work = ({ session }) => {
  session.user = 'ada';
  session.cart = ['book'];
};

import { ClusterError, type SessionData } from '@cluster/core';
import { behind } from '@cluster/core/driver';
import { COOKIE_AGE, isCookieAge } from './cookie-view.js';
import { siteOf, type SessionMiddleware } from './session-middleware.js';

/**
 * Stores a session with these attributes, as if its user had signed in, and resolves to what a client sends to have it: the
 * value of a `Cookie` header; with `transport` the bare id. `maxAge`: an age of its own, as by `req.session.cookie.maxAge`.
 * @throws ClusterError CLUSTER_BAD_OPTION for anything but a `session(...)`, or without an attribute
 */
export async function signIn(sessions: SessionMiddleware, attributes: Partial<SessionData>, { maxAge }: { readonly maxAge?: number } = {}): Promise<string> {
  const site = siteOf(sessions);
  // Tests are written in JavaScript as well.
  const isObject = typeof attributes === 'object' && (attributes as object | null) !== null && !Array.isArray(attributes);
  const given: [string, unknown][] = isObject ? Object.entries(attributes) : [];
  // What is undefined is an attribute as well; without any nothing would be stored.
  if (given.length === 0) throw new ClusterError('CLUSTER_BAD_OPTION', 'signIn: attributes: expected an object with at least one, found none; an empty session is not stored');
  if (maxAge !== undefined && !isCookieAge(maxAge)) throw new ClusterError('CLUSTER_BAD_OPTION', `signIn: maxAge: expected ${COOKIE_AGE}, found ${String(maxAge)}`);
  const session = site.manager.createSession();
  for (const [name, value] of given) session.set(name, value);
  behind(session).ownIdleTimeoutMs = maxAge;
  await site.manager.sendSession(session);
  return site.transport.sentBack(session.id, maxAge);
}

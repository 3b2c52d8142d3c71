import { ClusterError, type SessionData } from '@cluster/core';
import { siteOf, type SessionMiddleware } from './session-middleware.js';

/**
 * Stores a session with these attributes, as if its user had signed in, and resolves to what a client sends to have it: the
 * value of a `Cookie` header; with `transport` the bare id.
 * @throws ClusterError CLUSTER_BAD_OPTION for anything but a `session(...)`, or without an attribute
 */
export async function signIn(sessions: SessionMiddleware, attributes: Partial<SessionData>): Promise<string> {
  const site = siteOf(sessions);
  const given: [string, unknown][] = Object.entries(attributes);
  // What is undefined is an attribute as well; without any nothing would be stored.
  if (given.length === 0) throw new ClusterError('CLUSTER_BAD_OPTION', 'signIn: attributes: expected at least one, found none; an empty session is not stored');
  const session = site.manager.createSession();
  for (const [name, value] of given) session.set(name, value);
  await site.manager.sendSession(session);
  return site.transport.sentBack(session.id);
}

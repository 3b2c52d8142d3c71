import type { IncomingMessage } from 'node:http';
import { ClusterError } from '@cluster/core';
import { shown } from '@cluster/core/driver';
import { isAccess, type Access, type Settings } from './options.js';

/** How this request uses its session; undefined: it has none. */
export function accessOf(req: IncomingMessage, setting: Settings['access']): Exclude<Access, 'auto'> | undefined {
  const asked = typeof setting === 'function' ? setting(req) : setting;
  if (!isAccess(asked)) throw new ClusterError('CLUSTER_BAD_OPTION', `session: access: expected 'auto', 'exclusive', 'snapshot' or 'shared' from the function, found ${shown(asked)}`);
  if (asked !== 'auto') return asked;
  switch (req.method) {
    case 'GET': case 'HEAD': return 'snapshot';
    case 'OPTIONS': return undefined;
    default: return 'exclusive';
  }
}

/** Express and Connect keep the whole address in `originalUrl` while a router shortens `url`. */
export const urlOf = (req: IncomingMessage): string => (req as { originalUrl?: string }).originalUrl ?? req.url ?? '';

const MAX_LABEL_LENGTH = 200;

/** What the request calls itself in lock errors: method and path, without the query, which may hold secrets. */
export function labelOf(req: IncomingMessage): string {
  const url = urlOf(req);
  const query = url.indexOf('?');
  return `${req.method ?? ''} ${query < 0 ? url : url.slice(0, query)}`.slice(0, MAX_LABEL_LENGTH);
}

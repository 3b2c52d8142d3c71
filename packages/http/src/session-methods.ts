import { ClusterError } from '@cluster/core';
import type { CookieOptions } from './options.js';
import type { SessionMethods } from './http-session.js';

type Callback = (error?: unknown) => void;

/** What the methods of a session do to its request. */
export interface Actions {
  save(): Promise<void>;
  reload(): Promise<void>;
  release(): Promise<void>;
  regenerate(options: unknown): Promise<void>;
  destroy(): Promise<void>;
  late(): void;
}

/** Answers by the promise, and by the callback where one is given. */
function answered(work: Promise<void>, callback: unknown): Promise<void> {
  if (typeof callback !== 'function') return work;
  const call = callback as Callback;
  // In a tick of its own: what the callback throws is the application's, and no rejection of ours.
  work.then(() => { process.nextTick(call); }, (error: unknown) => { process.nextTick(call, error); });
  return work;
}

/** @throws ClusterError CLUSTER_BAD_OPTION */
export function keepOf(options: unknown): true | readonly string[] {
  const keep: unknown = typeof options === 'object' && options !== null ? Reflect.get(options, 'keep') : undefined;
  const other = typeof options === 'object' && options !== null ? Object.keys(options).filter((name) => name !== 'keep') : [];
  if (other.length > 0) {
    throw new ClusterError('CLUSTER_BAD_OPTION', `regenerate: ${other.map((name) => `${name}: no such option, or not built yet`).join('; ')}; known is keep`);
  }
  if (keep === undefined) return [];
  if (keep === true || (Array.isArray(keep) && keep.every((name) => typeof name === 'string'))) return keep;
  throw new ClusterError('CLUSTER_BAD_OPTION', `regenerate: keep: expected true or an array of attribute names, found ${typeof keep}`);
}

/**
 * Hung onto a handle; core reads `face.save` where the application says `session.save`. Getters, so that a request that
 * calls no method makes no function.
 */
export class Face {
  constructor(private readonly actions: Actions, readonly cookie: SessionMethods['cookie']) {}

  /** Called by core when the handle has ended and is changed all the same. */
  late(): void { this.actions.late(); }

  get save() { return (callback?: unknown) => answered(this.actions.save(), callback); }
  get reload() { return (callback?: unknown) => answered(this.actions.reload(), callback); }
  get release() { return (callback?: unknown) => answered(this.actions.release(), callback); }
  get destroy() { return (callback?: unknown) => answered(this.actions.destroy(), callback); }
  get touch() { return (callback?: unknown) => answered(Promise.resolve(), callback); }
  get regenerate() {
    return (options?: unknown, callback?: unknown) => (typeof options === 'function'
      ? answered(this.actions.regenerate(undefined), options)
      : answered(this.actions.regenerate(options), callback));
  }
}

/** The cookie's attributes as `session.cookie` shows them; setting one throws, since a session has none of its own yet. */
export function cookieFace(cookie: CookieOptions): SessionMethods['cookie'] {
  const { maxAge } = cookie;
  const shown: Record<string, () => unknown> = { originalMaxAge: () => maxAge, expires: () => (maxAge === undefined ? undefined : new Date(Date.now() + maxAge)) };
  for (const name of ['path', 'domain', 'httpOnly', 'secure', 'sameSite', 'partitioned', 'priority', 'maxAge'] as const) shown[name] = () => cookie[name];
  const face = {};
  for (const [name, get] of Object.entries(shown)) {
    Object.defineProperty(face, name, {
      enumerable: true, get,
      set() {
        throw new ClusterError('CLUSTER_BAD_OPTION', `session.cookie.${name}: cannot be set for one session yet; set it in the options of session()`);
      },
    });
  }
  // Its properties are those of the interface, made in a loop.
  return Object.freeze(face) as SessionMethods['cookie'];
}

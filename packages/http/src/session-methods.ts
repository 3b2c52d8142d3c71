import { ClusterError, type Session } from '@cluster/core';
import { behind, type Behind } from '@cluster/core/driver';
import { cookieView, type OwnCookie } from './cookie-view.js';
import type { SessionMethods } from './http-session.js';

type Callback = (error?: unknown) => void;

/** What the methods of a session do to its request. */
export interface Actions {
  save(): Promise<void>;
  reload(): Promise<void>;
  release(): Promise<void>;
  regenerate(options: unknown): Promise<void>;
  destroy(): Promise<void>;
  touch(): Promise<void>;
  late(): void;
  ownCookie(state: Behind): OwnCookie;
}

/** Answers by the promise, and by the callback where one is given. */
function answered(work: Promise<void>, callback: unknown): Promise<void> {
  if (typeof callback !== 'function') return work;
  const call = callback as Callback;
  // In a tick of its own: what the callback throws is the application's, and no rejection of ours.
  work.then(() => { process.nextTick(call); }, (error: unknown) => { process.nextTick(call, error); });
  return work;
}

/** Attributes that `regenerate` brings along; true: all of them, and the age of the cookie, which a list calls `cookie`. */
type Keep = true | readonly string[];

/** @throws ClusterError CLUSTER_BAD_OPTION */
export function keepOf(options: unknown): Keep {
  const keep: unknown = typeof options === 'object' && options !== null ? Reflect.get(options, 'keep') : undefined;
  const other = typeof options === 'object' && options !== null ? Object.keys(options).filter((name) => name !== 'keep') : [];
  if (other.length > 0) {
    throw new ClusterError('CLUSTER_BAD_OPTION', `regenerate: ${other.map((name) => `${name}: no such option`).join('; ')}; known is keep`);
  }
  if (keep === undefined) return [];
  if (keep === true || (Array.isArray(keep) && keep.every((name) => typeof name === 'string'))) return keep;
  throw new ClusterError('CLUSTER_BAD_OPTION', `regenerate: keep: expected true or an array of attribute names, found ${typeof keep}`);
}

const stays = (name: string, keep: Keep) => keep === true || keep.includes(name);

export function dropOthers(session: Session, keep: Keep): void {
  for (const name of Object.keys(session)) if (!stays(name, keep)) session.delete(name);
  if (!stays('cookie', keep)) behind(session).ownIdleTimeoutMs = undefined;
}

export function carryOver(from: Session, to: Session, keep: Keep): void {
  for (const name of Object.keys(from)) if (stays(name, keep)) to.set(name, from.get(name));
  if (stays('cookie', keep)) behind(to).ownIdleTimeoutMs = behind(from).ownIdleTimeoutMs;
}

/**
 * Hung onto a handle; core reads `face.save` where the application says `session.save`. Getters, so that a request that
 * calls no method makes no function.
 */
export class Face {
  #cookie: SessionMethods['cookie'] | undefined;

  constructor(private readonly actions: Actions, private readonly state: Behind) {}

  get cookie(): SessionMethods['cookie'] { return this.#cookie ??= cookieView(this.actions.ownCookie(this.state)); }

  /** Called by core when the handle has ended and is changed all the same. */
  late(): void { this.actions.late(); }

  get save() { return (callback?: unknown) => answered(this.actions.save(), callback); }
  get reload() { return (callback?: unknown) => answered(this.actions.reload(), callback); }
  get release() { return (callback?: unknown) => answered(this.actions.release(), callback); }
  get destroy() { return (callback?: unknown) => answered(this.actions.destroy(), callback); }
  get touch() { return (callback?: unknown) => answered(this.actions.touch(), callback); }
  get regenerate() {
    return (options?: unknown, callback?: unknown) => (typeof options === 'function'
      ? answered(this.actions.regenerate(undefined), options)
      : answered(this.actions.regenerate(options), callback));
  }
}

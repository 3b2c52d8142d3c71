import { AsyncResource } from 'node:async_hooks';
import { ClusterError, type DistributedManager, type FindOptions, type Session } from '@cluster/core';
import { NAMES } from './attributes.js';
import { changed } from './changed.js';

type Mutated = (manager: DistributedManager) => DistributedManager;

/** The middleware takes an id that was changed for one that nobody knows, and begins a session in its place. */
export const movedIsUnknown: Mutated = (manager) => changed(manager, {
  findSession: (id: string, options?: FindOptions) => manager.findSession(id, options).catch((error: unknown) => {
    if (!ClusterError.is(error, 'CLUSTER_MOVED')) throw error;
    return undefined;
  }),
});

/** Requests that share a session work on copies of their own, and each publishes all of its copy. */
export const sharedCopies: Mutated = (manager) => {
  const copies = new WeakMap<Session, { readonly original: Session; readonly attributes: Map<string, unknown> }>();
  const published = (session: Session): Session => {
    const copy = copies.get(session);
    for (const name of copy === undefined ? [] : NAMES) {
      if (copy?.attributes.has(name) === true) copy.original.set(name, structuredClone(copy.attributes.get(name)));
      else copy?.original.delete(name);
    }
    return copy?.original ?? session;
  };
  return changed(manager, {
    findSession: async (id: string, options?: FindOptions) => {
      const original = await manager.findSession(id, options);
      if (original === undefined || options?.access !== 'shared') return original;
      const attributes = new Map<string, unknown>();
      for (const name of NAMES) if (original.get(name) !== undefined) attributes.set(name, structuredClone<unknown>(original.get(name)));
      const session: Session = changed(original, {
        get: (name: string) => attributes.get(name),
        set: (name: string, value: unknown) => {
          attributes.set(name, value);
          return session;
        },
        delete: (name: string) => attributes.delete(name),
      });
      copies.set(session, { original, attributes });
      return session;
    },
    sendSession: async (session, options) => manager.sendSession(published(session), options),
    changeSessionId: async (session) => manager.changeSessionId(published(session)),
  });
};

/** A failure to publish what is shared is told to the first who asks, and to nobody else. */
export const toldOnce: Mutated = (manager) => {
  const told = new WeakSet();
  return changed(manager, {
    sendSession: (session, options) => manager.sendSession(session, options).catch((error: unknown) => {
      if (!ClusterError.is(error) || !told.has(error)) {
        if (ClusterError.is(error)) told.add(error);
        throw error;
      }
    }),
  });
};

/** Who asks again for the session that it has gets a handle with copies of its own. */
export const secondHandle: Mutated = (manager) => {
  const handed = new WeakSet();
  return changed(manager, {
    findSession: async (id: string, options?: FindOptions) => {
      const session = await manager.findSession(id, options);
      if (session === undefined) return undefined;
      if (handed.has(session)) return manager.findSession(id, { ...options, access: 'snapshot' });
      handed.add(session);
      return session;
    },
  });
};

/** Finds do not know in which request they are made. */
export const contextLost: Mutated = (manager) => {
  const outside = new AsyncResource('outside of every request');
  return changed(manager, { findSession: (id: string, options?: FindOptions) => outside.runInAsyncScope(() => manager.findSession(id, options)) });
};

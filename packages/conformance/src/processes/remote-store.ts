import type { ClusterStore, FindOptions, SessionSnapshot } from '@cluster/core';

/** What a process with a store in it is asked to do: the store's own methods, and a loop over them. */
export interface StoreCalls {
  readonly find: (id: string, options?: Pick<FindOptions, 'waitMs'>) => Promise<SessionSnapshot | undefined>;
  readonly send: (session: SessionSnapshot, options: { readonly keep: boolean; readonly isNew: boolean }) => Promise<void>;
  readonly remove: (id: string, why: 'removed' | 'moved') => Promise<void>;
  readonly read: (id: string) => Promise<SessionSnapshot | undefined>;
  readonly touch: (lifetimesMs: ReadonlyMap<string, number>) => Promise<void>;
  /** Adds 1 to the attribute `n` so many times, each time by a find and a send. */
  readonly increment: (id: string, times: number) => Promise<void>;
}

/** The optional methods of a store. */
const optionalMethods = ['readSession', 'touchSessions'] as const;
export type OptionalMethod = (typeof optionalMethods)[number];

/** A started store, wherever it runs. */
export interface RemoteStore extends StoreCalls {
  readonly instanceId: string;
  /** The optional methods that it does not have. */
  readonly lacks: readonly OptionalMethod[];
  /** False once it was stopped or killed. */
  readonly runs: boolean;
  /** Stops the store; resolves to whether its process then ended by itself. */
  stop(): Promise<boolean>;
  /** Ends it at once, as SIGKILL does: nothing is released. */
  kill(): Promise<void>;
}

/** Starts a store as an instance of its own. */
export type OpenStore = (instanceId: string) => Promise<RemoteStore>;

const MOST_PAUSE_MS = 4;
/** A store that queues may do so; one that does not says at once that it is locked. */
const WAIT_MS = 1_000;

const isLocked = (error: unknown) => typeof error === 'object' && error !== null && 'code' in error && error.code === 'CLUSTER_LOCKED';

async function findWhenFree(store: ClusterStore, id: string): Promise<SessionSnapshot> {
  for (;;) {
    try {
      const found = await store.findSession(id, { waitMs: WAIT_MS });
      if (found === undefined) throw new Error('the session to increment is gone');
      return found;
    } catch (error) {
      if (!isLocked(error)) throw error;
      await new Promise<void>((resolve) => { setTimeout(resolve, Math.random() * MOST_PAUSE_MS); });
    }
  }
}

export const lacksOf = (store: ClusterStore): OptionalMethod[] => optionalMethods.filter((method) => store[method] === undefined);

const undeclared = (method: OptionalMethod) => new Error(`the store has no ${method}; if that is meant, name it in the harness: lacks: ['${method}']`);

/** The calls, on a store of this process. */
export function callsOn(store: ClusterStore): StoreCalls {
  return {
    find: (id, options = { waitMs: 0 }) => store.findSession(id, options),
    send: (session, options) => store.sendSession(session, options),
    remove: (id, why) => store.removeSession(id, why),
    read: (id) => store.readSession?.(id) ?? Promise.reject(undeclared('readSession')),
    touch: (lifetimesMs) => store.touchSessions?.(lifetimesMs) ?? Promise.reject(undeclared('touchSessions')),
    async increment(id, times) {
      for (let done = 0; done < times; done += 1) {
        const found = await findWhenFree(store, id);
        const n = Number(found.attributes.get('n')) + 1;
        await store.sendSession({ ...found, attributes: new Map([...found.attributes, ['n', String(n)]]) }, { keep: false, isNew: false });
      }
    },
  };
}

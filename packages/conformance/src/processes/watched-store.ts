import type { ClusterStore } from '@cluster/core';
import type { Committed, SessionTable, StoreCapabilities, Write } from '@cluster/core/driver';
import { step } from './steps.js';

/** Where a store built on ClusterStoreBase lends its table. */
const TABLE = Symbol.for('@cluster/core/table');

/** A change that the store has accepted; nobody else's may have the same version. */
export interface Accepted {
  readonly key: string;
  readonly version: number;
  readonly grant: string;
}

type Around = (method: string, args: readonly unknown[], call: () => unknown) => unknown;

/** What answers at once, and asks nobody. */
const IMMEDIATE: ReadonlySet<string | symbol> = new Set(['stored', 'receiveSession']);

/** The object, but for its methods that ask somebody, which are called by `around`. */
function surrounded<T extends object>(target: T, around: Around): T {
  return new Proxy(target, {
    get(object, name) {
      const value: unknown = Reflect.get(object, name, object);
      if (typeof value !== 'function' || typeof name === 'symbol') return value;
      if (IMMEDIATE.has(name)) return value.bind(object) as unknown;
      return (...args: unknown[]) => around(name, args, () => Reflect.apply(value, object, args) as unknown);
    },
  });
}

/** A step before each call and one behind each reply. */
const stepping: Around = async (_method, _args, call) => {
  step();
  const answer = await call();
  step();
  return answer;
};

/** What a commit or create of a table says about whose change a version of a session is. */
function acceptedBy(method: string, args: readonly unknown[], answer: unknown): Accepted | undefined {
  if (method === 'commit') {
    // As SessionTable has it: key, grant, base, write.
    const [key, grant, , write] = args as [string, string, unknown, Write];
    const committed = answer as Committed;
    return write.change !== undefined && committed.kind === 'done' ? { key, grant, version: committed.version } : undefined;
  }
  if (method !== 'create' || answer !== 'created') return undefined;
  const [key, { grant }, { of }] = args as Parameters<SessionTable['create']>; // what the method is called with
  // The record of the settings expires when nobody could touch it for long, and is made anew by whoever finds that.
  return of === 'settings' ? undefined : { key, grant, version: 1 };
}

/** A store whose every step can be the last of this process, and whose accepted changes are told. */
export function watched(store: ClusterStore, accepted: (change: Accepted) => void): { readonly store: ClusterStore; readonly capabilities: StoreCapabilities | undefined } {
  const lent: unknown = Reflect.get(store, TABLE);
  if (lent === undefined) return { store: surrounded(store, stepping), capabilities: undefined };
  const table = surrounded(lent as SessionTable, async (method, args, call) => { // only ClusterStoreBase sets the symbol
    const answer = await stepping(method, args, call);
    const change = acceptedBy(method, args, answer);
    if (change !== undefined) accepted(change);
    return answer;
  });
  const lending = new Proxy(store, {
    get: (object, name) => (name === TABLE ? table : Reflect.get(object, name, object) as unknown),
  });
  return { store: lending, capabilities: (lent as SessionTable).capabilities }; // likewise
}

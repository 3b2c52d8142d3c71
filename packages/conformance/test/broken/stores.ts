import { freeAll, keptAt, snapshotOf, type FullStore, type MemoryCluster } from '../memory-cluster.js';
import { gap, type Breakage } from './breakage.js';

export type StoreBreakage = Breakage<FullStore, MemoryCluster>;

const hold = (cluster: MemoryCluster, id: string, instanceId: string): void => {
  const kept = keptAt(cluster, id);
  if (kept !== undefined) kept.holder = instanceId;
};

const brokenLocks: readonly StoreBreakage[] = [
  {
    clause: 'send of a session that does not exist is refused and creates nothing', broken: 'send creates what is not there',
    methods: (store, cluster) => ({ sendSession: (session, options) => store.sendSession(session, { ...options, isNew: keptAt(cluster, session.id) === undefined }) }),
  },
  {
    clause: 'find of an unknown id is undefined, and locks nothing', broken: 'find creates an empty session',
    methods: (store, cluster) => ({
      async findSession(id, options) {
        if (keptAt(cluster, id) === undefined) await store.sendSession({ id, attributes: new Map(), ageMs: 0, idleMs: 0, lifetimeMs: 1_000 }, { keep: false, isNew: true });
        return store.findSession(id, options);
      },
    }),
  },
  {
    clause: 'a session that was added is found by the other instance, with its content and lifetime', broken: 'every session has one lifetime',
    methods: (store) => ({ sendSession: (session, options) => store.sendSession({ ...session, lifetimeMs: 1_000 }, options) }),
  },
  {
    clause: 'a found session is locked for the other instance until it is sent', broken: 'find does not lock',
    methods: (store, cluster) => ({
      async findSession(id, options) {
        hold(cluster, id, store.instanceId);
        return store.findSession(id, options);
      },
    }),
  },
  {
    clause: 'a found session is locked for the other instance until it is sent', broken: 'send does not unlock',
    methods: (store) => ({ sendSession: (session, options) => store.sendSession(session, { ...options, keep: true }) }),
  },
  {
    clause: 'find made twice by the same instance is granted twice; one send frees it', broken: 'the second find is refused',
    methods: (store, cluster) => ({
      findSession: async (id, options) => {
        if (keptAt(cluster, id)?.holder !== undefined) throw Object.assign(new Error('locked'), { code: 'CLUSTER_LOCKED' });
        return store.findSession(id, options);
      },
    }),
  },
  {
    clause: 'an update replaces the content, and is what the other instance finds from then on', broken: 'an update is merged',
    methods: (store, cluster) => ({
      sendSession: (session, options) =>
        store.sendSession({ ...session, attributes: new Map([...keptAt(cluster, session.id)?.attributes ?? [], ...session.attributes]) }, options),
    }),
  },
  {
    clause: 'send with keep stores and keeps the lock, for a new session and for an update', broken: 'keep is ignored',
    methods: (store) => ({ sendSession: (session, options) => store.sendSession(session, { ...options, keep: false }) }),
  },
  {
    clause: 'send without having found the session is refused and stores nothing', broken: 'there is no fence',
    methods: (store, cluster) => ({
      sendSession(session, options) {
        if (!options.isNew) hold(cluster, session.id, store.instanceId);
        return store.sendSession(session, options);
      },
    }),
  },
  {
    clause: 'send made late, after the lock was given back, is refused and stores nothing', broken: 'who held it last may send again',
    methods(store, cluster) {
      const had = new Set<string>();
      return {
        findSession(id, options) {
          had.add(id);
          return store.findSession(id, options);
        },
        sendSession(session, options) {
          const kept = keptAt(cluster, session.id);
          if (kept?.holder === undefined && had.has(session.id)) hold(cluster, session.id, store.instanceId);
          return store.sendSession(session, options);
        },
      };
    },
  },
  {
    clause: 'an add of an id that exists is refused and stores nothing', broken: 'an add overwrites',
    methods: (store, cluster) => ({
      sendSession(session, options) {
        if (options.isNew) cluster.kept.delete(session.id);
        return store.sendSession(session, options);
      },
    }),
  },
  {
    clause: 'of two finds at once exactly one is granted', broken: 'it looks first and locks later',
    methods: (store, cluster) => ({
      async findSession(id, options) {
        const free = keptAt(cluster, id)?.holder === undefined;
        await gap();
        if (free) hold(cluster, id, store.instanceId);
        return store.findSession(id, options);
      },
    }),
  },
  {
    clause: 'of two adds of one id at once exactly one is stored', broken: 'it looks first and stores later',
    methods: (store, cluster) => ({
      async sendSession(session, options) {
        const free = keptAt(cluster, session.id) === undefined;
        await gap();
        if (free) cluster.kept.delete(session.id);
        return store.sendSession(session, options);
      },
    }),
  },
  {
    clause: '200 increments by two processes at once lose none', broken: 'neither lock nor fence',
    methods: (store, cluster) => ({
      async findSession(id, options) {
        hold(cluster, id, store.instanceId);
        const found = await store.findSession(id, options);
        await new Promise((resolve) => { setImmediate(resolve); });
        return found;
      },
      sendSession(session, options) {
        hold(cluster, session.id, store.instanceId);
        return store.sendSession(session, options);
      },
    }),
  },
];

const brokenContents: readonly StoreBreakage[] = [
  {
    clause: 'attributes of text and of bytes come back as they were', broken: 'bytes become text',
    methods: (store) => ({
      sendSession: (session, options) => store.sendSession({
        ...session, attributes: new Map([...session.attributes].map(([name, value]) => [name, typeof value === 'string' ? value : Buffer.from(value).toString('base64')])),
      }, options),
    }),
  },
  {
    clause: 'attributes of any name come back under that name', broken: 'names are members of an object',
    methods: (store) => ({
      sendSession(session, options) {
        const object: Record<string, string | Uint8Array> = {};
        for (const [name, value] of session.attributes) object[name] = value;
        return store.sendSession({ ...session, attributes: new Map(Object.entries(object)) }, options);
      },
    }),
  },
  {
    clause: 'a session without attributes stays one, and a large one comes back', broken: 'an empty session is not stored',
    methods: (store) => ({ sendSession: (session, options) => (session.attributes.size === 0 ? Promise.resolve() : store.sendSession(session, options)) }),
  },
  {
    clause: 'sessions of any id are sessions of their own', broken: 'odd characters of an id are dropped',
    methods: (store) => ({ sendSession: (session, options) => store.sendSession({ ...session, id: session.id.replace(/[^\w-]/g, '') }, options) }),
  },
];

const brokenEnds: readonly StoreBreakage[] = [
  {
    clause: 'remove ends a session for both instances, also made twice, and of an unknown id it resolves', broken: 'it needs a session that is there',
    methods: (store, cluster) => ({
      removeSession: (id, why) => (cluster.kept.has(id) ? store.removeSession(id, why) : Promise.reject(new Error('no such session'))),
    }),
  },
  {
    clause: 'send made late, after somebody else removed the session, is refused and does not bring it back', broken: 'a removed session leaves no trace',
    methods: (_store, cluster) => ({ removeSession: (id) => { cluster.kept.delete(id); return Promise.resolve(); } }),
  },
  {
    clause: 'a session that somebody else removed is gone for the instance that has it locked, too', broken: 'the holder finds its own copy',
    methods(store) {
      const own = new Map<string, ReturnType<typeof store.findSession>>();
      return {
        findSession(id, options) {
          const found = own.get(id) ?? store.findSession(id, options);
          own.set(id, found);
          return found;
        },
      };
    },
  },
  {
    clause: 'find of a session that goes on under another id is rejected by CLUSTER_MOVED', broken: 'moved is removed',
    methods: (store) => ({ removeSession: (id) => store.removeSession(id, 'removed') }),
  },
  {
    clause: 'remove of a session that goes on under another id is rejected by CLUSTER_MOVED, and it counts as moved from then on, too',
    broken: 'a remove of what has moved resolves',
    methods: (store, cluster) => ({
      removeSession: (id, why) => (cluster.gone.get(id) === 'moved' ? Promise.resolve() : store.removeSession(id, why)),
    }),
  },
  {
    clause: 'remove of a session that goes on under another id is rejected by CLUSTER_MOVED, and it counts as moved from then on, too',
    broken: 'a remove makes of what has moved what was removed',
    methods: (store, cluster) => ({
      async removeSession(id, why) {
        if (cluster.gone.get(id) === 'moved') cluster.gone.set(id, why);
        return store.removeSession(id, why);
      },
    }),
  },
  {
    clause: 'remove as moved without the lock is refused and changes nothing, also after somebody else removed the session',
    broken: 'anybody may move a session',
    methods: (store, cluster) => ({
      removeSession(id, why) {
        if (why === 'moved') hold(cluster, id, store.instanceId);
        return store.removeSession(id, why);
      },
    }),
  },
  {
    clause: 'remove as moved without the lock is refused and changes nothing, also after somebody else removed the session',
    broken: 'what was removed can be moved',
    methods: (store, cluster) => ({
      removeSession: (id, why) => (cluster.gone.get(id) === 'removed' ? Promise.resolve() : store.removeSession(id, why)),
    }),
  },
  {
    clause: 'a session is there until its lifetime is over, and not long after it', broken: 'sessions live for ever',
    methods: (store) => ({ sendSession: (session, options) => store.sendSession({ ...session, lifetimeMs: Infinity }, options) }),
  },
  {
    clause: 'a session is there until its lifetime is over, and not long after it', broken: 'sessions live for half their lifetime',
    methods: (store) => ({ sendSession: (session, options) => store.sendSession({ ...session, lifetimeMs: session.lifetimeMs / 2 }, options) }),
  },
  {
    clause: 'send makes a session live on', broken: 'only the add sets its end',
    methods: (store, cluster) => ({
      async sendSession(session, options) {
        const before = keptAt(cluster, session.id);
        const { lifetimeMs, usedMs } = before ?? {};
        await store.sendSession(session, options);
        const kept = keptAt(cluster, session.id);
        if (kept !== undefined && lifetimeMs !== undefined && usedMs !== undefined) [kept.lifetimeMs, kept.usedMs] = [lifetimeMs, usedMs];
      },
    }),
  },
  {
    clause: 'send with a shorter lifetime ends a session sooner, also with a kept lock', broken: 'a lifetime is only lengthened',
    methods: (store, cluster) => ({
      sendSession: (session, options) =>
        store.sendSession({ ...session, lifetimeMs: Math.max(session.lifetimeMs, keptAt(cluster, session.id)?.lifetimeMs ?? 0) }, options),
    }),
  },
  {
    clause: 'send with a shorter lifetime ends a session sooner, also with a kept lock', broken: 'a kept lock keeps the session',
    methods: (store) => ({
      sendSession: (session, options) => store.sendSession(options.keep ? { ...session, lifetimeMs: 60_000 } : session, options),
    }),
  },
  {
    clause: 'age counts from the add', broken: 'it counts from the find',
    methods: (store) => ({
      async findSession(id, options) {
        const found = await store.findSession(id, options);
        return found && { ...found, ageMs: 0 };
      },
    }),
  },
  {
    clause: 'readSession shows the last state that was sent, and takes no lock', broken: 'it locks',
    methods: (store, cluster) => ({
      readSession(id) {
        const kept = keptAt(cluster, id);
        if (kept !== undefined) kept.holder ??= store.instanceId;
        return store.readSession(id);
      },
    }),
  },
  {
    clause: 'readSession shows the last state that was sent, and takes no lock', broken: 'it answers from what it saw first',
    methods(_store, cluster) {
      const seen = new Map<string, ReturnType<typeof snapshotOf>>();
      return {
        async readSession(id) {
          const kept = keptAt(cluster, id);
          const known = seen.get(id) ?? (kept && snapshotOf(id, kept));
          if (known !== undefined) seen.set(id, known);
          return known;
        },
      };
    },
  },
  {
    clause: 'touchSessions makes sessions live on, also of others, and brings none back', broken: 'it does nothing',
    methods: () => ({ touchSessions: () => Promise.resolve() }),
  },
  {
    clause: 'after the process of its holder was killed a session can be had again in time, with its last content that was acknowledged',
    broken: 'the lock of a dead instance stays', methods: () => ({ }),
  },
  {
    clause: 'a process that is started again under the same instanceId has not the locks of the one that was killed, and keeps none of them from others',
    broken: 'a lock belongs to a name', methods: () => ({ }),
  },
  {
    clause: 'a process that is started again under the same instanceId has not the locks of the one that was killed, and keeps none of them from others',
    broken: 'a lock lives as long as somebody of that name', methods: () => ({ }),
  },
  {
    clause: 'stop frees what the instance had locked, and leaves nothing that keeps its process alive', broken: 'stop frees nothing',
    methods: () => ({ stop: () => Promise.resolve() }),
  },
];

export const brokenStores: readonly StoreBreakage[] = [...brokenLocks, ...brokenContents, ...brokenEnds];

const NOTICED_MS = 20;

/** What a cluster does when the connection of an instance ends. */
export function whenGone(breakage: StoreBreakage | undefined, cluster: MemoryCluster, instanceId: string): void {
  cluster.running.delete(instanceId);
  const broken = breakage?.broken;
  if (broken === 'the lock of a dead instance stays') return;
  if (broken !== 'a lock belongs to a name' && broken !== 'a lock lives as long as somebody of that name') {
    freeAll(cluster, instanceId);
    return;
  }
  const former = broken === 'a lock belongs to a name' ? instanceId : `${instanceId}, dead`;
  for (const kept of cluster.kept.values()) if (kept.holder === instanceId) kept.holder = former;
  setTimeout(() => { if (!cluster.running.has(instanceId)) freeAll(cluster, former); }, NOTICED_MS);
}

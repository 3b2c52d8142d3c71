import type { Message, SessionTable } from '@cluster/core/driver';
import { changed } from './changed.js';
import type { Mutation } from './cluster.js';
import type { Steps } from './linked-table.js';
import { logMutations } from './log-mutations.js';
import { contextLost, movedIsUnknown, secondHandle, sharedCopies, toldOnce } from './mutated-managers.js';
import type { PlanChange } from './plan.js';
import type { ReferenceTable } from './reference-table.js';
import { allRules } from './rules.js';
import { calm } from './weather.js';
import type { World } from './world.js';

/** A rule taken away, and the runs in which that shows. */
export interface NamedMutation {
  readonly name: string;
  readonly mutation: Mutation;
  readonly change: PlanChange;
  readonly requests: number;
}

const table = { store: 'table' } as const;
const mixed: PlanChange = { ...table, workload: 'mixed' };
const calmWeather = calm(0.5, 50);
const shared: PlanChange = { ...table, workload: 'shared', face: 'manager', instances: 2, sessions: 1, clients: 6, sticky: 1, idleMs: 2, workMs: 10 };
const nested: PlanChange = { ...mixed, face: 'manager', mix: { nested: 40, post: 30, get: 30 } };
const rollback: PlanChange = { ...table, workload: 'rollback', episodeEveryMs: 300 };

/** An instance that is asked for a grant which it does not know keeps silent. */
const noOrphanRule = (inner: SessionTable): SessionTable => {
  const granted = new Set<string>();
  return changed(inner, {
    acquire: async (key, claim, from, have) => {
      const answer = await inner.acquire(key, claim, from, have);
      if (answer.kind === 'granted') granted.add(claim.grant);
      return answer;
    },
    create: (key, claim, write, then) => {
      granted.add(claim.grant);
      return inner.create(key, claim, write, then);
    },
    commit: async (key, grant, base, write, then) => (granted.has(grant) ? inner.commit(key, grant, base, write, then) : { kind: 'fenced' }),
  });
};

/** Whoever ends a lease looks first, and ends it a little later. */
const lapseInTwoSteps = (steps: ReferenceTable, world: World): Steps => ({
  ...stepsOf(steps),
  lapse: async (incarnation, quietMs) => {
    const waitMs = steps.quietLeftMs(incarnation, quietMs);
    if (waitMs > 0) return waitMs;
    await world.sleep(250);
    steps.end(incarnation);
    return 0;
  },
});

const stepsOf = (steps: ReferenceTable): Steps => ({
  capabilities: steps.capabilities,
  acquire: (...args) => steps.acquire(...args), create: (...args) => steps.create(...args), commit: (...args) => steps.commit(...args),
  remove: (...args) => steps.remove(...args), read: (...args) => steps.read(...args), touch: (...args) => steps.touch(...args),
  beat: (incarnation, n) => steps.beat(incarnation, n), lapse: (...args) => steps.lapse(...args),
});

/** A `whole` carries more each time it is sent, as if newer changes were put into it. */
function growingWhole(inner: SessionTable): SessionTable {
  let newer = 1_000_000;
  return changed(inner, {
    commit: (key, grant, base, write, then) => {
      const { change } = write;
      if (change?.whole !== true) return inner.commit(key, grant, base, write, then);
      newer += 1;
      return inner.commit(key, grant, base, { ...write, change: { ...change, set: new Map([...change.set, ['b', String(newer)]]) } }, then);
    },
  });
}

interface Revoke { readonly type: string; readonly key: string; readonly holder: { readonly incarnation: string; readonly grant: string }; readonly claim: { readonly incarnation: string; readonly grant: string } }

/** Hands what a revoke names to who asks, if `isDue` says so; then the engine hears it as well. */
function answering(inner: SessionTable, isDue: (revoke: Revoke) => boolean): Pick<SessionTable, 'start'> {
  return {
    start: (context) => inner.start({ ...context, receive: (message) => {
      const signal = JSON.parse(message) as Revoke; // made by the engine; its type is looked at first
      if (signal.type === 'revoke' && isDue(signal)) {
        void inner.commit(signal.key, signal.holder.grant, undefined, { change: undefined, lifetimeMs: 0 }, signal.claim).catch(() => undefined);
      }
      context.receive(message);
    } }),
  };
}

/** A claim whose acquire is still on its way counts as nobody's. */
function waitingIsOrphan(inner: SessionTable): SessionTable {
  const granted = new Set<string>();
  const asked = new Set<string>();
  return changed(inner, {
    ...answering(inner, ({ holder }) => asked.has(holder.grant) && !granted.has(holder.grant)),
    acquire: async (key, claim, from, have) => {
      asked.add(claim.grant);
      const answer = await inner.acquire(key, claim, from, have);
      if (answer.kind === 'granted') granted.add(claim.grant);
      return answer;
    },
  });
}

/** Who is asked for an incarnation that it never was gives the session away all the same. */
function notMeCommits(inner: SessionTable): SessionTable {
  const own = new Set<string>();
  return changed(inner, {
    ...answering(inner, ({ holder }) => own.size > 0 && !own.has(holder.incarnation)),
    beat: (incarnation, n, leaseMs) => {
      own.add(incarnation);
      return inner.beat(incarnation, n, leaseMs);
    },
  });
}

const withoutQueue = (message: Message): Message => {
  const signal = JSON.parse(message) as { type: string };
  return signal.type === 'handover' ? JSON.stringify({ ...signal, queue: [] }) : message;
};

export const mutations: readonly NamedMutation[] = [
  { name: 'read-back instead of re-grant', mutation: { rules: { ...allRules, regrantFences: false } }, requests: 300,
    change: { ...mixed, weather: { late: 0.1, lateMs: 500 } } },
  { name: '`have` by version', mutation: { rules: { ...allRules, haveByStamp: false } }, requests: 300, change: { ...rollback, instances: 3 } },
  { name: 'no base version', mutation: { rules: { ...allRules, baseVersion: false } }, requests: 300,
    change: { ...mixed, options: { affinity: 'keep' }, weather: { twice: 0.2, lateMs: 500 } } },
  { name: 'no orphan rule', mutation: { table: noOrphanRule }, requests: 300, change: { ...mixed, instances: 3, weather: { late: 0.1, lateMs: 500 } } },
  { name: 'quiet below the read lease', requests: 300,
    mutation: { table: (inner) => changed(inner, { lapse: (incarnation, quietMs) => inner.lapse(incarnation, Math.min(quietMs, 5)) }) },
    change: { ...mixed, instances: 3, gone: 'disconnected', options: { affinity: 'keep', readLeaseMs: 400 }, weather: { signalDenied: 0.3 } } },
  { name: 'lapse without compare-and-set', mutation: { steps: lapseInTwoSteps }, requests: 300,
    change: { ...mixed, face: 'manager', instances: 2, sessions: 1, clients: 8, gone: 'disconnected', sticky: 1, idleMs: 10, workMs: 1, mix: { post: 30, get: 70 },
      episodes: { pause: 60 }, episodeEveryMs: 300, options: { affinity: 'keep', leaseMs: 1_000, lockTimeoutMs: 8_000, readLeaseMs: 400, storeTimeoutMs: 600 },
      weather: { signalDenied: 0.8, slow: 0.2, wayMs: 2 } } },
  { name: 'no fence', mutation: { rules: { ...allRules, fence: false } }, requests: 300, change: { ...mixed, episodeEveryMs: 300 } },
  { name: '`whole` accepted at any version', mutation: { rules: { ...allRules, baseOfWhole: false } }, requests: 300,
    change: { ...rollback, weather: { late: 0.1, twice: 0.2, lateMs: 500 } } },
  { name: '`removed` answered for somebody else\'s tombstone', mutation: { rules: { ...allRules, ownTombstone: false } }, requests: 300,
    change: { ...table, workload: 'login', mix: { login: 40, remove: 20, get: 20, post: 20 } } },
  { name: 'a base compared by its version alone', mutation: { rules: { ...allRules, baseGrant: false } }, requests: 300,
    change: { ...table, workload: 'rollback', instances: 3, sessions: 1, clients: 5, gone: 'disconnected', episodes: { rollback: 60, pause: 30 }, episodeEveryMs: 200,
      options: { affinity: 'release', readLeaseMs: 0, leaseMs: 1_000 }, weather: { late: 0.2, twice: 0.3, replyLost: 0.1, lateMs: 1_000, signalDenied: 0.8 } } },
  { name: 'an id change without a base', mutation: { rules: { ...allRules, baseOfRemove: false } }, requests: 300,
    change: { ...table, workload: 'login', mix: { login: 50, post: 50 }, instances: 4, sessions: 1, gone: 'disconnected', episodes: { pause: 60 }, episodeEveryMs: 200,
      options: { affinity: 'release', readLeaseMs: 0, leaseMs: 1_000 }, weather: { late: 0.2, twice: 0.3, replyLost: 0.1, lateMs: 1_000, signalDenied: 0.8 } } },
  { name: 'a whole that carries newer changes', mutation: { table: growingWhole }, requests: 300, change: rollback },
  { name: 'a waiting claim answered as an orphan', mutation: { table: waitingIsOrphan }, requests: 300, change: { ...mixed, instances: 4, options: { affinity: 'keep' } } },
  { name: 'Set-Cookie on a moved id', mutation: { manager: movedIsUnknown }, requests: 300,
    change: { ...table, workload: 'login', face: 'http', sessions: 1, clients: 6 } },
  { name: 'a commit by `not-me`', mutation: { table: notMeCommits }, requests: 300,
    change: { ...mixed, instances: 3, gone: 'unknown', options: { affinity: 'keep' }, episodes: { overlap: 60, crash: 10 }, episodeEveryMs: 300 } },
  { name: 'conflict check that forgets what was read', mutation: { forgetsReads: true }, requests: 300,
    change: { ...mixed, sessions: 1, clients: 6, mix: { write: 60, post: 20, get: 20 } } },
  { name: 'uses are not reported', mutation: { table: (inner) => changed(inner, { touch: () => Promise.resolve(new Set<string>()) }) }, requests: 300,
    change: { ...table, workload: 'expiry', weather: calmWeather, episodeEveryMs: Infinity } },
  { name: 'nobody is cut off', mutation: { options: { lockHoldMs: 0 } }, requests: 200,
    change: { ...table, workload: 'handover', weather: calmWeather, episodeEveryMs: Infinity, instances: 4, clients: 8, sessions: 1, workMs: 40, slowness: 60,
      options: { lockHoldMs: 200 } } },
  { name: 'queue not passed on', requests: 200,
    mutation: { table: (inner) => changed(inner, { signal: (instanceId, message) => inner.signal(instanceId, withoutQueue(message)) }) },
    change: { ...table, workload: 'handover', keepsOrder: true, sessions: 1, instances: 12, clients: 24, sticky: 1, episodeEveryMs: Infinity, workMs: 40, idleMs: 2,
      weather: calmWeather } },
  { name: 'a shared commit that forgets what another shared request changed', mutation: { manager: sharedCopies }, requests: 300, change: shared },
  { name: 'a shared failure that one of them alone hears of', mutation: { manager: toldOnce }, requests: 300,
    change: { ...shared, episodes: { pause: 60, outage: 20 }, episodeEveryMs: 300, options: { leaseMs: 1_000 }, weather: { late: 0.1, replyLost: 0.1, lateMs: 3_000 } } },
  { name: 'a nested find that gets a second handle', mutation: { manager: secondHandle }, requests: 200, change: nested },
  { name: 'a nested find that waits for its own request', mutation: { manager: contextLost }, requests: 200, change: nested },
  ...logMutations,
];

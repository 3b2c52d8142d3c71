import type { Stamp } from '@cluster/core/driver';
import { isSame, present, recordAt, type Space } from '../reference-table.js';
import { type TableBreakage } from './breakage.js';

const LONG_MS = 60_000;

export const brokenCommits: readonly TableBreakage[] = [
  {
    clause: 'commit to an absent or expired key is refused and creates nothing', broken: 'commit creates what is not there',
    methods: (table, space) => ({
      async commit(key, grant, base, write, then) {
        if (present(space, key) === undefined && write.change !== undefined) {
          await table.create(key, { incarnation: 'upsert.0', grant }, write, 'keep');
          return { kind: 'done', version: 1 };
        }
        return table.commit(key, grant, base, write, then);
      },
    }),
  },
  {
    clause: 'commit of a delta sets and removes the attributes that it names, leaves the others and raises the version by one', broken: 'nothing is removed',
    methods: (table) => ({
      commit: (key, grant, base, write, then) => table.commit(key, grant, base, { ...write, change: write.change && { ...write.change, remove: [] } }, then),
    }),
  },
  {
    clause: 'commit of a whole replaces the content', broken: 'a whole is merged',
    methods: (table) => ({
      commit: (key, grant, base, write, then) => table.commit(key, grant, base, { ...write, change: write.change && { ...write.change, whole: false } }, then),
    }),
  },
  {
    clause: 'commit without a change is done at any base, keeps stamp and content, and releases or keeps', broken: 'it raises the version',
    methods: (table, space) => ({
      async commit(key, grant, base, write, then) {
        const committed = await table.commit(key, grant, base, write, then);
        const cell = recordAt(space, key);
        if (write.change === undefined && cell !== undefined) cell.stamp = { ...cell.stamp, version: cell.stamp.version + 1 };
        return committed;
      },
    }),
  },
  {
    clause: 'commit without a change is done at any base, keeps stamp and content, and releases or keeps', broken: 'a release keeps',
    methods: (table) => ({
      commit: (key, grant, base, write, then) => table.commit(key, grant, base, write, then === 'release' ? 'keep' : then),
    }),
  },
  {
    clause: 'commit without a change is done at any base, keeps stamp and content, and releases or keeps', broken: 'it compares the version',
    methods: (table, space) => ({
      async commit(key, grant, base, write, then) {
        return write.change === undefined && recordAt(space, key)?.stamp.version !== base?.version ? { kind: 'behind' } : table.commit(key, grant, base, write, then);
      },
    }),
  },
  {
    clause: 'commit with a hand-over stores the change and gives the lock to the claim in one step', broken: 'the hand-over only releases',
    methods: (table) => ({
      commit: (key, grant, base, write, then) => table.commit(key, grant, base, write, then === 'keep' ? 'keep' : 'release'),
    }),
  },
  {
    clause: 'commit under a grant that does not hold is fenced and changes nothing', broken: 'there is no fence',
    methods: (table, space) => ({
      commit: (key, grant, base, write, then) => table.commit(key, recordAt(space, key)?.holder?.grant ?? grant, base, write, then),
    }),
  },
  {
    clause: 'commit to a free record is fenced and changes nothing', broken: 'a free record takes any commit',
    methods: (table, space) => ({
      commit(key, grant, base, write, then) {
        const cell = recordAt(space, key);
        if (cell !== undefined && cell.holder === undefined) cell.holder = { incarnation: 'free.0', grant };
        return table.commit(key, grant, base, write, then);
      },
    }),
  },
  {
    clause: 'commit to a tombstone is fenced with its reason', broken: 'no reason is given',
    methods: (table) => ({
      async commit(key, grant, base, write, then) {
        const committed = await table.commit(key, grant, base, write, then);
        return committed.kind === 'fenced' ? { kind: 'fenced' } : committed;
      },
    }),
  },
  {
    clause: 'commit of a delta to another version than its base is behind and changes nothing', broken: 'the base is not compared',
    methods: (table, space) => ({ commit: (key, grant, _base, write, then) => table.commit(key, grant, recordAt(space, key)?.stamp, write, then) }),
  },
  {
    clause: 'commit of a delta to another version than its base is behind and changes nothing', broken: 'it releases all the same',
    methods: (table) => ({
      async commit(key, grant, base, write, then) {
        const committed = await table.commit(key, grant, base, write, then);
        if (committed.kind === 'behind') await table.commit(key, grant, undefined, { change: undefined, lifetimeMs: 0 }, then);
        return committed;
      },
    }),
  },
  {
    clause: 'commit of a delta to the version of its base, but of another grant, is behind and changes nothing', broken: 'only the version is compared',
    methods: (table, space) => ({
      commit: (key, grant, base, write, then) => table.commit(key, grant, base && { version: base.version, grant: recordAt(space, key)?.stamp.grant ?? '' }, write, then),
    }),
  },
  {
    clause: 'commit of a whole to another content than its base is behind and changes nothing', broken: 'a whole is accepted at any version',
    methods: (table, space) => ({
      commit: (key, grant, base, write, then) => table.commit(key, grant, write.change?.whole === true ? recordAt(space, key)?.stamp : base, write, then),
    }),
  },
  {
    clause: 'commit of a whole to another content than its base is behind and changes nothing', broken: 'a whole is accepted at an older version',
    methods: (table, space) => ({
      commit(key, grant, base, write, then) {
        const stamp = recordAt(space, key)?.stamp;
        const isOlder = stamp !== undefined && base !== undefined && stamp.version < base.version;
        return table.commit(key, grant, isOlder && write.change?.whole === true ? stamp : base, write, then);
      },
    }),
  },
  {
    clause: 'increments of two instances, each under the lock, lose none', broken: 'neither lock nor fence nor base',
    methods: (table, space) => ({
      acquire: (key, claim, _from, have) => table.acquire(key, claim, recordAt(space, key)?.holder?.grant, have),
      commit(key, grant, base, write, then) {
        const cell = recordAt(space, key);
        if (cell !== undefined) [cell.holder, cell.stamp] = [{ incarnation: 'any.0', grant }, base ?? cell.stamp];
        return table.commit(key, grant, base, write, then);
      },
    }),
  },
];

/** Whether the record has what the commit would make. */
const repeats = (space: Space, key: string, grant: string, base: Stamp | undefined): boolean => {
  const stamp = recordAt(space, key)?.stamp;
  return stamp !== undefined && base !== undefined && isSame(stamp, { grant, version: base.version + 1 });
};

export const brokenRepeats: readonly TableBreakage[] = [
  {
    clause: 'commit made twice is done twice and stored once', broken: 'the second commit is behind',
    methods: (table, space) => ({
      async commit(key, grant, base, write, then) {
        return repeats(space, key, grant, base) ? { kind: 'behind' } : table.commit(key, grant, base, write, then);
      },
    }),
  },
  {
    clause: 'commit made twice is done twice and stored once', broken: 'the second commit raises the version again',
    methods: (table, space) => ({
      commit: (key, grant, base, write, then) =>
        table.commit(key, grant, repeats(space, key, grant, base) ? recordAt(space, key)?.stamp : base, write, then),
    }),
  },
  {
    clause: 'commit made twice is done after it released or gave the lock on', broken: 'the second commit needs the lock',
    methods: (table, space) => ({
      commit: async (key, grant, base, write, then) =>
        (recordAt(space, key)?.holder?.grant === grant ? table.commit(key, grant, base, write, then) : { kind: 'fenced' }),
    }),
  },
  {
    clause: 'commit made twice does not take the lock from who acquired it meanwhile', broken: 'the second commit unlocks again',
    methods: (table, space) => ({
      commit(key, grant, base, write, then) {
        const cell = recordAt(space, key);
        if (cell !== undefined && repeats(space, key, grant, base) && then !== 'keep') cell.holder = then === 'release' ? undefined : then;
        return table.commit(key, grant, base, write, then);
      },
    }),
  },
  {
    clause: 'commit made late, after the next holder\'s commit, is fenced and changes nothing', broken: 'every commit that was done stays done',
    methods(table) {
      const done = new Set<string>();
      return {
        async commit(key, grant, base, write, then) {
          const version = (base?.version ?? 0) + 1;
          if (done.has(`${key} ${grant} ${version}`)) return { kind: 'done', version };
          done.add(`${key} ${grant} ${version}`);
          return table.commit(key, grant, base, write, then);
        },
      };
    },
  },
  {
    clause: 'commit made late, after the lock was taken from its grant, is fenced and changes nothing', broken: 'the grant that made the stamp may go on',
    methods: (table, space) => ({
      commit(key, grant, base, write, then) {
        const cell = recordAt(space, key);
        return table.commit(key, cell?.stamp.grant === grant ? cell.holder?.grant ?? grant : grant, base, write, then);
      },
    }),
  },
  {
    clause: 'commit made late, when its grant has the lock again, is behind and leaves the content that somebody else stored meanwhile',
    broken: 'who has the lock may commit',
    methods: (table, space) => ({ commit: (key, grant, _base, write, then) => table.commit(key, grant, recordAt(space, key)?.stamp, write, then) }),
  },
  {
    clause: 'commit without a change made late, after the lock was given on, is fenced and frees nothing', broken: 'a release is never fenced',
    methods: (table, space) => ({
      commit: (key, grant, base, write, then) =>
        table.commit(key, write.change === undefined ? recordAt(space, key)?.holder?.grant ?? grant : grant, base, write, then),
    }),
  },
  {
    clause: 'commit made twice after the session was removed is fenced with the reason', broken: 'what was done is answered before looking',
    methods(table) {
      const done = new Map<string, string>();
      return {
        async commit(key, grant, base, write, then) {
          const version = (base?.version ?? 0) + 1;
          if (done.get(key) === `${grant} ${version}`) return { kind: 'done', version };
          done.set(key, `${grant} ${version}`);
          return table.commit(key, grant, base, write, then);
        },
      };
    },
  },
];

export const brokenReads: readonly TableBreakage[] = [
  {
    clause: 'read takes no lock and changes nothing', broken: 'read locks',
    methods: (table, space) => ({
      read(key, have) {
        const cell = recordAt(space, key);
        if (cell !== undefined) cell.holder ??= { incarnation: 'reader.0', grant: 'read' };
        return table.read(key, have);
      },
    }),
  },
  {
    clause: 'read sees every commit that was acknowledged before, whichever instance made it', broken: 'read answers from what this object saw last',
    methods(table) {
      const seen = new Map<string, ReturnType<typeof table.read>>();
      return {
        read(key, have) {
          const known = seen.get(key) ?? table.read(key, have);
          seen.set(key, known);
          return known;
        },
        commit(key, grant, base, write, then) {
          seen.delete(key);
          return table.commit(key, grant, base, write, then);
        },
      };
    },
  },
  {
    clause: 'read leaves the content out exactly if the stamp is the one the caller has: version and grant', broken: '`have` is compared by version only',
    methods: (table, space) => ({
      read: (key, have) => table.read(key, have && { version: have.version, grant: recordAt(space, key)?.stamp.grant ?? have.grant }),
    }),
  },
  {
    clause: 'age counts from the creation, idle time from the last commit that set a lifetime', broken: 'every commit makes it young',
    methods: (table, space) => ({
      commit(key, grant, base, write, then) {
        const cell = recordAt(space, key);
        if (cell !== undefined) cell.madeMs = space.clock.monotonicMs();
        return table.commit(key, grant, base, write, then);
      },
    }),
  },
  {
    clause: 'age counts from the creation, idle time from the last commit that set a lifetime', broken: 'lifetimeMs 0 counts as a use',
    methods: (table, space) => ({
      commit(key, grant, base, write, then) {
        const cell = recordAt(space, key);
        if (cell !== undefined) cell.usedMs = space.clock.monotonicMs();
        return table.commit(key, grant, base, write, then);
      },
    }),
  },
  {
    clause: 'commit with lifetimeMs 0 leaves the lifetime as it is, another one sets it', broken: 'lifetimeMs 0 means a default',
    methods: (table) => ({
      commit: (key, grant, base, write, then) => table.commit(key, grant, base, { ...write, lifetimeMs: write.lifetimeMs === 0 ? LONG_MS : write.lifetimeMs }, then),
    }),
  },
];

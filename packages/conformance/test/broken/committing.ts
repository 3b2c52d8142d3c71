import { present, recordAt } from '../reference-table.js';
import { type TableBreakage } from './breakage.js';

const LONG_MS = 60_000;

export const brokenCommits: readonly TableBreakage[] = [
  {
    clause: 'commit to an absent or expired key is refused and creates nothing', broken: 'commit creates what is not there',
    methods: (table, space) => ({
      async commit(key, grant, base, write, then) {
        if (present(space, key) === undefined && write.change !== undefined) {
          await table.create(key, { incarnation: 'upsert.0', grant }, write, 'keep');
          return { kind: 'done', version: base + 1 };
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
        const version = recordAt(space, key)?.stamp.version ?? base;
        return write.change === undefined && version !== base ? { kind: 'behind', version } : table.commit(key, grant, base, write, then);
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
    clause: 'commit of a delta to another version than its base is behind, names the version and changes nothing', broken: 'the base is not compared',
    methods: (table, space) => ({
      commit: (key, grant, base, write, then) => table.commit(key, grant, recordAt(space, key)?.stamp.version ?? base, write, then),
    }),
  },
  {
    clause: 'commit of a whole heals an older version and makes it base + 1', broken: 'a whole needs the version of its base',
    methods: (table, space) => ({
      async commit(key, grant, base, write, then) {
        const version = recordAt(space, key)?.stamp.version ?? base;
        return version === base ? table.commit(key, grant, base, write, then) : { kind: 'behind', version };
      },
    }),
  },
  {
    clause: 'commit of a whole to a newer version than its base is behind and changes nothing', broken: 'a whole is accepted at any version',
    methods: (table, space) => ({
      commit(key, grant, base, write, then) {
        const cell = recordAt(space, key);
        if (cell !== undefined && write.change?.whole === true) cell.stamp = { grant, version: base };
        return table.commit(key, grant, base, write, then);
      },
    }),
  },
  {
    clause: 'increments of two instances, each under the lock, lose none', broken: 'neither lock nor fence nor base',
    methods: (table, space) => ({
      acquire: (key, claim, _from, have) => table.acquire(key, claim, recordAt(space, key)?.holder?.grant, have),
      commit(key, grant, base, write, then) {
        const cell = recordAt(space, key);
        if (cell !== undefined) [cell.holder, cell.stamp] = [{ incarnation: 'any.0', grant }, { grant, version: base }];
        return table.commit(key, grant, base, write, then);
      },
    }),
  },
];

const repeats = (stamp: { grant: string; version: number } | undefined, grant: string, base: number) => stamp?.grant === grant && stamp.version === base + 1;

export const brokenRepeats: readonly TableBreakage[] = [
  {
    clause: 'commit made twice is done twice and stored once', broken: 'the second commit is behind',
    methods: (table, space) => ({
      async commit(key, grant, base, write, then) {
        return repeats(recordAt(space, key)?.stamp, grant, base) ? { kind: 'behind', version: base + 1 } : table.commit(key, grant, base, write, then);
      },
    }),
  },
  {
    clause: 'commit made twice is done twice and stored once', broken: 'the second commit raises the version again',
    methods: (table, space) => ({
      commit: (key, grant, base, write, then) =>
        table.commit(key, grant, repeats(recordAt(space, key)?.stamp, grant, base) ? base + 1 : base, write, then),
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
        if (cell !== undefined && repeats(cell.stamp, grant, base) && then !== 'keep') cell.holder = then === 'release' ? undefined : then;
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
          if (done.has(`${key} ${grant} ${base}`)) return { kind: 'done', version: base + 1 };
          done.add(`${key} ${grant} ${base}`);
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
          if (done.get(key) === `${grant} ${base}`) return { kind: 'done', version: base + 1 };
          done.set(key, `${grant} ${base}`);
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

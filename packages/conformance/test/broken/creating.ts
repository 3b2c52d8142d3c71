import { present, recordAt } from '../reference-table.js';
import { gap, type TableBreakage } from './breakage.js';

export const brokenCreates: readonly TableBreakage[] = [
  {
    clause: 'create stores version 1 under its grant, held or free as it says', broken: 'it keeps the lock in any case',
    methods: (table) => ({ create: (key, claim, write) => table.create(key, claim, write, 'keep') }),
  },
  {
    clause: 'create on a record of somebody else is refused and changes nothing', broken: 'create overwrites a record',
    methods: (table, space) => ({
      create(key, claim, write, then) {
        if (recordAt(space, key)?.stamp.grant !== claim.grant) space.cells.delete(key);
        return table.create(key, claim, write, then);
      },
    }),
  },
  {
    clause: 'create made twice is created twice and stored once, also after a commit under its grant', broken: 'the second create is refused',
    methods: (table, space) => ({
      create: async (key, claim, write, then) => (present(space, key) === undefined ? table.create(key, claim, write, then) : 'exists'),
    }),
  },
  {
    clause: 'create made twice is created twice and stored once, also after a commit under its grant', broken: 'the second create stores again',
    methods: (table, space) => ({
      create(key, claim, write, then) {
        if (recordAt(space, key)?.stamp.grant === claim.grant) space.cells.delete(key);
        return table.create(key, claim, write, then);
      },
    }),
  },
  {
    clause: 'create made late, after a commit of somebody else, is refused and changes nothing', broken: 'it remembers who created, not whose stamp it is',
    methods(table) {
      const creators = new Map<string, string>();
      return {
        async create(key, claim, write, then) {
          if (creators.get(key) === claim.grant) return 'created';
          creators.set(key, claim.grant);
          return table.create(key, claim, write, then);
        },
      };
    },
  },
  {
    clause: 'create made late, after the session was removed, is refused by its tombstone', broken: 'create writes over tombstones',
    methods: (table, space) => ({
      create(key, claim, write, then) {
        if (present(space, key)?.kind === 'tombstone') space.cells.delete(key);
        return table.create(key, claim, write, then);
      },
    }),
  },
  {
    clause: 'of several creates at once exactly one is stored', broken: 'it looks first and stores later',
    methods: (table, space) => ({
      async create(key, claim, write, then) {
        const free = present(space, key) === undefined;
        await gap();
        if (free) space.cells.delete(key);
        return table.create(key, claim, write, then);
      },
    }),
  },
];

export const brokenAcquires: readonly TableBreakage[] = [
  {
    clause: 'acquire of an absent key is absent and creates nothing', broken: 'acquire creates an empty session',
    methods: (table, space) => ({
      async acquire(key, claim, from, have) {
        if (present(space, key) === undefined) await table.create(key, claim, { change: undefined, lifetimeMs: 1_000 }, 'release');
        return table.acquire(key, claim, from, have);
      },
    }),
  },
  {
    clause: 'acquire of a free record is granted with its content and stamp, and makes the claim its holder', broken: 'the lock is granted and not stored',
    methods: (table, space) => ({
      async acquire(key, claim, from, have) {
        const acquired = await table.acquire(key, claim, from, have);
        const cell = recordAt(space, key);
        if (cell !== undefined && acquired.kind === 'granted') cell.holder = undefined;
        return acquired;
      },
    }),
  },
  {
    clause: 'acquire of a held record is busy, names the holder and changes nothing', broken: 'acquire takes the lock from anybody',
    methods: (table, space) => ({ acquire: (key, claim, _from, have) => table.acquire(key, claim, recordAt(space, key)?.holder?.grant, have) }),
  },
  {
    clause: 'acquire by the same incarnation under another grant is busy and names the grant that holds', broken: 'the incarnation counts as the holder, whatever the grant',
    methods: (table, space) => ({
      acquire(key, claim, from, have) {
        const holder = recordAt(space, key)?.holder;
        return table.acquire(key, claim, holder?.incarnation === claim.incarnation ? holder.grant : from, have);
      },
    }),
  },
  {
    clause: 'acquire made twice is granted twice, with the same record', broken: 'the second acquire is busy',
    methods: (table, space) => ({
      async acquire(key, claim, from, have) {
        const holder = recordAt(space, key)?.holder;
        return holder?.grant === claim.grant ? { kind: 'busy', holder } : table.acquire(key, claim, from, have);
      },
    }),
  },
  {
    clause: 'acquire from the grant that holds is granted, and the older grant is fenced', broken: '`from` is ignored',
    methods: (table) => ({ acquire: (key, claim, _from, have) => table.acquire(key, claim, undefined, have) }),
  },
  {
    clause: 'acquire from a grant that does not hold is busy', broken: '`from` is not compared',
    methods: (table, space) => ({
      acquire: (key, claim, from, have) => table.acquire(key, claim, from === undefined ? from : recordAt(space, key)?.holder?.grant, have),
    }),
  },
  {
    clause: 'acquire made late, after the session was removed, says why it is gone and brings nothing back', broken: 'acquire does not say why',
    methods: (table) => ({
      async acquire(key, claim, from, have) {
        const acquired = await table.acquire(key, claim, from, have);
        return acquired.kind === 'absent' ? { kind: 'absent' } : acquired;
      },
    }),
  },
  {
    clause: 'acquire made late, after the session was given on, is busy', broken: 'the last holder may take it back',
    methods: (table, space) => ({
      acquire(key, claim, from, have) {
        const cell = recordAt(space, key);
        return table.acquire(key, claim, cell?.last === claim.incarnation ? cell.holder?.grant : from, have);
      },
    }),
  },
  {
    clause: 'acquire made late, after its own release, locks again, and a commit without a change frees it', broken: 'a grant that wrote is refused',
    methods: (table, space) => ({
      acquire: async (key, claim, from, have) =>
        (recordAt(space, key)?.stamp.grant === claim.grant ? { kind: 'absent' } : table.acquire(key, claim, from, have)),
    }),
  },
  {
    clause: 'acquire leaves the content out exactly if the stamp is the one the caller has: version and grant', broken: '`have` is compared by version only',
    methods: (table, space) => ({
      acquire: (key, claim, from, have) =>
        table.acquire(key, claim, from, have && { version: have.version, grant: recordAt(space, key)?.stamp.grant ?? have.grant }),
    }),
  },
  {
    clause: 'of several acquires at once exactly one is granted, and the others name its holder', broken: 'it looks first and locks later',
    methods: (table, space) => ({
      async acquire(key, claim, from, have) {
        const free = recordAt(space, key)?.holder === undefined;
        await gap();
        return table.acquire(key, claim, free ? recordAt(space, key)?.holder?.grant : from, have);
      },
    }),
  },
  {
    clause: 'a commit and an acquire from its grant at once agree on whether the commit happened', broken: 'it reads first and locks later',
    methods: (table) => ({
      async acquire(key, claim, from, have) {
        const before = await table.read(key);
        await gap();
        const acquired = await table.acquire(key, claim, from, have);
        return acquired.kind === 'granted' && before.kind === 'record' ? { kind: 'granted', record: { ...before, holder: claim } } : acquired;
      },
    }),
  },
];

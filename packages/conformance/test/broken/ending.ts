import { present, recordAt } from '../reference-table.js';
import { gap, type TableBreakage } from './breakage.js';

export const brokenRemoves: readonly TableBreakage[] = [
  {
    clause: 'remove by the holder leaves a tombstone that says why', broken: 'it leaves nothing',
    methods: (table, space) => ({
      async remove(key, grant, base, why, keepMs) {
        const removed = await table.remove(key, grant, base, why, keepMs);
        if (removed.kind === 'removed') space.cells.delete(key);
        return removed;
      },
    }),
  },
  {
    clause: 'remove under a grant that does not hold is fenced and changes nothing', broken: 'the grant is not compared',
    methods: (table) => ({ remove: (key, _grant, base, why, keepMs) => table.remove(key, undefined, base, why, keepMs) }),
  },
  {
    clause: 'remove under a grant of another content than its base is behind and changes nothing', broken: 'the base is not compared',
    methods: (table) => ({ remove: (key, grant, _base, why, keepMs) => table.remove(key, grant, undefined, why, keepMs) }),
  },
  {
    clause: 'remove under a grant of another content than its base is behind and changes nothing', broken: 'only the version is compared',
    methods: (table, space) => ({
      remove: (key, grant, base, why, keepMs) => table.remove(key, grant, base && { version: base.version, grant: recordAt(space, key)?.stamp.grant ?? '' }, why, keepMs),
    }),
  },
  {
    clause: 'remove under a grant of another content than its base is behind and changes nothing', broken: 'it is done and says otherwise',
    methods: (table) => ({
      async remove(key, grant, base, why, keepMs) {
        const removed = await table.remove(key, grant, base, why, keepMs);
        if (removed.kind === 'behind') await table.remove(key, grant, undefined, why, keepMs);
        return removed;
      },
    }),
  },
  {
    clause: 'remove made late, when its grant has the lock again, is behind and leaves the content that somebody else stored meanwhile',
    broken: 'who has the lock may remove',
    methods: (table) => ({ remove: (key, grant, _base, why, keepMs) => table.remove(key, grant, undefined, why, keepMs) }),
  },
  {
    clause: 'a forced remove ends a session whoever holds it, and names the holder', broken: 'it does not name the holder',
    methods: (table) => ({
      async remove(key, grant, base, why, keepMs) {
        const removed = await table.remove(key, grant, base, why, keepMs);
        return removed.kind === 'removed' ? { kind: 'removed' } : removed;
      },
    }),
  },
  {
    clause: 'a forced remove ends a session whoever holds it, and names the holder', broken: 'a held session is left alone',
    methods: (table, space) => ({
      remove: async (key, grant, base, why, keepMs) =>
        (grant === undefined && recordAt(space, key)?.holder !== undefined ? { kind: 'fenced' } : table.remove(key, grant, base, why, keepMs)),
    }),
  },
  {
    clause: 'remove of an absent key leaves no tombstone: forced it is removed, under a grant it is fenced', broken: 'it leaves a tombstone',
    methods: (table, space) => ({
      async remove(key, grant, base, why, keepMs) {
        if (grant === undefined && present(space, key) === undefined) await table.create(key, { incarnation: 'x.0', grant: 'x' }, { change: undefined, lifetimeMs: 1 }, 'release');
        return table.remove(key, grant, base, why, keepMs);
      },
    }),
  },
  {
    clause: 'remove made twice is removed twice, under its grant and forced, and names the same holder', broken: 'a tombstone fences its own grant',
    methods: (table, space) => ({
      async remove(key, grant, base, why, keepMs) {
        const cell = present(space, key);
        return cell?.kind === 'tombstone' && grant !== undefined ? { kind: 'fenced', gone: cell.why } : table.remove(key, grant, base, why, keepMs);
      },
    }),
  },
  {
    clause: 'remove made twice is removed twice, under its grant and forced, and names the same holder', broken: 'a tombstone has no content to compare',
    methods: (table, space) => ({
      remove: async (key, grant, base, why, keepMs) =>
        (present(space, key)?.kind === 'tombstone' && base !== undefined ? { kind: 'behind' } : table.remove(key, grant, base, why, keepMs)),
    }),
  },
  {
    clause: 'remove made twice is removed twice, under its grant and forced, and names the same holder', broken: 'a tombstone forgets the holder',
    methods: (table, space) => ({
      async remove(key, grant, base, why, keepMs) {
        const removed = await table.remove(key, grant, base, why, keepMs);
        const cell = present(space, key);
        if (cell?.kind === 'tombstone') cell.holder = undefined;
        return removed;
      },
    }),
  },
  {
    clause: 'remove under a grant finds a forced removal: fenced with the reason, also for who held it', broken: 'the tombstone answers to the holder\'s grant',
    methods: (table, space) => ({
      async remove(key, grant, base, why, keepMs) {
        const cell = present(space, key);
        return cell?.kind === 'tombstone' && grant === cell.holder?.grant ? { kind: 'removed' } : table.remove(key, grant, base, why, keepMs);
      },
    }),
  },
  {
    clause: 'remove under a grant finds the tombstone of another grant: fenced with the reason', broken: 'what is removed is removed, whoever asks',
    methods: (table, space) => ({
      remove: async (key, grant, base, why, keepMs) =>
        (present(space, key)?.kind === 'tombstone' && grant !== undefined ? { kind: 'removed' } : table.remove(key, grant, base, why, keepMs)),
    }),
  },
  {
    clause: 'a forced remove of a moved session is fenced and leaves its tombstone', broken: 'a forced remove writes over a tombstone',
    methods: (table, space) => ({
      remove(key, grant, base, why, keepMs) {
        const cell = present(space, key);
        if (cell?.kind === 'tombstone' && grant === undefined) cell.why = why;
        return table.remove(key, grant, base, why, keepMs);
      },
    }),
  },
  {
    clause: 'a forced remove of a session that was removed under a grant is removed', broken: 'every tombstone fences a forced remove',
    methods: (table, space) => ({
      async remove(key, grant, base, why, keepMs) {
        const cell = present(space, key);
        return cell?.kind === 'tombstone' && cell.grant !== grant ? { kind: 'fenced', gone: cell.why } : table.remove(key, grant, base, why, keepMs);
      },
    }),
  },
  {
    clause: 'remove made late, after the lock was taken from its grant, is fenced and changes nothing', broken: 'the grant that made the stamp may remove',
    methods: (table, space) => ({
      remove: (key, grant, base, why, keepMs) => table.remove(key, grant !== undefined && recordAt(space, key)?.stamp.grant === grant ? undefined : grant, base, why, keepMs),
    }),
  },
  {
    clause: 'a tombstone is kept for its time, not shorter, and is gone after it', broken: 'it is kept for a third of its time',
    methods: (table) => ({ remove: (key, grant, base, why, keepMs) => table.remove(key, grant, base, why, keepMs / 3) }),
  },
  {
    clause: 'a tombstone is kept for its time, not shorter, and is gone after it', broken: 'it is kept for good',
    methods: (table) => ({ remove: (key, grant, base, why) => table.remove(key, grant, base, why, Infinity) }),
  },
];

export const brokenExpiry: readonly TableBreakage[] = [
  {
    clause: 'a record is not gone before its lifetime is over', broken: 'it lives for half its lifetime',
    methods: (table) => ({ create: (key, claim, write, then) => table.create(key, claim, { ...write, lifetimeMs: write.lifetimeMs / 2 }, then) }),
  },
  {
    clause: 'an expired record is absent to every call', broken: 'acquire finds it all the same',
    methods: (table, space) => ({
      acquire(key, claim, from, have) {
        const cell = space.cells.get(key);
        if (cell !== undefined) cell.usedMs = space.clock.monotonicMs();
        return table.acquire(key, claim, from, have);
      },
    }),
  },
  {
    clause: 'commit with a lifetime makes the record live on, also without a change', broken: 'only a change does',
    methods: (table) => ({
      commit: (key, grant, base, write, then) => table.commit(key, grant, base, write.change === undefined ? { ...write, lifetimeMs: 0 } : write, then),
    }),
  },
  {
    clause: 'commit with a shorter lifetime ends the record sooner, also without a change, held or released', broken: 'a lifetime is only lengthened',
    methods: (table, space) => ({
      commit: (key, grant, base, write, then) => table.commit(key, grant, base, { ...write, lifetimeMs: Math.max(write.lifetimeMs, recordAt(space, key)?.lifetimeMs ?? 0) }, then),
    }),
  },
  {
    clause: 'commit with a shorter lifetime ends the record sooner, also without a change, held or released', broken: 'a lock that is given up leaves the lifetime as it is',
    methods: (table) => ({
      commit: (key, grant, base, write, then) => table.commit(key, grant, base, then === 'keep' ? write : { ...write, lifetimeMs: 0 }, then),
    }),
  },
  {
    clause: 'read does not make the record live on', broken: 'read is a use',
    methods: (table, space) => ({
      read(key, have) {
        const cell = recordAt(space, key);
        if (cell !== undefined) cell.usedMs = space.clock.monotonicMs();
        return table.read(key, have);
      },
    }),
  },
  {
    clause: 'touch makes a held or free record live on, whoever holds it, and keeps stamp, holder and content', broken: 'touch does nothing',
    methods: () => ({ touch: () => Promise.resolve(new Set()) }),
  },
  {
    clause: 'touch made twice is touched twice; it only lengthens', broken: 'touch shortens',
    methods: (table, space) => ({
      async touch(lifetimes) {
        const gone = await table.touch(lifetimes);
        for (const [key, lifetimeMs] of lifetimes) {
          const cell = recordAt(space, key);
          if (cell !== undefined) cell.lifetimeMs = lifetimeMs;
        }
        return gone;
      },
    }),
  },
  {
    clause: 'touch made late, after the session ended, names the key and brings nothing back', broken: 'touch revives',
    methods: (table, space) => ({
      touch(lifetimes) {
        for (const key of lifetimes.keys()) {
          const cell = space.cells.get(key);
          if (cell?.kind === 'record') cell.usedMs = space.clock.monotonicMs();
        }
        return table.touch(lifetimes);
      },
    }),
  },
  {
    clause: 'touch made late, after the session ended, names the key and brings nothing back', broken: 'touch does not name what is gone',
    methods: (table) => ({ touch: async (lifetimes) => { await table.touch(lifetimes); return new Set(); } }),
  },
  {
    clause: 'touches and commits at once lose no commit', broken: 'touch writes back what it read',
    methods: (table, space) => ({
      async touch(lifetimes) {
        const before = [...lifetimes.keys()].map((key) => [key, recordAt(space, key)] as const).map(([key, cell]) => [key, cell && { ...cell }] as const);
        await gap();
        for (const [key, cell] of before) if (cell !== undefined) space.cells.set(key, cell);
        return table.touch(lifetimes);
      },
    }),
  },
];

import { keptAt, newMapSpace, referenceMap, type MapSpace, type OpenMap } from '../reference-map.js';
import { gap, type Breakage } from './breakage.js';

export type MapBreakage = Breakage<OpenMap, MapSpace>;

export const brokenMaps: readonly MapBreakage[] = [
  {
    clause: 'a lifetime of parts of a second is not cut to whole seconds', broken: 'it counts in whole seconds, rounded down',
    methods: (map) => ({
      compareAndSet: (key, expected, { value, lifetimeMs }) => map.compareAndSet(key, expected, { value, lifetimeMs: Math.max(1, Math.floor(lifetimeMs / 1_000)) * 1_000 }),
    }),
  },
  {
    clause: 'an update of an absent or expired key is refused', broken: 'an update creates',
    methods: (map, space) => ({ compareAndSet: (key, expected, entry) => map.compareAndSet(key, keptAt(space, key) === undefined ? undefined : expected, entry) }),
  },
  {
    clause: 'a put without a revision creates, and get finds its value and revision', broken: 'get knows another revision',
    methods: (map) => ({
      async get(key) {
        const found = await map.get(key);
        return found && { ...found, revision: `${found.revision}'` };
      },
    }),
  },
  {
    clause: 'a put without a revision is refused where something lives, also made twice', broken: 'it overwrites',
    methods: (map, space) => ({ compareAndSet: (key, expected, entry) => map.compareAndSet(key, expected ?? keptAt(space, key)?.revision, entry) }),
  },
  {
    clause: 'a put at the present revision replaces the value and the revision, also by the same value', broken: 'the same value keeps its revision',
    methods: (map, space) => ({
      compareAndSet: async (key, expected, entry) => {
        const kept = keptAt(space, key);
        return kept?.revision === expected && kept?.value === entry.value ? expected : map.compareAndSet(key, expected, entry);
      },
    }),
  },
  {
    clause: 'a put at an older revision is refused, also made twice or late', broken: 'the revision is not compared',
    methods: (map, space) => ({ compareAndSet: (key, _expected, entry) => map.compareAndSet(key, keptAt(space, key)?.revision, entry) }),
  },
  {
    clause: 'a revision is never used again, also after expiry and creation anew', broken: 'revisions count from 1 for each life of a key',
    methods: (_map, space) => ({
      async compareAndSet(key, expected, { value, lifetimeMs }) {
        const kept = keptAt(space, key);
        if (kept?.revision !== expected) return undefined;
        const [revision, putMs] = [String(Number(kept?.revision ?? 0) + 1), space.clock.monotonicMs()];
        space.kept.set(key, { value, revision, putMs, endMs: putMs + lifetimeMs });
        return revision;
      },
    }),
  },
  {
    clause: 'of several puts at once with the same revision exactly one is accepted', broken: 'it compares first and puts later',
    methods: (map, space) => ({
      async compareAndSet(key, expected, entry) {
        const matches = keptAt(space, key)?.revision === expected;
        await gap();
        return matches ? map.compareAndSet(key, keptAt(space, key)?.revision, entry) : undefined;
      },
    }),
  },
  {
    clause: 'increments of two driver objects lose none', broken: 'the revision is not compared',
    methods: (map, space) => ({ compareAndSet: (key, _expected, entry) => map.compareAndSet(key, keptAt(space, key)?.revision, entry) }),
  },
  {
    clause: 'an entry is not gone before its lifetime is over, which each put begins anew', broken: 'a put keeps the end of the one before',
    methods: (map, space) => ({
      async compareAndSet(key, expected, entry) {
        const endMs = keptAt(space, key)?.endMs;
        const revision = await map.compareAndSet(key, expected, entry);
        const kept = keptAt(space, key);
        if (kept !== undefined && endMs !== undefined) kept.endMs = endMs;
        return revision;
      },
    }),
  },
  {
    clause: 'a put with a shorter lifetime ends sooner', broken: 'lifetimes only grow',
    methods: (map, space) => ({
      async compareAndSet(key, expected, entry) {
        const endMs = keptAt(space, key)?.endMs ?? 0;
        const revision = await map.compareAndSet(key, expected, entry);
        const kept = keptAt(space, key);
        if (kept !== undefined) kept.endMs = Math.max(kept.endMs, endMs);
        return revision;
      },
    }),
  },
  {
    clause: 'an expired entry counts as absent: a put without a revision is accepted', broken: 'it is in the way until it is swept',
    methods: (map, space) => ({
      compareAndSet: async (key, expected, entry) => (expected === undefined && space.kept.has(key) ? undefined : map.compareAndSet(key, expected, entry)),
    }),
  },
  {
    clause: 'where ageMs is given it counts from the last put', broken: 'it counts from the first put',
    methods: (map, space) => ({
      async compareAndSet(key, expected, entry) {
        const putMs = keptAt(space, key)?.putMs;
        const revision = await map.compareAndSet(key, expected, entry);
        const kept = keptAt(space, key);
        if (kept !== undefined && putMs !== undefined) kept.putMs = putMs;
        return revision;
      },
    }),
  },
  {
    clause: 'values of any text come back as they were, also as updates', broken: 'the values are trimmed',
    methods: (map) => ({ compareAndSet: (key, expected, entry) => map.compareAndSet(key, expected, { ...entry, value: entry.value.trim() }) }),
  },
  {
    clause: 'values of the greatest size come back', broken: 'values are cut off at 512 KiB',
    methods: (map) => ({ compareAndSet: (key, expected, entry) => map.compareAndSet(key, expected, { ...entry, value: entry.value.slice(0, 524_288) }) }),
  },
  {
    clause: 'keys of the whole alphabet and of 200 characters are keys of their own', broken: 'keys are cut off at 128 characters',
    methods: (map) => ({
      get: (key) => map.get(key.slice(0, 128)),
      compareAndSet: (key, expected, entry) => map.compareAndSet(key.slice(0, 128), expected, entry),
    }),
  },
  {
    clause: 'what one driver object stores the others see, also one that starts after the first has stopped', broken: 'each object has a storage of its own',
    methods: (_map, space) => referenceMap(newMapSpace(space.clock)),
  },
  { clause: 'calls made late, after stop, reject', broken: 'stop stops nothing', methods: () => ({ stop: () => Promise.resolve() }) },
  {
    clause: 'keys lists every key of its context once, and none of another context', broken: 'it lists nothing',
    methods: () => ({ async *keys() { /* nothing */ } }),
  },
  {
    clause: 'sweep clears away what has expired, at most as many as it is asked for, and nothing that lives', broken: 'it clears the living',
    methods: (map, space) => ({ sweep: (limit) => { space.kept.clear(); return map.sweep(limit); } }),
  },
];

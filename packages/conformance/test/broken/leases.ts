import { gap, type TableBreakage } from './breakage.js';

export const brokenLeases: readonly TableBreakage[] = [
  {
    clause: 'beat 0 makes a lease, each further beat follows, and all name one generation', broken: 'the generation changes with each beat',
    methods: (table) => ({
      async beat(incarnation, n, leaseMs) {
        const answer = await table.beat(incarnation, n, leaseMs);
        return answer === 'lapsed' ? answer : { generation: `${answer.generation}${n}` };
      },
    }),
  },
  {
    clause: 'beat made twice is accepted twice, and the next one follows', broken: 'the same beat again is refused',
    methods: (table, space) => ({
      beat: async (incarnation, n, leaseMs) => (space.leases.get(incarnation)?.n === n ? 'lapsed' : table.beat(incarnation, n, leaseMs)),
    }),
  },
  {
    clause: 'beat made late, after later ones, does not hinder the next one', broken: 'a late beat ends the lease',
    methods: (table, space) => ({
      beat(incarnation, n, leaseMs) {
        const lease = space.leases.get(incarnation);
        if (lease !== undefined && n < lease.n) lease.ended = true;
        return table.beat(incarnation, n, leaseMs);
      },
    }),
  },
  {
    clause: 'beat of a lease that was never made is lapsed', broken: 'any beat makes the lease',
    methods: (table, space) => ({
      async beat(incarnation, n, leaseMs) {
        if (!space.leases.has(incarnation)) await table.beat(incarnation, 0, leaseMs);
        return table.beat(incarnation, n, leaseMs);
      },
    }),
  },
  {
    clause: 'a silent lease that nobody ended goes on for more than twice its time', broken: 'silence ends it',
    methods: (table, space) => ({
      async beat(incarnation, n, leaseMs) {
        const lease = space.leases.get(incarnation);
        if (lease !== undefined && space.clock.monotonicMs() - lease.beatMs > leaseMs) return 'lapsed';
        return table.beat(incarnation, n, leaseMs);
      },
    }),
  },
  {
    clause: 'lapse of a lease that beats says how long to wait, and ends nothing', broken: 'the quiet time is ignored',
    methods: (table) => ({ lapse: (incarnation) => table.lapse(incarnation, 0) }),
  },
  {
    clause: 'lapse ends a lease that was quiet, not earlier, and its beats are lapsed from then on', broken: 'it waits half the quiet time',
    methods: (table) => ({ lapse: (incarnation, quietMs) => table.lapse(incarnation, quietMs / 2) }),
  },
  {
    clause: 'lapse ends a lease that was quiet, not earlier, and its beats are lapsed from then on', broken: 'it never ends',
    methods: () => ({ lapse: (_incarnation, quietMs) => Promise.resolve(quietMs) }),
  },
  {
    clause: 'lapse ends a lease that was quiet, not earlier, and its beats are lapsed from then on', broken: 'the next beat makes the lease anew',
    methods: (table, space) => ({
      beat(incarnation, n, leaseMs) {
        const lease = space.leases.get(incarnation);
        if (lease?.ended === true && n > lease.n) lease.ended = false;
        return table.beat(incarnation, n, leaseMs);
      },
    }),
  },
  {
    clause: 'lapse made twice stays 0, also for another observer and any quiet time', broken: 'an ended lease must be quiet, too',
    methods: (table, space) => ({
      async lapse(incarnation, quietMs) {
        const lease = space.leases.get(incarnation);
        const waitMs = lease?.ended === true ? quietMs - (space.clock.monotonicMs() - lease.beatMs) : 0;
        return waitMs > 0 ? waitMs : table.lapse(incarnation, quietMs);
      },
    }),
  },
  {
    clause: 'lapse of a lease that was never made is 0', broken: 'it waits for the first beat',
    methods: (table, space) => ({ lapse: async (incarnation, quietMs) => (space.leases.has(incarnation) ? table.lapse(incarnation, quietMs) : quietMs) }),
  },
  {
    clause: 'lapse without a quiet time ends a lease at once', broken: 'there is a least quiet time',
    methods: (table) => ({ lapse: (incarnation, quietMs) => table.lapse(incarnation, Math.max(quietMs, 10)) }),
  },
  {
    clause: 'lapse ends one lease and no other', broken: 'it ends all',
    methods: (table, space) => ({
      async lapse(incarnation, quietMs) {
        const answer = await table.lapse(incarnation, quietMs);
        if (answer === 0) for (const lease of space.leases.values()) lease.ended = true;
        return answer;
      },
    }),
  },
  {
    clause: 'of a beat and a lapse at once exactly one wins', broken: 'lapse looks first and ends later',
    methods: (table, space) => ({
      async lapse(incarnation, quietMs) {
        const lease = space.leases.get(incarnation);
        const waitMs = lease === undefined || lease.ended ? 0 : quietMs - (space.clock.monotonicMs() - lease.beatMs);
        await gap();
        return waitMs > 0 ? waitMs : table.lapse(incarnation, 0);
      },
    }),
  },
  {
    clause: 'of a beat and a lapse at once exactly one wins', broken: 'a beat looks first and beats later',
    methods: (table, space) => ({
      async beat(incarnation, n, leaseMs) {
        const lease = space.leases.get(incarnation);
        const lives = lease?.ended === false;
        await gap();
        if (lives) space.leases.set(incarnation, { ...lease, ended: false });
        return table.beat(incarnation, n, leaseMs);
      },
    }),
  },
];

import type { LogRecord, SessionLog } from '@cluster/core/driver';
import type { LogSpace } from '../reference-log.js';
import type { Breakage } from './breakage.js';

export type LogBreakage = Breakage<SessionLog, LogSpace>;

/** Records are handed over as something else, or not at all. */
const handing = (log: SessionLog, as: (record: LogRecord) => LogRecord | undefined): Partial<SessionLog> => ({
  follow: (partition, take) => log.follow(partition, (record) => {
    const changed = as(record);
    if (changed !== undefined) take(changed);
  }),
});

export const brokenLogs: readonly LogBreakage[] = [
  {
    clause: 'follow hands over what was appended, in its order, with its key and value', broken: 'two records change places',
    methods: (log) => {
      let kept: LogRecord | undefined;
      return handing(log, (record) => {
        const before = kept;
        kept = record;
        return before;
      });
    },
  },
  {
    clause: 'positions begin with 0 and leave no number out where nothing was removed; they only rise in a log that loses its oldest part', broken: 'positions are places in a file',
    methods: (log) => handing(log, (record) => ({ ...record, position: 100 * record.position })),
  },
  {
    clause: 'positions begin with 0 and leave no number out where nothing was removed; they only rise in a log that loses its oldest part',
    broken: 'it loses its oldest part, and counts downwards',
    methods: (log) => ({ retainedBytes: 1e6, ...handing(log, (record) => ({ ...record, position: 1e6 - record.position })) }),
  },
  {
    clause: 'every driver object reads the same records, positions and times, from the first one on, also one that starts later',
    broken: 'a reader begins with what comes after it',
    methods: (log, space) => ({
      follow: (partition, take) => {
        const from = space.partitions[partition]?.next ?? 0;
        return log.follow(partition, (record) => { if (record.position >= from) take(record); });
      },
    }),
  },
  {
    clause: 'what append has acknowledged is read, in whichever partition', broken: 'partitions after the first are forgotten',
    methods: (log) => ({ append: (partition, key, value) => (partition === 0 ? log.append(partition, key, value) : Promise.resolve()) }),
  },
  {
    clause: 'a record without a value is handed over, too', broken: 'it is kept back', methods: (log) => handing(log, (record) => (record.value === undefined ? undefined : record)),
  },
  {
    clause: 'values of any text and of the greatest size come back as they were, under keys with # and ~', broken: 'keys lose what follows a ~',
    methods: (log) => handing(log, (record) => ({ ...record, key: record.key.split('~')[0] ?? '' })),
  },
  {
    clause: 'times are those of the log: the same for all, and they pass as time does', broken: 'all records have one time',
    methods: (log) => handing(log, (record) => ({ ...record, timeMs: 0 })),
  },
  {
    clause: 'whoever begins to follow after forget reads everything from that position on', broken: 'the record there is left out',
    methods: (log, space) => ({
      retainedBytes: 1e6,
      forget: async (_, before) => { for (const partition of space.partitions) partition.records = partition.records.filter(({ position }) => position > before); },
    }),
  },
  {
    clause: 'nothing is handed over after the returned function was called', broken: 'it goes on',
    methods: (log) => ({
      follow: (partition, take) => {
        log.follow(partition, take);
        return () => undefined;
      },
    }),
  },
  {
    clause: 'whoever begins to follow anew while a record is handed over reads all of them, from the first one on', broken: 'it goes on with that record',
    methods: (log) => {
      let at = 0;
      return {
        follow: (partition, take) => {
          const from = at;
          return log.follow(partition, (record) => {
            if (record.position < from) return;
            at = record.position;
            take(record);
            at = 0;
          });
        },
      };
    },
  },
  {
    clause: 'append made late, after stop, rejects', broken: 'it resolves', methods: (log) => ({ append: (...args) => log.append(...args).catch(() => undefined) }),
  },
];

import type { Clock, DriverContext, LogRecord, SessionLog } from '@cluster/core/driver';

/** What the driver objects of one log share. */
export interface LogSpace {
  readonly clock: Clock;
  readonly partitions: readonly { records: LogRecord[]; next: number }[];
  readonly followers: Set<() => void>;
  /** By context and partition: where readers begin. */
  readonly forgotten: Map<string, number>;
}

export const newLogSpace = (clock: Clock, partitions = 3): LogSpace => ({
  clock, partitions: Array.from({ length: partitions }, () => ({ records: [], next: 0 })), followers: new Set(), forgotten: new Map(),
});

/** Removes what a later record under the same key allows to remove. */
export function compact(space: LogSpace): void {
  for (const partition of space.partitions) {
    const last = new Map(partition.records.map(({ key, position }) => [key, position]));
    partition.records = partition.records.filter(({ key, position }) => last.get(key) === position);
  }
}

/** A session log in memory, as the contract has it; without signals. `retainedBytes`: instead of compacting it loses what is told to be forgotten. */
export function referenceLog(space: LogSpace, maxBytes?: number, retainedBytes?: number): SessionLog {
  const ends = new Set<() => void>();
  let isStopped = false;
  let own = '';
  return {
    capabilities: { durability: 'process', gone: 'unknown', rollback: false },
    partitions: space.partitions.length,
    maxBytes,
    retainedBytes,
    ...(retainedBytes === undefined ? {} : {
      start: async ({ context }: DriverContext) => { own = context; },
      forget: async (partition: number, before: number) => { space.forgotten.set(`${own} ${partition}`, before); },
    }),
    async stop() {
      isStopped = true;
      for (const end of ends) end();
    },
    async append(partition, key, value) {
      const into = space.partitions[partition];
      if (isStopped || into === undefined) throw new Error('stopped, or no such partition');
      into.records.push({ key, value, position: into.next, timeMs: space.clock.wallMs() });
      into.next += 1;
      for (const follow of [...space.followers]) follow();
    },
    follow(partition, take) {
      let at = space.forgotten.get(`${own} ${partition}`) ?? 0;
      let isDue = false;
      const hand = () => {
        isDue = false;
        for (;;) {
          const record = space.partitions[partition]?.records.find(({ position }) => position >= at);
          if (record === undefined || !space.followers.has(follower)) return;
          at = record.position + 1;
          take(record);
        }
      };
      const follower = () => {
        if (isDue) return;
        isDue = true;
        queueMicrotask(hand);
      };
      const end = () => { space.followers.delete(follower); };
      space.followers.add(follower);
      ends.add(end);
      follower();
      return end;
    },
  };
}

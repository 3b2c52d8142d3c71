import type { DriverContext, LogRecord, Message, SessionLog, StoreCapabilities } from '@cluster/core/driver';
import type { Link } from './link.js';
import type { Network } from './network.js';
import type { Process } from './process.js';
import type { Random } from './random.js';
import type { LogSpace } from './reference-log.js';
import type { FaultCounts, Weather } from './weather.js';
import type { World } from './world.js';

const MOST_AT_ONCE = 500;
const MOST_AGAIN = 50;
const SLOW = 20;
const LOOK_AGAIN_MS = 20;

export interface Around {
  readonly world: World;
  readonly random: Random;
  readonly weather: Weather;
  readonly faults: FaultCounts;
  readonly network: Network;
}

/** The log as one process sees it: what it appends goes over its link, and what it reads lags behind. */
export class LinkedLog implements SessionLog {
  readonly signal?: (instanceId: string, message: Message) => Promise<boolean>;
  readonly #ends = new Set<() => void>();
  #lost = 0;
  /** How far the latest time that was read is before the process' own clock. */
  #aheadMs = 0;

  constructor(
    private readonly space: LogSpace, readonly capabilities: Omit<StoreCapabilities, 'delta'>, private readonly link: Link, private readonly around: Around,
    private readonly process: Process, private readonly hasSignals: boolean, readonly maxBytes?: number,
  ) {
    if (hasSignals) this.signal = (instanceId, message) => around.network.send(process, instanceId, message);
  }

  get partitions(): number { return this.space.partitions; }
  get retainedBytes(): number | undefined { return this.space.retainedBytes; }
  generation(): string { return String(this.#lost); }

  async forget(partition: number, before: number): Promise<void> { this.space.forget(partition, before); }

  async start({ receive, listening }: DriverContext): Promise<void> {
    // Where the log carries the signals the network still tells which of two processes has the address.
    const nothing = () => undefined;
    this.around.network.listen(this.process, this.hasSignals ? receive : nothing, this.hasSignals ? listening : nothing);
  }

  async stop(): Promise<void> {
    this.discard();
    this.around.network.leave(this.process);
  }

  discard(): void { for (const end of [...this.#ends]) end(); }

  append(partition: number, key: string, value: string | undefined): Promise<void> {
    let tries = 0;
    const name = this.link.isTraced ? `append ${shortKey(key)} ${value?.split('\n')[0] ?? 'nothing'}` : 'append';
    const timeMs = this.process.clock.wallMs() + this.#aheadMs;
    return this.link.call('append', name, () => {
      tries += 1;
      this.space.append(partition, tries === 1 || value === undefined ? key : `${key}~${tries}`, value, timeMs);
    }, true);
  }

  follow(partition: number, take: (record: LogRecord) => void): () => void {
    let at = this.retainedBytes === undefined ? 0 : this.space.beginning(partition);
    let hasBegun = false;
    let isDue = false;
    let isOver = false;
    const { world, random, weather, faults } = this.around;
    const read = () => {
      if (isOver) return;
      if (this.link.isDown) {
        world.after(LOOK_AGAIN_MS, read);
        return;
      }
      const from = at;
      const records: LogRecord[] = [];
      for (let next = this.space.next(partition, at); next !== undefined && records.length < MOST_AT_ONCE; next = this.space.next(partition, at)) {
        records.push(next);
        at = next.position + 1;
      }
      const first = records[0]?.position ?? at;
      if (first > from) {
        faults.add('gap', 'reader');
        if (hasBegun && this.retainedBytes !== undefined) this.#lost += 1;
      }
      hasBegun = true;
      this.process.receive(() => {
        for (const record of records) {
          this.#aheadMs = Math.max(this.#aheadMs, record.timeMs - this.process.clock.wallMs());
          if (!isOver) take(record);
        }
        isDue = false;
        if (random.chance(weather.repeated)) {
          faults.add('redelivered', 'records');
          at = Math.max(0, at - random.int(1, MOST_AGAIN));
        }
        if (this.space.next(partition, at) !== undefined) follower();
      });
    };
    const follower = () => {
      if (isDue || isOver) return;
      isDue = true;
      const isSlow = random.chance(weather.slow);
      if (isSlow) faults.add('slow', 'reader');
      world.after(random.next() * weather.wayMs * (isSlow ? SLOW : 1), read);
    };
    const end = () => {
      isOver = true;
      this.space.followers.delete(follower);
      this.#ends.delete(end);
    };
    this.space.followers.add(follower);
    this.#ends.add(end);
    follower();
    return end;
  }
}

const shortKey = (key: string): string => key.replace(/\.s\.([0-9a-f]{6})[0-9a-f]*/, '.s.$1');

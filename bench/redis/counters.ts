import { Redis } from 'ioredis';

/** Calls that the applications made, and what went over their connections in bytes. */
export interface Counted { readonly calls: number; readonly bytes: number }

// What a script does inside is not a call of the application's, though Redis counts it as one; these are used by no script of ours.
const CALLS = /^cmdstat_(?:evalsha|get|set|del|publish|spublish):calls=(\d+)/gm;

/** Redis' own counters of commands and of bytes. */
export class RedisCounters {
  readonly #client: Redis;

  constructor(url: string) { this.#client = new Redis(url); }

  async read(): Promise<Counted> {
    const text = await this.#client.info('all');
    const sum = (pattern: RegExp) => Array.from(text.matchAll(pattern), ([, count]) => Number(count)).reduce((total, count) => total + count, 0);
    return { calls: sum(CALLS), bytes: sum(/^total_net_(?:input|output)_bytes:(\d+)/gm) };
  }

  stop(): void { this.#client.disconnect(); }
}

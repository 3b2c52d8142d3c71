import type { LogRecord } from '@cluster/core/driver';

export interface RabbitRecord extends LogRecord {
  /** As far as its writer knew nobody needs what stands before this position. */
  readonly beginning: number;
}

/** Its time, its beginning, its key, and if there is one its value after a line's end. Keys have neither spaces nor lines. */
export function writeRecord(timeMs: number, beginning: number, key: string, value: string | undefined): Buffer {
  const head = `${timeMs} ${beginning} ${key}`;
  return Buffer.from(value === undefined ? head : `${head}\n${value}`);
}

const HEAD = /^(\d{1,15}) (\d{1,15}) ([^\n]*)/;

/** Undefined: it is none, and somebody else's. */
export function readRecord(content: Buffer, position: number): RabbitRecord | undefined {
  const text = content.toString();
  const [head, time, beginning, key] = HEAD.exec(text) ?? [];
  if (head === undefined || key === undefined) return undefined;
  // A beginning that is still to come is that of a stream which was there before.
  return {
    position, timeMs: Number(time), beginning: Number(beginning) > position ? 0 : Number(beginning), key,
    value: head.length === text.length ? undefined : text.slice(head.length + 1),
  };
}

/**
 * The time that records are dated with: the latest that was read and what has passed since, or the own clock's if that is later. So all
 * instances come to one time, that of the fastest clock among them.
 */
export class LogTime {
  #aheadMs = -Infinity;

  /** Of a record that was read now. */
  see(timeMs: number): void { this.#aheadMs = Math.max(this.#aheadMs, timeMs - performance.now()); }

  get nowMs(): number { return Math.round(Math.max(Date.now(), performance.now() + this.#aheadMs)); }
}

import type { LogRecord } from '@cluster/core/driver';

/** Its time, its key, and if there is one its value after a line's end. Keys have neither spaces nor lines. */
export const writeRecord = (timeMs: number, key: string, value: string | undefined): Buffer =>
  Buffer.from(value === undefined ? `${timeMs} ${key}` : `${timeMs} ${key}\n${value}`);

const HEAD = /^(\d{1,15}) ([^\n]*)/;

/** Undefined: it is none, and somebody else's. */
export function readRecord(content: Buffer, position: number): LogRecord | undefined {
  const text = content.toString();
  const [head, time, key] = HEAD.exec(text) ?? [];
  if (head === undefined || key === undefined) return undefined;
  return { position, timeMs: Number(time), key, value: head.length === text.length ? undefined : text.slice(head.length + 1) };
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

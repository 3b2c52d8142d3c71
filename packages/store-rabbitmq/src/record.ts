import type { LogRecord } from '@cluster/core/driver';

/** Its time, its key, and if there is one its value after a line's end. Keys have neither spaces nor lines. */
export const writeRecord = (timeMs: number, key: string, value: string | undefined): Buffer =>
  Buffer.from(value === undefined ? `${timeMs} ${key}` : `${timeMs} ${key}\n${value}`);

export function readRecord(content: Buffer, position: number): LogRecord {
  const text = content.toString();
  const end = text.indexOf('\n');
  const head = end < 0 ? text : text.slice(0, end);
  const space = head.indexOf(' ');
  return { position, timeMs: Number(head.slice(0, space)), key: head.slice(space + 1), value: end < 0 ? undefined : text.slice(end + 1) };
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

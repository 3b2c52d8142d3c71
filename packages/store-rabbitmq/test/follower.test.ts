import { EventEmitter } from 'node:events';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import type { ConsumeMessage } from 'amqplib';
import type { LogRecord } from '@cluster/core/driver';
import { Follower } from '../src/follower.js';
import type { Life } from '../src/link.js';
import { writeRecord } from '../src/record.js';

/** What a follower uses of a channel. */
class ScriptedChannel extends EventEmitter {
  readonly acknowledged: number[] = [];
  isClosed = false;
  #deliver: (message: ConsumeMessage | null) => void = () => undefined;

  async prefetch(): Promise<void> { await Promise.resolve(); }
  async consume(_queue: string, deliver: (message: ConsumeMessage | null) => void): Promise<void> { this.#deliver = deliver; }
  async close(): Promise<void> { this.isClosed = true; }

  ack({ properties }: ConsumeMessage): void {
    if (this.isClosed) throw new Error('a closed channel acknowledges nothing');
    this.acknowledged.push(Number(properties.headers?.['x-stream-offset']));
  }

  hand(position: number, content = writeRecord(1_000 + position, `shop.s.1#${position}`, 'x')): void {
    this.#deliver({ content, properties: { headers: { 'x-stream-offset': position } } } as unknown as ConsumeMessage); // nothing else of it is read
  }
}

async function reading(holes = new Set<string>()) {
  const heard = { records: [] as LogRecord[], lost: 0, failed: [] as Life[] };
  const open = async () => {
    const channel = new ScriptedChannel();
    const life = { connection: { createChannel: async () => channel } } as unknown as Life; // nothing else of it is used
    const follower = new Follower('a', (record) => { heard.records.push(record); }, {
      beginning: () => 'first', lost: () => { heard.lost += 1; }, failed: (failed) => { heard.failed.push(failed); }, holes,
    });
    await follower.attach(life);
    return { channel, life, follower };
  };
  return { heard, open, ...await open() };
}

afterEach(() => { jest.useRealTimers(); });

describe('who reads a stream', () => {
  it('passes over what is no record', async () => {
    const { heard, channel } = await reading();
    channel.hand(0);
    channel.hand(1, Buffer.from('hello'));
    channel.hand(2);
    expect(heard.records.map(({ timeMs }) => timeMs)).toEqual([1_000, 1_002]);
  });

  it('begins anew where records were lost before it that it had not read, and not where a segment ends', async () => {
    const { heard, channel } = await reading();
    for (const position of [0, 1, 3]) channel.hand(position);
    expect(heard.lost).toBe(0);
    channel.hand(6);
    channel.hand(7);
    expect([heard.lost, heard.records.length, channel.isClosed]).toEqual([1, 3, true]);
  });

  it('goes on over a hole that is still there when it is read again', async () => {
    const { heard, channel, open } = await reading();
    for (const position of [0, 5]) channel.hand(position);
    const { channel: again } = await open();
    for (const position of [0, 5]) again.hand(position);
    expect([heard.lost, heard.records.map(({ position }) => position)]).toEqual([1, [0, 0, 5]]);
  });

  it('says that a connection is of no use whose channel the broker closed, and nothing of a channel that it closed itself', async () => {
    const { heard, channel, life, open } = await reading();
    channel.emit('error', new Error('consumer timed out'));
    channel.emit('close');
    expect(heard.failed).toEqual([life]);
    const { channel: other, follower } = await open();
    follower.end();
    other.emit('close');
    expect(heard.failed).toHaveLength(1);
  });

  it('acknowledges in time, however little comes, and nothing on a channel that is closed', async () => {
    jest.useFakeTimers();
    const { channel, open } = await reading();
    channel.hand(0);
    channel.hand(1);
    expect(channel.acknowledged).toEqual([]);
    jest.advanceTimersByTime(60_000);
    expect(channel.acknowledged).toEqual([1]);
    jest.advanceTimersByTime(600_000);
    expect(channel.acknowledged).toEqual([1]);
    const { channel: other, follower } = await open();
    other.hand(0);
    follower.end();
    jest.advanceTimersByTime(600_000);
    expect(other.acknowledged).toEqual([]);
  });
});

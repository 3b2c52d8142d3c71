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
  isLost = false;
  from: unknown;
  #deliver: (message: ConsumeMessage | null) => void = () => undefined;

  async prefetch(): Promise<void> { await Promise.resolve(); }
  async consume(_queue: string, deliver: (message: ConsumeMessage | null) => void, options: { arguments: Record<string, unknown> }): Promise<void> {
    this.#deliver = deliver;
    this.from = options.arguments['x-stream-offset'];
  }
  async close(): Promise<void> {
    if (this.isLost) throw new Error('Channel closed');
    this.isClosed = true;
  }

  ack({ properties }: ConsumeMessage, allUpTo: boolean): void {
    if (allUpTo) this.acknowledged.push(Number(properties.headers?.['x-stream-offset']));
  }

  hand(position: number | null, content = writeRecord(1_000 + Number(position), 0, `shop.s.1#${position}`, 'x')): void {
    if (position === null) {
      this.#deliver(null);
      return;
    }
    this.#deliver({ content, properties: { headers: { 'x-stream-offset': position } } } as unknown as ConsumeMessage); // nothing else of it is read
  }
}

const connected = (channels: ScriptedChannel[], ended: string[]): Life => (
  // Nothing else of it is used.
  { connection: { createChannel: async () => {
    channels.push(new ScriptedChannel());
    return channels.at(-1);
  } }, end: (error: Error) => { ended.push(error.message); } } as unknown as Life);

const turn = () => new Promise(setImmediate);

/** A follower of a stream, and what it says and does. */
async function reading(holes = new Set<string>()) {
  const heard = { records: [] as LogRecord[], lost: 0, ended: [] as string[] };
  const follower = new Follower({ take: (record) => { heard.records.push(record); }, lost: () => { heard.lost += 1; }, holes });
  /** In another life of the connection: the channel by which it looks whether what it had read is there, if there was anything. */
  const attached = async () => {
    const channels: ScriptedChannel[] = [];
    const isAttached = follower.attach(connected(channels, heard.ended), 0);
    isAttached.catch(() => undefined);
    await turn();
    return { channels, channel: channels[0]!, isAttached };
  };
  const { channel, isAttached } = await attached();
  await isAttached;
  return { heard, follower, channel, attached };
}

const positions = (records: readonly LogRecord[]) => records.map(({ position }) => position);

afterEach(() => { jest.useRealTimers(); });

describe('who reads a stream', () => {
  it('passes over what is no record', async () => {
    const { heard, channel } = await reading();
    channel.hand(0);
    channel.hand(1, Buffer.from('hello'));
    channel.hand(2);
    expect(heard.records.map(({ timeMs }) => timeMs)).toEqual([1_000, 1_002]);
  });

  it('acknowledges many at once, and none much later than the next one comes', async () => {
    const { channel } = await reading();
    jest.useFakeTimers();
    for (let position = 0; position < 250; position += 1) channel.hand(position);
    expect(channel.acknowledged).toEqual([99, 199]);
    jest.advanceTimersByTime(2_000);
    channel.hand(250);
    channel.hand(251);
    expect(channel.acknowledged).toEqual([99, 199, 250]);
  });

  it('begins anew where records were lost before it that it had not read, and not where a segment ends', async () => {
    const { heard, channel } = await reading();
    for (const position of [0, 1, 3]) channel.hand(position);
    expect([heard.lost, heard.ended]).toEqual([0, []]);
    channel.hand(6);
    channel.hand(7);
    expect([heard.lost, positions(heard.records), heard.ended]).toEqual([1, [0, 1, 3], ['the stream does not have what was read from it any more']]);
  });

  it('goes on over a hole that is still there when it is read again', async () => {
    const holes = new Set<string>();
    const first = await reading(holes);
    const second = await reading(holes);
    for (const { channel } of [first, second]) for (const position of [0, 5]) channel.hand(position);
    expect([first, second].map(({ heard }) => [heard.lost, positions(heard.records)])).toEqual([[1, [0]], [0, [0, 5]]]);
  });

  it('ends a connection whose channel the broker closed, or whose stream it deleted, and none after it has ended itself', async () => {
    const { heard, channel, attached } = await reading();
    channel.emit('error', new Error('consumer timed out'));
    const { channel: other } = await attached();
    other.hand(null);
    expect(heard.ended).toEqual(['consumer timed out', 'the stream was deleted']);
  });

  it('hands over nothing when it has ended, also when that was in between', async () => {
    const { heard, channel, follower, attached } = await reading();
    const { channel: other, isAttached } = await attached();
    follower.end();
    await isAttached;
    for (const each of [channel, other]) each.hand(0);
    expect([heard.records, other.isClosed]).toEqual([[], true]);
  });
});

describe('who comes back to a stream', () => {
  it('goes on after what it has read, if that is still there', async () => {
    const { heard, channel, attached } = await reading();
    for (const position of [0, 1]) channel.hand(position);
    const { channels, channel: look, isAttached } = await attached();
    look.hand(1);
    await isAttached;
    const next = channels[1]!;
    for (const position of [1, 2]) next.hand(position);
    expect([heard.lost, positions(heard.records), look.from, look.isClosed, next.from]).toEqual([0, [0, 1, 2], 1, true, 1]);
  });

  it.each([
    ['another record in its place', (channel: ScriptedChannel) => { channel.hand(1, writeRecord(1_001, 0, 'shop.s.1#other', 'x')); }],
    ['a later one in its place', (channel: ScriptedChannel) => { channel.hand(2); }],
    ['nothing in its place', () => { jest.advanceTimersByTime(10_000); }],
  ])('begins anew where there is %s', async (_, refill) => {
    const { heard, channel, attached } = await reading();
    for (const position of [0, 1]) channel.hand(position);
    jest.useFakeTimers({ doNotFake: ['setImmediate'] });
    const { channels, channel: look, isAttached } = await attached();
    refill(look);
    await isAttached;
    expect([heard.lost, positions(heard.records), heard.ended.length, channels.length]).toEqual([1, [0, 1], 1, 1]);
  });

  it('does not count the silence of a connection that is over', async () => {
    const { heard, channel, attached } = await reading();
    channel.hand(0);
    jest.useFakeTimers({ doNotFake: ['setImmediate'] });
    const { channel: look, isAttached } = await attached();
    look.isLost = true;
    jest.advanceTimersByTime(10_000);
    await expect(isAttached).rejects.toThrow('Channel closed');
    expect(heard.lost).toBe(0);
  });
});

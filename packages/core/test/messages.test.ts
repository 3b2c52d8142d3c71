import { describe, it, expect } from '@jest/globals';
import { decodeSignal, encodeHandover, encodeSignal, instanceOf } from '../src/engine/messages.js';

const claim = (instance: string, grant = 'g') => ({ incarnation: `${instance}.0`, grant });

describe('messages', () => {
  it('come back as they were; anything else is none', () => {
    const signal = { type: 'held', key: 'k', claim: claim('a'), holder: 'b.0', heldMs: 5 } as const;
    expect(decodeSignal(encodeSignal(signal))).toEqual(signal);
    for (const other of ['', '{', '5', 'null', '{"type":"x"}', '{}']) expect([other, decodeSignal(other)]).toEqual([other, undefined]);
    expect(instanceOf('my.instance.0123')).toBe('my.instance');
  });

  it('that hand over carry as much of the queue as fits, the oldest first', () => {
    const long = Array.from({ length: 64 }, (_, place) => [claim('i'.repeat(64), `${place}`.padStart(32, '0')), place] as const);
    const message = encodeHandover(`default.s.${'f'.repeat(64)}`, claim('a'), long);
    expect(Buffer.byteLength(message)).toBeLessThanOrEqual(7_500);
    const signal = decodeSignal(message);
    if (signal?.type !== 'handover') throw new Error('expected a hand-over');
    expect(signal.queue.length).toBeGreaterThan(40);
    expect(signal.queue[0]?.[1]).toBe(0);
  });
});

import { describe, it, expect } from '@jest/globals';
import { applied, onTopOf, touchedMeanwhile } from '../src/engine/conflict.js';

const content = (attributes: Readonly<Record<string, string>>) => new Map(Object.entries(attributes));

describe('the check of a snapshot', () => {
  it('compares what was seen by encodings', () => {
    const base = content({ a: '1', b: '2' });
    const seen = (names: string[], keysSeen = false) => ({ seen: new Set(names), keysSeen, base });
    expect(touchedMeanwhile(seen(['a']), content({ a: '1', b: '9', c: '1' }))).toEqual([]);
    expect(touchedMeanwhile(seen(['a', 'c']), content({ a: '2', c: '1' }))).toEqual(['a', 'c']);
    expect(touchedMeanwhile(seen([], true), content({ a: '9', c: '1' }))).toEqual(['b', 'c']);
    expect(touchedMeanwhile({ seen: new Set(['x']), keysSeen: false, base: new Map([['x', Buffer.from('ab')]]) }, new Map([['x', new Uint8Array([97, 98])]]))).toEqual([]);
  });

  it('leaves of a change what is not there yet', () => {
    const change = { set: content({ a: '1', b: '2' }), remove: ['c', 'd'], whole: false };
    expect(onTopOf(content({ a: '1', b: '1', c: '1' }), change)).toEqual({ set: content({ b: '2' }), remove: ['c'], whole: false });
    expect(onTopOf(content({ a: '1', b: '2' }), change)).toBe(undefined);
    expect(applied(content({ a: '0', c: '1', e: '5' }), change)).toEqual(content({ a: '1', e: '5', b: '2' }));
    expect(applied(content({ a: '0' }), { set: content({ z: '1' }), remove: [], whole: true })).toEqual(content({ z: '1' }));
  });
});

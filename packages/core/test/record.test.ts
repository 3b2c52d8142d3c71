import { describe, it, expect } from '@jest/globals';
import { ClusterError } from '../src/errors.js';
import { keyName, readStored, writeStored, type Stored, type StoredRecord, type Tombstone } from '../src/record.js';
import { sessionKey } from './scripted-map.js';

const key = sessionKey('5');

const record: StoredRecord = {
  kind: 'record', stamp: { grant: 'g1', version: 3 }, holder: { incarnation: 'a.1', grant: 'g1' }, last: 'b.1',
  ageMs: 1.5, idleMs: 0, putAtMs: 1_700_000_000_000, lifetimeMs: 60_000,
  attributes: new Map<string, string | Uint8Array>([['cart', '["tea"]'], ['photo', new Uint8Array([0, 255])], ['__proto__', '1']]),
};
const tombstone: Tombstone = {
  kind: 'tombstone', why: 'moved', grant: 'g1', holder: { incarnation: 'a.1', grant: 'g1' }, putAtMs: 5, lifetimeMs: 60_000,
};

const stored: [string, Stored][] = [
  ['a record', record],
  ['a free record', { ...record, holder: undefined, last: undefined, attributes: new Map() }],
  ['a tombstone', tombstone],
  ['the tombstone of a forced removal', { ...tombstone, why: 'removed', grant: undefined, holder: undefined }],
];

function failure(value: string): ClusterError {
  try {
    readStored(key, value);
  } catch (error) {
    if (ClusterError.is(error)) return error;
    throw error;
  }
  throw new Error('expected a refusal');
}

describe('the stored record', () => {
  it.each(stored)('is %s again after writing and reading', (_, value) => {
    expect(readStored(key, writeStored(value))).toStrictEqual(value);
  });

  it('is JSON that people can read, bytes as base64', () => {
    expect(JSON.parse(writeStored(record))).toMatchObject({ format: 1, stamp: { version: 3 }, attributes: { cart: '["tea"]', photo: { base64: 'AP8=' } } });
  });

  it('writes of a view only its own bytes', () => {
    const view = new Uint8Array(new Uint8Array([1, 2, 3, 4]).buffer, 1, 2);
    const read = readStored(key, writeStored({ ...record, attributes: new Map([['v', view]]) }));
    expect(read.kind === 'record' && read.attributes.get('v')).toStrictEqual(new Uint8Array([2, 3]));
  });

  const parts = JSON.parse(writeStored(record)) as Record<string, unknown>;
  const dead = JSON.parse(writeStored(tombstone)) as Record<string, unknown>;
  it.each([
    ['secret', 'not JSON'], ['', 'not JSON'], ['[1]', 'it is not an object'], ['null', 'it is not an object'], ['{}', 'format'],
    [JSON.stringify({ ...parts, kind: 'secret' }), 'kind'], [JSON.stringify({ ...parts, stamp: 'secret' }), 'stamp'],
    [JSON.stringify({ ...parts, stamp: { grant: 'g', version: '1' } }), 'version'], [JSON.stringify({ ...parts, ageMs: -1 }), 'ageMs'],
    [JSON.stringify({ ...parts, lifetimeMs: null }), 'lifetimeMs'], [JSON.stringify({ ...parts, holder: { grant: 'g' } }), 'incarnation'],
    [JSON.stringify({ ...parts, last: 7 }), 'last'], [JSON.stringify({ ...parts, attributes: { secret: 5 } }), 'an attribute'],
    [JSON.stringify({ ...parts, attributes: { secret: { base64: 5 } } }), 'base64'], [JSON.stringify({ ...dead, why: 'secret' }), 'why'],
  ])('is refused as CLUSTER_UNREADABLE where %s is found, naming %s', (value, part) => {
    const error = failure(value);
    expect(error.code).toBe('CLUSTER_UNREADABLE');
    expect(error.message).toMatch(/^session 555555555555: /);
    expect(error.message).toContain(part);
    expect(`${error.message} ${String(error.cause)}`).not.toContain('secret');
  });

  it('is refused as CLUSTER_FOREIGN_VERSION where its format is another', () => {
    const error = failure('{"format":2,"holder":"secret"}');
    expect(error.code).toBe('CLUSTER_FOREIGN_VERSION');
    expect(error.message).toBe('session 555555555555: expected a record of format 1, found 2');
  });

  it('is named by its key where that is no session', () => {
    expect(keyName('shop.c.settings')).toBe('key shop.c.settings');
  });
});

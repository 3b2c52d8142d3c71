import { describe, it, expect } from '@jest/globals';
import { textCodec } from '../src/codec.js';

const { encode, decode } = textCodec;

function text(value: unknown): string {
  const encoded = encode(value);
  if (typeof encoded !== 'string') throw new Error('expected text');
  return encoded;
}

const again = (value: unknown) => decode(encode(value));

const plain: [string, unknown][] = [
  ['text', 'a "quoted" line\n'], ['empty text', ''], ['a number', -1.5e-7], ['zero', 0], ['true', true], ['null', null],
  ['an array', [1, 'two', [3]]], ['an object', { b: 1, 2: 'two', nested: { list: [{}] } }], ['a lone surrogate', '\ud800'],
];

const cyclic: { self?: unknown; list: unknown[] } = { list: [] };
cyclic.self = cyclic;
cyclic.list.push(cyclic.list, cyclic);
const twice = { id: 7 };

const rich: [string, unknown][] = [
  ['undefined', undefined], ['undefined inside', { a: undefined, b: [undefined] }], ['NaN', NaN], ['infinities', [Infinity, -Infinity]],
  ['-0', -0], ['-0 inside', { x: -0 }], ['a bigint', 12345678901234567890n], ['a date', new Date(1_700_000_000_000)],
  ['a map', new Map<unknown, unknown>([['a', 1], [{ k: 1 }, new Map()]])],
  ['a set', new Set([1, 'a', new Date(0)])], ['bytes', new Uint8Array([0, 1, 254, 255])], ['floats', new Float64Array([1.5, -0, NaN])],
  ['big integers', new BigInt64Array([-1n, 2n])], ['a buffer of bytes', new Uint8Array([1, 2]).buffer], ['a view', new DataView(new ArrayBuffer(3))],
  ['a cycle', cyclic], ['a repeated reference', { a: twice, b: twice }], ['a hole', [1, , 3]], // eslint-disable-line no-sparse-arrays
  ['an object without a prototype', Object.assign(Object.create(null) as object, { a: 1 })],
];

describe('textCodec', () => {
  it.each(plain)('writes %s as its JSON text', (_, value) => {
    expect(encode(value)).toBe(JSON.stringify(value));
    expect(again(value)).toStrictEqual(value);
  });

  it.each(rich)('brings %s back, in an encoding that no JSON text can be', (_, value) => {
    expect(() => { JSON.parse(text(value)); }).toThrow(SyntaxError);
    expect(again(value)).toStrictEqual(value);
  });

  it.each([...plain, ...rich])('makes the same encoding of %s again after decoding it', (_, value) => {
    expect(encode(again(value))).toBe(encode(value));
  });

  it('brings an invalid date back', () => {
    const decoded = again(new Date(NaN));
    expect(decoded instanceof Date && Number.isNaN(decoded.getTime())).toBe(true);
    expect(encode(decoded)).toBe(encode(new Date(NaN)));
  });

  it('keeps repeated references one object', () => {
    const decoded = again({ a: twice, b: twice }) as { a: object; b: object };
    expect(decoded.a).toBe(decoded.b);
  });

  it('keeps the length of a very sparse array without filling it', () => {
    const sparse: number[] = [];
    sparse[4_000_000_000] = 1;
    expect((again(sparse) as number[]).length).toBe(4_000_000_001);
  });

  it('keeps of a view only its own bytes, never those of the pool it lies in', () => {
    const pool = new Uint8Array(1000).fill(83);
    const decoded = again(new Uint8Array(pool.buffer, 10, 2)) as Uint8Array;
    expect([...decoded]).toEqual([83, 83]);
    expect(decoded.buffer.byteLength).toBe(2);
    const words = again(new Uint16Array(new Uint16Array([1, 2, 3, 4]).buffer, 2, 2));
    expect(words).toStrictEqual(new Uint16Array([2, 3]));
  });

  class Cart { items = 1; }
  class Moment extends Date {}
  class Row extends Array {}
  const refused: [string, unknown, RegExp][] = [
    ['a function', () => 1, /^the value is a function$/],
    ['a symbol', Symbol('x'), /^the value is a symbol$/],
    ['a function inside', { cart: [{ total: () => 1 }] }, /^the value's \.cart\[0\]\.total is a function$/],
    ['a class instance', { 'my cart': new Cart() }, /^the value's \["my cart"\] is an instance of Cart$/],
    ['a subclass of a built-in', [new Moment()], /^the value's \[0\] is an instance of Moment$/],
    ['a subclass of Array', { row: new Row() }, /\.row is an instance of Row$/],
    ['a Buffer', { photo: Buffer.from('x') }, /\.photo is an instance of Buffer$/],
    ['a URL', { at: new URL('http://a.example') }, /\.at is an instance of URL$/],
    ['a promise', { later: Promise.resolve(1) }, /\.later is an instance of Promise$/],
    ['a boxed number', { n: Object(5) as unknown }, /\.n is an instance of Number$/],
    ['an object with toJSON', { money: { toJSON: () => '1' } }, /\.money is an object with a toJSON method$/],
    ['a symbol as key', { a: { [Symbol('s')]: 1 } }, /\.a is an object with a symbol as key$/],
    ['an array with a property', { hit: /a/.exec('a') }, /\.hit is an array with the property "groups"$/],
    ['an own __proto__', { a: JSON.parse('{"__proto__": {"admin": true}}') as unknown }, /\.a is an object with a key "__proto__"$/],
    ['a function in a map', new Map([['f', () => 1]]), /\.f is a function$/],
    ['a function in a set', { all: new Set([() => 1]) }, /\.all\[0\] is a function$/],
    ['shared memory', { shared: new Uint8Array(new SharedArrayBuffer(2)) }, /\.shared is shared memory$/],
  ];
  it.each(refused)('refuses %s and names where it is', (_, value, message) => {
    expect(() => encode(value)).toThrow(message);
  });

  it('refuses what is nested deeper than 500 levels, and takes 500', () => {
    const nest = (levels: number, inner: unknown) => {
      let value = inner;
      for (let level = 0; level < levels; level += 1) value = { in: value };
      return value;
    };
    expect(again(nest(500, 1))).toStrictEqual(nest(500, 1));
    expect(again(nest(500, 1n))).toStrictEqual(nest(500, 1n));
    expect(() => encode(nest(502, 1))).toThrow('nested deeper than 500 levels');
    expect(() => encode(nest(100_000, 1))).toThrow('nested deeper than 500 levels');
  });

  it.each(['{"__proto__":{"admin":true}}', '{"\\u005f_proto__":{"admin":true}}', '{"a":[{"__pr\\u006fto__":1}]}',
    '~[{"__proto__":1},{"admin":2},true]', '~["null","__proto__",1],{}]'])('refuses %s and touches no prototype', (encoded) => {
    expect(() => decode(encoded)).toThrow(/^not an encoding of text-1/);
    expect(({} as { admin?: boolean }).admin).toBeUndefined();
  });

  it.each(['', 'secret', '{"secret":', '~', '~[["Unknown",1]]', '~-2x'])('refuses %j without quoting it', (encoded) => {
    expect(() => decode(encoded)).toThrow(/^not an encoding of text-1: \d+ characters that cannot be read$/);
  });

  it('refuses bytes', () => {
    expect(() => decode(new Uint8Array([34, 34]))).toThrow('expected text, found bytes');
  });

  it('keeps text that merely mentions __proto__', () => {
    expect(again({ note: '__proto__ and \\u005f' })).toStrictEqual({ note: '__proto__ and \\u005f' });
  });
});

import { types } from 'node:util';
import { parse, stringify } from 'devalue';
import type { Encoded } from './drivers/session-table.js';

/**
 * How one attribute value is turned into what a store keeps, and back. Law: `encode(decode(x))` is `x` for every `x` that
 * `encode` made, since changes are found by comparing encodings.
 */
export interface Codec {
  /** Names the encoding; instances of one context must agree on it. */
  readonly name: string;
  /** Throws an `Error` that names the path inside the value if there is something that it cannot encode. */
  encode(value: unknown): Encoded;
  /** Throws on what it cannot read. Runs no code that the encoding contains. */
  decode(encoded: Encoded): unknown;
}

const MAX_DEPTH = 500;
const RICH = '~'; // no JSON text begins with it

type Path = readonly (string | number)[];

const shownPath = (path: Path): string => path
  .map((step) => (typeof step === 'number' ? `[${step}]` : /^[\w$]+$/.test(step) ? `.${step}` : `[${JSON.stringify(step)}]`)).join('');

const refusal = (path: Path, what: string): Error =>
  new Error(path.length === 0 ? `the value is ${what}` : `the value's ${shownPath(path.slice(0, 20))} is ${what}`);

/** How many prototypes stand between a value and the end of its chain; tells subclasses, also across realms. */
function prototypes(value: object): number {
  let count = 0;
  for (let next = Object.getPrototypeOf(value) as object | null; next !== null; next = Object.getPrototypeOf(next) as object | null) count += 1;
  return count;
}

function isPlainObject(value: object): boolean {
  const prototype = Object.getPrototypeOf(value) as object | null;
  return prototype === Object.prototype || prototype === null
    || (Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'isPrototypeOf'));
}

const className = (value: object): string => {
  const name: unknown = (Reflect.get(value, 'constructor') as { name?: unknown } | undefined)?.name;
  return typeof name === 'string' && name !== '' ? name : 'a class';
};

/** Looks at every part of a value once: is JSON enough for it, and can it be encoded at all? */
class Walk {
  /** JSON would lose something. */
  rich = false;
  readonly #seen = new Set<object>();
  readonly #path: (string | number)[] = [];

  visit(value: unknown, step?: string | number): void {
    switch (typeof value) {
      case 'string': case 'boolean': return;
      case 'number':
        if (!Number.isFinite(value) || Object.is(value, -0)) this.rich = true;
        return;
      case 'bigint': case 'undefined':
        this.rich = true;
        return;
      case 'object':
        if (value !== null) this.#enter(value, step);
        return;
      default:
        if (step !== undefined) this.#path.push(step);
        this.#refuse(`a ${typeof value}`);
    }
  }

  #refuse(what: string): never {
    throw refusal(this.#path, what);
  }

  #enter(value: object, step: string | number | undefined): void {
    if (step !== undefined) this.#path.push(step);
    if (this.#seen.has(value)) {
      this.rich = true; // a repeated reference or a cycle
    } else {
      if (this.#path.length > MAX_DEPTH) this.#refuse(`nested deeper than ${MAX_DEPTH} levels`);
      this.#seen.add(value);
      if (Array.isArray(value)) this.#array(value);
      else if (isPlainObject(value)) this.#object(value as Record<string, unknown>);
      else this.#builtIn(value);
    }
    if (step !== undefined) this.#path.pop();
  }

  #array(array: readonly unknown[]): void {
    if (Object.getPrototypeOf(array) !== Array.prototype && prototypes(array) !== 2) this.#refuse(`an instance of ${className(array)}`);
    this.#noSymbols(array);
    if (typeof Reflect.get(array, 'toJSON') === 'function') this.#refuse('an array with a toJSON method');
    const keys = Object.keys(array);
    const last = keys.at(-1);
    if (last !== undefined && !/^\d+$/.test(last)) this.#refuse(`an array with the property ${JSON.stringify(last)}`);
    if (keys.length !== array.length) this.rich = true; // it has holes
    for (const key of keys) this.visit(array[Number(key)], Number(key));
  }

  #object(object: Record<string, unknown>): void {
    this.#noSymbols(object);
    if (typeof object.toJSON === 'function') this.#refuse('an object with a toJSON method');
    if (Object.getPrototypeOf(object) === null) this.rich = true;
    for (const key of Object.keys(object)) {
      if (key === '__proto__') this.#refuse('an object with a key "__proto__"');
      this.visit(object[key], key);
    }
  }

  /** Date, Map, Set, bytes; of anything else the class would be lost. */
  #builtIn(value: object): void {
    this.rich = true;
    const view = types.isTypedArray(value);
    const known = view || types.isDate(value) || types.isMap(value) || types.isSet(value) || types.isAnyArrayBuffer(value) || types.isDataView(value);
    if (!known || prototypes(value) !== (view ? 3 : 2)) this.#refuse(`an instance of ${className(value)}`);
    this.#noSymbols(value);
    if (view || types.isDataView(value)) {
      if (types.isSharedArrayBuffer(value.buffer)) this.#refuse('shared memory');
      return;
    }
    if (types.isSharedArrayBuffer(value)) this.#refuse('shared memory');
    const [property] = Object.keys(value);
    if (property !== undefined) this.#refuse(`an instance of ${className(value)} with the property ${JSON.stringify(property)}`);
    if (types.isMap(value)) {
      let position = 0;
      for (const [key, entry] of value as ReadonlyMap<unknown, unknown>) {
        this.visit(key, `key ${position}`);
        this.visit(entry, typeof key === 'string' || typeof key === 'number' ? key : `entry ${position}`);
        position += 1;
      }
    } else if (types.isSet(value)) {
      let position = 0;
      for (const member of value as ReadonlySet<unknown>) this.visit(member, position++);
    }
  }

  #noSymbols(value: object): void {
    if (Object.getOwnPropertySymbols(value).length > 0) this.#refuse('an object with a symbol as key');
  }
}

// A view may show a few bytes of a pool that holds what others wrote: only its own bytes are encoded.
const viewInfo = (view: ArrayBufferView) => {
  const whole = view.byteLength === view.buffer.byteLength;
  return {
    buffer: whole ? view.buffer : view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength), byteOffset: 0, byteLength: view.byteLength,
    length: view.byteLength, bufferByteLength: view.byteLength,
  };
};

function encode(value: unknown): string {
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return JSON.stringify(value);
  if (typeof value === 'number' && Number.isFinite(value) && !Object.is(value, -0)) return String(value);
  const walk = new Walk();
  walk.visit(value);
  return walk.rich ? RICH + stringify(value, undefined, { operations: { viewInfo } }) : JSON.stringify(value);
}

// JSON.parse makes an own property of the key, which a careless copy would turn into a prototype.
const noPrototypes = (key: string, value: unknown): unknown => {
  if (key === '__proto__') throw new Error('a key "__proto__"');
  return value;
};

function decode(encoded: Encoded): unknown {
  if (typeof encoded !== 'string') throw new Error('not an encoding of text-1: expected text, found bytes');
  try {
    if (encoded.startsWith(RICH)) return parse(encoded.slice(1)) as unknown;
    // Escapes can spell the key as well.
    if (encoded.includes('__proto__') || encoded.includes('\\u')) return JSON.parse(encoded, noPrototypes) as unknown;
    return JSON.parse(encoded) as unknown;
  } catch {
    // The parsers' own messages quote the content, which may be private.
    throw new Error(`not an encoding of text-1: ${encoded.length} characters that cannot be read`);
  }
}

/**
 * Text that people can read in a store's own tools: JSON where JSON loses nothing. Values with Date, Map, Set, bigint, typed
 * arrays, `undefined`, NaN, ±Infinity, -0, cycles or repeated references come back as they were; they are written in the
 * notation of devalue after a `~`. Of a view on a buffer only its own bytes are kept.
 */
export const textCodec: Codec = { name: 'text-1', encode, decode };

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';

const LONG = 120;
/** From here on only what differs is shown. */
const TOO_LONG = 400;
const DIFFERENCES_SHOWN = 3;

const digest = (content: string | Uint8Array) => createHash('sha256').update(content).digest('hex').slice(0, 16);

// Values may come from another realm (jest's sandbox, a message from a process): tags are safe where `instanceof` is not.
const tagOf = (value: object) => Object.prototype.toString.call(value).slice(8, -1);

function textOf(value: string): string {
  return value.length <= LONG ? JSON.stringify(value) : `text of ${value.length} characters, digest ${digest(value)}`;
}

function bytesOf(value: Uint8Array): string {
  const hex = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex');
  return hex.length <= LONG ? `bytes ${hex}` : `${value.byteLength} bytes, digest ${digest(value)}`;
}

/** The entries of a map, or the members of an object, that have a value. */
function entriesOf(value: object): readonly (readonly [string, string])[] {
  // The tag says what it is; the compiler cannot follow a tag.
  const entries = tagOf(value) === 'Map' ? [...value as ReadonlyMap<unknown, unknown>] : Object.entries(value);
  return entries.filter(([, each]) => each !== undefined).map(([name, each]) => [canonical(name), canonical(each)] as const);
}

const shown = (value: object): string => entriesOf(value).map((entry) => entry.join(': ')).sort().join(', ');

/** A text that is equal for equal contents: order of names, undefined members, realm and kind of byte array do not matter. */
export function canonical(value: unknown): string {
  if (typeof value === 'string') return textOf(value);
  if (typeof value !== 'object' || value === null) return String(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(', ')}]`;
  if (ArrayBuffer.isView(value)) return bytesOf(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  if (tagOf(value) === 'Map') return `Map {${shown(value)}}`;
  // As above.
  if (tagOf(value) === 'Set') return `Set {${[...value as ReadonlySet<unknown>].map(canonical).sort().join(', ')}}`;
  return `{${shown(value)}}`;
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;

/** What was expected and found; of large contents the first few that differ. */
function differenceOf(actual: unknown, expected: unknown): string {
  const [found, wanted] = [canonical(actual), canonical(expected)];
  if (found.length + wanted.length < TOO_LONG || !isObject(actual) || !isObject(expected)) return `expected ${wanted}, found ${found}`;
  const [here, there] = [new Map(entriesOf(actual)), new Map(entriesOf(expected))];
  const differing = [...new Set([...there.keys(), ...here.keys()])].filter((name) => here.get(name) !== there.get(name));
  const few = differing.slice(0, DIFFERENCES_SHOWN).map((name) => `at ${name} expected ${there.get(name) ?? 'nothing'}, found ${here.get(name) ?? 'nothing'}`);
  return `${few.join('; ')}${differing.length > few.length ? `; and ${differing.length - few.length} more` : ''}`;
}

const codeOf = (error: unknown) => (isObject(error) && 'code' in error ? error.code : undefined);

/** An error for people, with its code if it has one. */
export function describeError(error: unknown): string {
  const code = codeOf(error);
  return `${String(error)}${typeof code === 'string' ? ` (${code})` : ''}`;
}

/** Whether an assertion failed, of whichever realm. */
export const isAssertion = (error: unknown): boolean => codeOf(error) === 'ERR_ASSERTION';

/**
 * The assertions that a clause is about, counted: a clause that passes without one has proved nothing. What merely prepares the
 * ground is asserted with `node:assert`.
 */
export class Proof {
  #count = 0;

  get count(): number {
    return this.#count;
  }

  ok(value: boolean, message: string): void {
    this.#count += 1;
    assert.ok(value, message);
  }

  equal(actual: unknown, expected: unknown, message: string): void {
    this.#count += 1;
    const [found, wanted] = [canonical(actual), canonical(expected)];
    if (found !== wanted) assert.equal(found, wanted, `${message}: ${differenceOf(actual, expected)}`);
  }

  /** Passes if the promise rejects, with that code if one is given. */
  async rejects(promise: Promise<unknown>, message: string, code?: string): Promise<void> {
    const outcome = await promise.then((value) => ({ value }), (error: unknown) => ({ error }));
    this.#count += 1;
    const wanted = code === undefined ? 'a rejection' : `a rejection by ${code}`;
    if (!('error' in outcome)) assert.fail(`${message}: expected ${wanted}, but it resolved to ${canonical(outcome.value)}`);
    if (code === undefined || codeOf(outcome.error) === code) return;
    assert.fail(`${message}: expected ${wanted}, the code of a ClusterError, but it was rejected by ${describeError(outcome.error)}`);
  }
}

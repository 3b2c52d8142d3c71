import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';

const LONG = 120;

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

function entriesOf(entries: Iterable<readonly [unknown, unknown]>): string {
  return [...entries].filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${canonical(name)}: ${canonical(value)}`).sort().join(', ');
}

/** A text that is equal for equal contents: order of names, undefined members, realm and kind of byte array do not matter. */
export function canonical(value: unknown): string {
  if (typeof value === 'string') return textOf(value);
  if (typeof value !== 'object' || value === null) return String(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(', ')}]`;
  if (ArrayBuffer.isView(value)) return bytesOf(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  // The tag says what it is; the compiler cannot follow a tag.
  if (tagOf(value) === 'Map') return `Map {${entriesOf(value as ReadonlyMap<unknown, unknown>)}}`;
  if (tagOf(value) === 'Set') return `Set {${[...value as ReadonlySet<unknown>].map(canonical).sort().join(', ')}}`;
  return `{${entriesOf(Object.entries(value))}}`;
}

const codeOf = (error: unknown) => (typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined);

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
    assert.equal(found, wanted, `${message}: expected ${wanted}, found ${found}`);
  }

  /** Passes if the promise rejects, with that code if one is given. */
  async rejects(promise: Promise<unknown>, message: string, code?: string): Promise<void> {
    const outcome = await promise.then((value) => ({ value }), (error: unknown) => ({ error }));
    this.#count += 1;
    assert.ok('error' in outcome, `${message}: it did not reject, it resolved to ${'value' in outcome ? canonical(outcome.value) : ''}`);
    if (code !== undefined) assert.equal(codeOf(outcome.error), code, `${message}: rejected by ${String(outcome.error)}`);
  }
}

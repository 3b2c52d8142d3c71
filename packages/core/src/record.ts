import type { Claim, Encoded, Gone, Stamp } from './drivers/session-table.js';
import { ClusterError } from './errors.js';
import { shortName } from './session-id.js';

/** Version of the layout below; another one is refused with CLUSTER_FOREIGN_VERSION. */
export const RECORD_FORMAT = 1;

/** A session as a map keeps it. Durations are those at the time of the put, in ms. */
export interface StoredRecord {
  readonly kind: 'record';
  readonly stamp: Stamp;
  readonly holder: Claim | undefined;
  readonly last: string | undefined;
  readonly ageMs: number;
  readonly idleMs: number;
  /** When it was put, by the wall clock of the instance that put it; dates it only if the map cannot. */
  readonly putAtMs: number;
  readonly lifetimeMs: number;
  readonly attributes: ReadonlyMap<string, Encoded>;
}

/** What stays of a removed session for a while. */
export interface Tombstone {
  readonly kind: 'tombstone';
  readonly why: Gone;
  /** Given with the removal; undefined if it was forced. */
  readonly grant: string | undefined;
  /** Who held the session when it was removed. */
  readonly holder: Claim | undefined;
  readonly putAtMs: number;
  readonly lifetimeMs: number;
}

export type Stored = StoredRecord | Tombstone;

/** What errors call a key: the first digits of a session's digest, or the key of something else. */
export const keyName = (key: string): string => (/^[\w-]+\.s\.[0-9a-f]{64}$/.test(key) ? `session ${shortName(key)}` : `key ${key}`);

const written = (encoded: Encoded) =>
  (typeof encoded === 'string' ? encoded : { base64: Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength).toString('base64') });

/** The text that a map keeps. */
export function writeStored(stored: Stored): string {
  if (stored.kind === 'tombstone') return JSON.stringify({ format: RECORD_FORMAT, ...stored });
  const { kind, stamp, holder, last, ageMs, idleMs, putAtMs, lifetimeMs } = stored;
  let attributes = '';
  // One by one: an object made of them for a single call would cost more than the text.
  for (const [name, encoded] of stored.attributes) {
    attributes += `${attributes === '' ? '' : ','}${JSON.stringify(name)}:${JSON.stringify(written(encoded))}`;
  }
  const head = JSON.stringify({ format: RECORD_FORMAT, kind, stamp, holder, last, ageMs, idleMs, putAtMs, lifetimeMs });
  return `${head.slice(0, -1)},"attributes":{${attributes}}}`;
}

type Fields = Readonly<Record<string, unknown>>;

/** Reads the fields of one record and names the first that is not what it must be. */
class Reader {
  constructor(private readonly name: string) {}

  unreadable(what: string): ClusterError {
    return new ClusterError('CLUSTER_UNREADABLE', `${this.name}: the stored record cannot be read: ${what}`);
  }

  fields(value: unknown, where: string): Fields {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw this.unreadable(`${where} is not an object`);
    // Every field is checked where it is read.
    return value as Fields;
  }

  text(fields: Fields, field: string): string {
    const value = fields[field];
    if (typeof value !== 'string') throw this.unreadable(`${field} is not text`);
    return value;
  }

  optionalText(fields: Fields, field: string): string | undefined {
    return fields[field] === undefined ? undefined : this.text(fields, field);
  }

  number(fields: Fields, field: string): number {
    const value = fields[field];
    if (typeof value !== 'number' || value < 0) throw this.unreadable(`${field} is not a number from 0 up`);
    return value;
  }

  claim(fields: Fields): Claim | undefined {
    if (fields.holder === undefined) return undefined;
    const holder = this.fields(fields.holder, 'holder');
    return { incarnation: this.text(holder, 'incarnation'), grant: this.text(holder, 'grant') };
  }

  attributes(value: unknown): Map<string, Encoded> {
    const attributes = new Map<string, Encoded>();
    for (const [name, encoded] of Object.entries(this.fields(value, 'attributes'))) {
      attributes.set(name, typeof encoded === 'string' ? encoded
        : new Uint8Array(Buffer.from(this.text(this.fields(encoded, 'an attribute'), 'base64'), 'base64')));
    }
    return attributes;
  }
}

/**
 * Reads what {@link writeStored} wrote.
 * @throws ClusterError CLUSTER_UNREADABLE or CLUSTER_FOREIGN_VERSION; messages name the key and never the content
 */
export function readStored(key: string, value: string): Stored {
  const read = new Reader(keyName(key));
  const fields = read.fields(parsed(value, read), 'it');
  const format = read.number(fields, 'format');
  if (format !== RECORD_FORMAT) {
    throw new ClusterError('CLUSTER_FOREIGN_VERSION', `${keyName(key)}: expected a record of format ${RECORD_FORMAT}, found ${format}`);
  }
  const common = { holder: read.claim(fields), putAtMs: read.number(fields, 'putAtMs'), lifetimeMs: read.number(fields, 'lifetimeMs') };
  if (fields.kind === 'tombstone') {
    if (fields.why !== 'removed' && fields.why !== 'moved') throw read.unreadable('why is neither removed nor moved');
    return { kind: 'tombstone', why: fields.why, grant: read.optionalText(fields, 'grant'), ...common };
  }
  if (fields.kind !== 'record') throw read.unreadable('kind is neither record nor tombstone');
  const stamp = read.fields(fields.stamp, 'stamp');
  return {
    kind: 'record', stamp: { grant: read.text(stamp, 'grant'), version: read.number(stamp, 'version') },
    last: read.optionalText(fields, 'last'), ageMs: read.number(fields, 'ageMs'), idleMs: read.number(fields, 'idleMs'),
    attributes: read.attributes(fields.attributes), ...common,
  };
}

function parsed(value: string, read: Reader): unknown {
  try {
    return JSON.parse(value) as unknown;
  } catch {
    throw read.unreadable('it is not JSON'); // the parser's message would quote the content
  }
}

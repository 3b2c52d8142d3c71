import { ClusterError } from '@cluster/core';
import type { Change, Encoded, SessionRecord } from '@cluster/core/driver';
import type { Argument } from './connection.js';
import { ATTRIBUTE, BYTES, RECORD_FIELDS } from './scripts.js';

export const FORMAT = 1;

const MARK = Buffer.of(BYTES);
const ATTRIBUTE_BYTE = ATTRIBUTE.charCodeAt(0);

const written = (encoded: Encoded): string | Buffer => (typeof encoded === 'string' ? encoded : Buffer.concat([MARK, encoded]));

const readValue = (value: Buffer): Encoded => (value[0] === BYTES ? new Uint8Array(value.subarray(1)) : value.toString());

/** Adds the attributes as fields and values. */
export function putAttributes(args: Argument[], attributes: ReadonlyMap<string, Encoded>): void {
  for (const [name, encoded] of attributes) args.push(ATTRIBUTE + name, written(encoded));
}

/** Adds what a commit takes away and what it sets, as the script reads it. */
export function putChange(args: Argument[], change: Change | undefined): void {
  if (change === undefined) {
    args.push('');
    return;
  }
  if (change.whole) args.push('whole');
  else {
    // They go after what is set has come: a name in both stays.
    const removed = change.remove.filter((name) => !change.set.has(name));
    args.push(removed.length);
    for (const name of removed) args.push(ATTRIBUTE + name);
  }
  putAttributes(args, change.set);
}

type Found = readonly [ageMs: number, leftMs: number, fields: readonly (Buffer | null)[], content: readonly Buffer[] | null];

function attributesOf(content: readonly Buffer[]): Map<string, Encoded> {
  const attributes = new Map<string, Encoded>();
  for (let at = 0; at + 1 < content.length; at += 2) {
    const [name, value] = [content[at], content[at + 1]];
    if (name?.[0] === ATTRIBUTE_BYTE && value !== undefined) attributes.set(name.toString('utf8', 1), readValue(value));
  }
  return attributes;
}

/** Reads what the scripts give of a record. */
export function readRecord(key: string, found: unknown): SessionRecord {
  // Made by the scripts of this version.
  const [ageMs, leftMs, fields, content] = found as Found;
  const text: Record<string, string> = {};
  RECORD_FIELDS.forEach((name, n) => { text[name] = fields[n]?.toString() ?? ''; });
  const { format = '', grant = '', version, holder = '', lock = '', last, lifetime } = text;
  if (format !== String(FORMAT)) {
    throw new ClusterError('CLUSTER_FOREIGN_VERSION', `session ${key.slice(-64, -52)}: expected a record of format ${FORMAT}, found '${format}'`);
  }
  const lifetimeMs = Number(lifetime);
  return {
    kind: 'record', format: FORMAT, stamp: { grant, version: Number(version) },
    holder: lock === '' ? undefined : { incarnation: holder, grant: lock }, last: last === '' ? undefined : last,
    ageMs, idleMs: Math.max(0, lifetimeMs - leftMs), lifetimeMs, attributes: content === null ? undefined : attributesOf(content),
  };
}

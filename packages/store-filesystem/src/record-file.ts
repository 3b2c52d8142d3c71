import { crc32 } from 'node:zlib';
import { ClusterError } from '@cluster/core';
import { parseRevision, revisionText, type Revision } from './revision.js';

/** Version of the file and folder layout. */
export const LAYOUT_VERSION = 1;
/** First word of every file. */
export const MAGIC = 'cluster-store-filesystem';

const MAX_HEADER_BYTES = 512;

export interface StoredRecord {
  readonly revision: Revision;
  readonly value: string;
}

/** Magic, version, checksum of all that follows, length of the value, revision, key, new line, value. */
export function encodeRecord(key: string, revision: Revision, value: string): Buffer {
  const content = Buffer.from(value);
  const rest = ` ${content.length} ${revisionText(revision)} ${key}\n`;
  const checksum = crc32(content, crc32(rest)).toString(16).padStart(8, '0');
  return Buffer.concat([Buffer.from(`${MAGIC} ${LAYOUT_VERSION} ${checksum}${rest}`), content]);
}

/**
 * @param path what errors call the file
 * @throws ClusterError CLUSTER_UNREADABLE if a bit is not as it was written, CLUSTER_FOREIGN_VERSION for another layout
 */
export function decodeRecord(key: string, path: string, bytes: Buffer): StoredRecord {
  const end = bytes.subarray(0, MAX_HEADER_BYTES).indexOf('\n');
  const [magic, version, checksum, length, revisionWord, storedKey] = bytes.toString('latin1', 0, Math.max(end, 0)).split(' ');
  if (magic === MAGIC && version !== String(LAYOUT_VERSION) && /^[0-9]+$/.test(version ?? '')) {
    throw new ClusterError('CLUSTER_FOREIGN_VERSION', `${path}: expected layout ${LAYOUT_VERSION}, found layout ${version ?? ''}`);
  }
  const content = bytes.subarray(end + 1);
  const rest = ` ${length} ${revisionWord} ${storedKey}\n`;
  const revision = parseRevision(revisionWord ?? '');
  const damage = end < 0 || magic !== MAGIC || version !== String(LAYOUT_VERSION) || revision === undefined ? 'no header of this store'
    : content.length !== Number(length) ? `${content.length} bytes of content instead of ${length}`
    : crc32(content, crc32(rest)).toString(16).padStart(8, '0') !== checksum ? 'content that does not match its checksum'
    : storedKey !== key ? 'the content of another key'
    : undefined;
  if (damage !== undefined || revision === undefined) throw new ClusterError('CLUSTER_UNREADABLE', `${path}: found ${damage}`);
  return { revision, value: content.toString() };
}

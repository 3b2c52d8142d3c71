import { constants } from 'node:fs';
import { ClusterError } from '@cluster/core';
import type { Disk } from './key-folder.js';

const FIRST_READ_BYTES = 16_384;

/** `ENOENT` and the like; empty for what is no system error. Not by `instanceof`: a system error may be of another realm. */
export const codeOf = (error: unknown): string =>
  typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string' ? error.code : '';

// Without the paths that system errors end in.
const reason = (error: unknown) => String(error).replace(/^Error: /, '').replace(/,.*/s, '');

/** The operation failed before anything could be seen of it. */
export const refused = (what: string, error: unknown): ClusterError =>
  new ClusterError('CLUSTER_UNAVAILABLE', `${what}: ${reason(error)}; nothing was changed`, { cause: error });

/** The operation may have taken effect. */
export const unknownOutcome = (what: string, error: unknown): ClusterError =>
  new ClusterError('CLUSTER_UNKNOWN_OUTCOME', `${what}: ${reason(error)}`, { cause: error });

// Nothing that matters is left to fail here, so nobody waits for it.
const letGo = (file: { close(): Promise<void> }): void => { void file.close().catch(() => undefined); };

/** A new file whose content is on the disk when it resolves; its name need not be. */
export async function writeBody(disk: Disk, path: string, bytes: Buffer): Promise<void> {
  const file = await disk.open(path, 'wx', 0o600);
  try {
    await file.writeFile(bytes);
    await file.datasync();
  } finally {
    letGo(file);
  }
}

/** The names in a folder are on the disk when it resolves. */
export async function syncFolder(disk: Disk, path: string): Promise<void> {
  const folder = await disk.open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await folder.sync();
  } finally {
    letGo(folder);
  }
}

/** Undefined if there is no such file. */
export async function readWhole(disk: Disk, path: string): Promise<Buffer | undefined> {
  let file;
  try {
    file = await disk.open(path, 'r');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw refused(path.split('/').slice(-3).join('/'), error);
  }
  try {
    const parts: Buffer[] = [];
    for (let size = FIRST_READ_BYTES; ; size *= 4) {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(size), 0, size);
      parts.push(buffer.subarray(0, bytesRead));
      if (bytesRead < size) return parts.length === 1 ? parts[0] : Buffer.concat(parts);
    }
  } finally {
    letGo(file);
  }
}

export async function exists(disk: Disk, path: string): Promise<boolean> {
  try {
    await disk.access(path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

/** Removes a file that may be gone already. */
export async function dropFile(disk: Disk, path: string): Promise<void> {
  await disk.unlink(path).catch((error: unknown) => {
    if (codeOf(error) !== 'ENOENT') throw error;
  });
}

import { constants, type Stats } from 'node:fs';
import * as disk from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { dirname, join, resolve } from 'node:path';
import { ClusterError } from '@cluster/core';
import { codeOf, dropFile, exists, refused, syncFolder, writeBody } from './disk.js';
import { LAYOUT_VERSION, MAGIC } from './record-file.js';
import { folderName, isShard } from './revision.js';

/** The folders of one context, all of them there and on the disk. */
export interface Place {
  readonly root: string;
  readonly keys: string;
  readonly making: string;
  readonly sockets: string;
  readonly unreadable: string;
}

// Types as statfs(2) gives them, of file systems that several hosts or kernels may share.
const SHARED_TYPES = new Map([
  [0x6969, 'NFS'], [0xff534d42, 'SMB'], [0xfe534d42, 'SMB'], [0x517b, 'SMB'], [0x65735546, 'FUSE'], [0x01021997, '9p'],
  [0x6a656a63, 'virtiofs'],
  [0x00c36400, 'Ceph'], [0x5346414f, 'AFS'], [0x0bd00bd0, 'Lustre'], [0x01161970, 'GFS2'], [0x7461636f, 'OCFS2'], [0x47504653, 'GPFS'],
  [0x786f4256, 'vboxsf'], [0xbacbacbc, 'vmhgfs'], [0x73757245, 'Coda'], [0x564c, 'NCP'],
]);

const badDirectory = (directory: string, found: string, cause?: unknown) => new ClusterError('CLUSTER_BAD_OPTION',
  `FilesystemStore: directory: expected a folder on a local disk that this process may write to, found ${found}: ${directory}`, { cause });

const meanings: Readonly<Record<string, string>> = {
  EEXIST: 'a file', ENOTDIR: 'a file', EACCES: 'one without permission', EPERM: 'one without permission or hard links',
  EROFS: 'a read-only file system', ENOTSUP: 'a file system without hard links', EOPNOTSUPP: 'a file system without hard links',
  ENAMETOOLONG: 'a path that is too long', ELOOP: 'a loop of symbolic links',
};

function describe(directory: string, error: unknown): ClusterError {
  if (error instanceof ClusterError) return error;
  const meaning = meanings[codeOf(error)];
  return meaning === undefined ? refused(directory, error) : badDirectory(directory, meaning, error);
}

/** What the type of a file system says against a store on it; undefined: nothing. */
export const sharedTypeName = (type: number): string | undefined => SHARED_TYPES.get(type >>> 0);

async function refuseSharedMount(directory: string): Promise<void> {
  // The numbers mean this on Linux only.
  if (process.platform !== 'linux') return;
  const shared = sharedTypeName((await disk.statfs(directory)).type);
  if (shared !== undefined) throw badDirectory(directory, `a ${shared} mount (allowNetworkMounts accepts it, for one host)`);
}

/** Step by step, since a recursive mkdir tells ENOENT whatever is wrong, and each new name has to be synced in its parent. */
async function makeDurably(path: string): Promise<void> {
  try {
    await disk.mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (codeOf(error) === 'EEXIST' && (await disk.stat(path)).isDirectory()) return;
    if (codeOf(error) !== 'ENOENT') throw error;
    await makeDurably(dirname(path));
    await disk.mkdir(path, { mode: 0o700 }).catch((again: unknown) => { if (codeOf(again) !== 'EEXIST') throw again; });
  }
  await syncFolder(disk, dirname(path));
}

async function lstatIfThere(path: string): Promise<Stats | undefined> {
  try {
    return await disk.lstat(path);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * Who can change a folder of the store, or put another one in its place, owns all sessions. Looked at without following links,
 * and before anything is made inside. One that is not there yet is no reason to refuse.
 */
async function refuseForeign(path: string): Promise<void> {
  const found = await lstatIfThere(path);
  if (found === undefined) return;
  const { uid, mode } = found;
  const own = process.geteuid?.();
  const wrong = found.isSymbolicLink() ? 'a symbolic link (remove it, and start again: the folder is made then)'
    : own !== undefined && uid !== own ? `one of uid ${uid} (run as that user; or, if you trust its content: chown -R ${own}, else remove it)`
      : (mode & 0o022) !== 0 ? `mode 0${(mode & 0o7777).toString(8)} (if you trust its content: chmod -R go-w, else remove it)`
        : undefined;
  if (wrong === undefined) return;
  throw new ClusterError('CLUSTER_BAD_OPTION', 'FilesystemStore: directory: expected a folder in it of '
    + `${own === undefined ? 'this user' : `uid ${own}`}, which runs this process, that nobody else may write to, found ${wrong}: ${path}`);
}

/** The shards are made with their first keys. */
async function refuseForeignShards(keys: string): Promise<void> {
  const shards = (await disk.readdir(keys)).filter(isShard);
  await Promise.all(shards.map((shard) => refuseForeign(join(keys, shard))));
}

async function makeOwn(path: string): Promise<void> {
  // Before as well, since a link that leads nowhere is nothing that can be made.
  await refuseForeign(path);
  await makeDurably(path);
  await refuseForeign(path);
}

const LAYOUT_MARK = `${MAGIC} ${LAYOUT_VERSION}\n`;

/** Linked from a draft, as revisions are: shows at start whether the file system can do that. */
async function markLayout(place: Place, path: string): Promise<void> {
  const draft = join(place.making, `layout-${randomBytes(8).toString('hex')}`);
  try {
    await writeBody(disk, draft, Buffer.from(LAYOUT_MARK));
    await disk.link(draft, path).catch((error: unknown) => { if (codeOf(error) !== 'EEXIST') throw error; });
  } finally {
    await dropFile(disk, draft);
  }
  await syncFolder(disk, place.root);
}

async function checkLayout(place: Place): Promise<void> {
  const path = join(place.root, 'layout');
  if (!(await exists(disk, path))) await markLayout(place, path);
  const found = await disk.readFile(path, 'utf8');
  if (found !== LAYOUT_MARK) {
    throw new ClusterError('CLUSTER_FOREIGN_VERSION', `${path}: expected '${LAYOUT_MARK.trim()}', found '${found.slice(0, 60).trim()}'`);
  }
}

/**
 * Makes and checks the folders of a context.
 * @throws ClusterError CLUSTER_BAD_OPTION if the directory cannot hold a store, or others could change the context's folder,
 * CLUSTER_FOREIGN_VERSION if it holds one of
 * another layout, CLUSTER_UNAVAILABLE if the disk is full
 */
export async function preparePlace(directory: string, context: string, allowNetworkMounts: boolean): Promise<Place> {
  const root = join(resolve(directory), folderName(context));
  const keys = join(root, 'keys');
  const place: Place = {
    root, keys, making: join(root, 'making'), sockets: join(root, 'sockets'), unreadable: join(root, 'unreadable'),
  };
  if (process.platform === 'win32') throw badDirectory(directory, 'Windows, where folders cannot be synced');
  try {
    await makeDurably(resolve(directory));
    if (!allowNetworkMounts) await refuseSharedMount(directory);
    for (const each of [root, keys, place.making, place.sockets, place.unreadable]) await makeOwn(each);
    await refuseForeign(join(root, 'sweeper'));
    await refuseForeignShards(keys);
    await disk.access(keys, constants.W_OK | constants.X_OK);
    await checkLayout(place);
  } catch (error) {
    throw describe(directory, error);
  }
  return place;
}

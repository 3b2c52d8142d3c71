import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isShard, keyOfFolder, shardOf } from './revision.js';

/** A key's folder in the order of a listing: by shard, then by name. */
export interface Position {
  readonly shard: string;
  readonly folder: string;
}

interface Listed {
  readonly key: string;
  readonly position: Position;
}

/**
 * All keys that have a folder, from behind `last` round to `last` itself. Names that the store did not give are passed over;
 * a shard that cannot be listed adds its error to `failures`, and the others follow.
 */
export async function* keysBehind(last: Position, keys: string, failures: unknown[]): AsyncGenerator<Listed> {
  const shards = await shardsIn(keys);
  const later = shards.filter((shard) => shard >= last.shard);
  const before: Listed[] = [];
  for (const shard of [...later, ...shards.filter((each) => each < last.shard)]) {
    const listed = await keysIn(keys, shard).catch((error: unknown) => { failures.push(error); return []; });
    const isBefore = ({ position }: Listed) => shard === last.shard && position.folder <= last.folder;
    before.push(...listed.filter(isBefore));
    yield* listed.filter((each) => !isBefore(each));
  }
  yield* before;
}

async function shardsIn(keys: string): Promise<string[]> {
  const entries = await readdir(keys, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory() && isShard(entry.name)).map(({ name }) => name).sort();
}

async function keysIn(keys: string, shard: string): Promise<Listed[]> {
  const folders = (await readdir(join(keys, shard))).sort();
  return folders.flatMap((folder) => {
    const key = keyOfFolder(folder);
    return key === undefined || shardOf(key) !== shard ? [] : { key, position: { shard, folder } };
  });
}

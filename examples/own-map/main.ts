import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DistributedManager } from '@cluster/core';
import { LmdbStore } from './lmdb-map.js';

declare module '@cluster/core' {
  interface SessionData { count: number }
}

const CHANGES = 100;

/** Each of the two processes: changes the same session a hundred times. */
async function change(path: string, id: string): Promise<void> {
  await using manager = new DistributedManager(new LmdbStore(path));
  for (let done = 0; done < CHANGES; done += 1) {
    await manager.update(id, (session) => { session.count = (session.count ?? 0) + 1; });
  }
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'own-map-'));
  try {
    const path = join(folder, 'sessions');
    await using manager = new DistributedManager(new LmdbStore(path));
    const session = manager.createSession();
    session.count = 0;
    await manager.sendSession(session);
    const processes = [0, 1].map(() => fork(import.meta.filename, [path, session.id]));
    await Promise.all(processes.map((child) => once(child, 'exit')));
    const found = await manager.findSession(session.id, { access: 'snapshot' });
    console.log(`two processes made ${2 * CHANGES} changes; in the session: ${found?.count ?? 0}`);
    if (found?.count !== 2 * CHANGES) process.exitCode = 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const [path, id] = process.argv.slice(2);
await (path === undefined || id === undefined ? main() : change(path, id));

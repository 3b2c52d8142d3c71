import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DistributedManager } from '@cluster/core';
import { until, type ServerProcess } from './server-process.js';

/** For longer than another node takes to lead, and to see that one that comes back has what was written meanwhile. */
const PAUSE_MS = 4_000;

const changesOf = (session: { get(name: string): unknown } | undefined) => (session?.get('changes') ?? []) as readonly string[]; // written below

/**
 * While two instances write without a pause one node is killed (`kill -9`) and started again, then all others, then all. Whoever leads is
 * among them at least twice.
 * @param open a manager over these nodes that does not run yet
 * @throws AssertionError if a change that was acknowledged is not there at the end, or was while most nodes were away
 */
export async function keepsChanges(nodes: readonly ServerProcess[], open: () => DistributedManager): Promise<void> {
  const managers = [open(), open()];
  let isOver = false;
  const acknowledged = new Set<string>();
  try {
    for (const manager of managers) await manager.start();
    const [first] = managers as [DistributedManager]; // made above
    const session = first.createSession();
    session.set('changes', []);
    await first.sendSession(session);
    const writing = managers.map(async (manager, writer) => {
      for (let n = 0; !isOver; n += 1) {
        const change = `${writer}.${n}`;
        const add = () => manager.update(session.id, (found) => { found.set('changes', [...changesOf(found), change]); });
        await add().then(() => { acknowledged.add(change); }, () => sleep(50));
        await sleep(20); // the list is written each time
      }
    });
    await sleep(PAUSE_MS);
    for (const killed of [nodes.slice(0, 1), nodes.slice(1), nodes]) {
      await Promise.all(killed.map((node) => node.kill()));
      await sleep(PAUSE_MS);
      const { size } = acknowledged;
      await sleep(PAUSE_MS / 2);
      if (2 * killed.length > nodes.length) assert.equal(acknowledged.size, size, 'changes that were acknowledged by less than a majority');
      await Promise.all(killed.map((node) => node.restart()));
      await until('changes are acknowledged again', async () => acknowledged.size > size, 60_000);
      await sleep(PAUSE_MS);
    }
    isOver = true;
    await Promise.all(writing);
    // It has nothing but what is on the nodes.
    const fresh = open();
    managers.push(fresh);
    await fresh.start();
    const kept = new Set(changesOf(await fresh.findSession(session.id, { access: 'snapshot' })));
    assert.deepEqual([...acknowledged].filter((change) => !kept.has(change)), []);
  } finally {
    isOver = true;
    await Promise.allSettled(managers.map((manager) => manager.stop()));
  }
}

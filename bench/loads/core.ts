import { setImmediate as breathe } from 'node:timers/promises';
import { DistributedManager, MemoryStore } from '@cluster/core';
import { median, spread } from '../report.js';

declare module '@cluster/core' {
  interface SessionData { count: number; user: { id: number; name: string }; text: string }
}

const TURNS = 20_000;
const ROUNDS = 9;
// Timers must run, or the lease's beats would not.
const BREATHE_EVERY = 500;

/** find + send in one process on the memory store, held and released, as µs per turn. */
export async function core(): Promise<boolean> {
  const rows = new Map<string, number[]>();
  const managers = { held: new DistributedManager(new MemoryStore(), { affinity: 'keep' }), released: new DistributedManager(new MemoryStore(), { affinity: 'release' }) };
  const loads: [string, () => Promise<void>][] = [];
  for (const [place, manager] of Object.entries(managers)) {
    const created = manager.createSession();
    Object.assign(created, { count: 0, user: { id: 1, name: 'somebody' }, text: 'x'.repeat(900) });
    await manager.sendSession(created);
    const { id } = created;
    loads.push([`${place}, exclusive, unchanged`, async () => {
      const session = await manager.findSession(id);
      if (session !== undefined) await manager.sendSession(session);
    }], [`${place}, snapshot, one attribute read`, async () => {
      const session = await manager.findSession(id, { access: 'snapshot' });
      if (session?.count === undefined) throw new Error('the session is gone');
      await manager.sendSession(session);
    }], [`${place}, one attribute changed`, async () => {
      await manager.update(id, (session) => { session.count = (session.count ?? 0) + 1; });
    }]);
  }
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [name, turn] of loads) {
      const startedMs = performance.now();
      for (let done = 0; done < TURNS; done += 1) {
        await turn();
        if (done % BREATHE_EVERY === 0) await breathe();
      }
      // The first rounds warm the compiler up.
      if (round >= 2) rows.set(name, [...rows.get(name) ?? [], (performance.now() - startedMs) * 1000 / TURNS]);
    }
  }
  console.log(`find + send on the memory store, µs per turn, ${ROUNDS - 2} interleaved rounds of ${TURNS}`);
  for (const [name, times] of rows) console.log(`${name.padEnd(40)} median ${median(times).toFixed(1)}  ${spread(times)}`);
  for (const manager of Object.values(managers)) await manager.stop();
  return true;
}

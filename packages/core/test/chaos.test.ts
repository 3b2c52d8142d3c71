import { it, expect } from '@jest/globals';
import { ClusterError } from '../src/index.js';
import { answerLost, callLost, Cluster, found, hangs, increment, refusedByStore, type Fate, type Instance } from './cluster.js';
import { random } from './random.js';

const seeds = process.env.CHAOS_SEEDS === undefined ? [1, 2, 3, 4, 5, 6] : Array.from({ length: Number(process.env.CHAOS_SEEDS) }, (_, seed) => seed + 1);

for (const seed of seeds) {
  it(`no acknowledged change is lost and every request ends, whatever the store does; seed ${seed}`, async () => {
    const chance = random(seed);
    const one = <T>(...of: readonly T[]): T => of[Math.floor(chance() * of.length)] as T;
    const cluster = new Cluster();
    const options = { lockTimeoutMs: 3_000, storeTimeoutMs: 300, leaseMs: 2_000, maxInMemory: { sessions: 3 } };
    const instances: Instance[] = [];
    for (const name of ['a', 'b', 'c']) instances.push(await cluster.add(name, { ...options, affinity: one('keep', 'release', 'auto') }));
    const ids: string[] = [];
    for (let count = 0; count < 4; count += 1) ids.push(await cluster.session(one(...instances)));
    const counts = new Map(ids.map((id) => [id, { acked: 0, unknown: 0 }]));
    const late: (() => Promise<unknown>)[] = [];
    const executedLate: Fate = (run) => {
      late.push(run);
      return new Promise(() => undefined);
    };
    const slow: Fate = async (run) => {
      await new Promise<void>((resolve) => { cluster.clock.timer(resolve, chance() * 250); });
      return run();
    };
    const later: Fate = async (run) => {
      const answer = await run();
      await new Promise<void>((resolve) => { cluster.clock.timer(resolve, chance() * 250); });
      return answer;
    };
    const pending: Promise<void>[] = [];
    const ask = async ({ manager }: Instance, id: string): Promise<void> => {
      const count = counts.get(id) ?? { acked: 0, unknown: 0 };
      const abort = new AbortController();
      if (chance() < 0.1) cluster.clock.timer(() => { abort.abort(); }, chance() * 500);
      let isSending = false;
      const { acked } = count;
      try {
        const session = await found(manager.findSession(id, { signal: abort.signal }));
        expect(Number(session.get('n'))).toBeGreaterThanOrEqual(acked);
        if (chance() < 0.3) await new Promise<void>((resolve) => { cluster.clock.timer(resolve, chance() * 100); });
        if (chance() < 0.1) {
          await manager.releaseSession(session);
          return;
        }
        increment(session);
        isSending = true;
        if (chance() < 0.1) await manager.sendSession(session, { release: false });
        await manager.sendSession(session);
        count.acked += 1;
      } catch (error) {
        if (error === abort.signal.reason) return;
        if (!ClusterError.is(error)) throw error;
        // The others say that certainly nothing was stored.
        if (isSending && error.code === 'CLUSTER_UNKNOWN_OUTCOME') count.unknown += 1;
        expect(error.code).toMatch(/LOCKED|FENCED|UNKNOWN_OUTCOME|UNAVAILABLE/);
      }
    };
    const look = async ({ manager }: Instance, id: string): Promise<void> => {
      const { acked = 0 } = counts.get(id) ?? {};
      try {
        const snapshot = await found(manager.findSession(id, { access: 'snapshot' }));
        // No read older than the last acknowledged change.
        expect(Number(snapshot.get('n'))).toBeGreaterThanOrEqual(acked);
      } catch (error) {
        if (!ClusterError.is(error)) throw error;
      }
    };
    for (let step = 0; step < 150; step += 1) {
      const instance = one(...instances);
      if (chance() < 0.25) instance.table.next(one('acquire', 'commit', 'commit', 'read', 'touch', 'beat'), one(answerLost, callLost, hangs, executedLate, executedLate, slow, later, refusedByStore));
      if (chance() < 0.05) instance.table.isDeaf = !instance.table.isDeaf;
      if (chance() < 0.03) instance.table.answersSignals = one<(() => boolean | undefined) | undefined>(undefined, () => true, () => (chance() < 0.5 ? true : undefined));
      if (chance() < 0.01) instance.table.next('beat', ...Array.from({ length: 12 }, () => hangs)); // its lease lapses
      if (chance() < 0.2) void late.splice(Math.floor(chance() * late.length), 1)[0]?.().catch(() => undefined);
      pending.push(ask(one(...instances), one(...ids)), look(one(...instances), one(...ids)));
      await cluster.clock.advance(one(0, 0, 1, 5, 20, 100));
    }
    for (const { table } of instances) table.behave();
    await cluster.clock.advance(20_000);
    await cluster.within(1_000, Promise.all(pending));
    for (const run of late) await run().catch(() => undefined);
    for (const { manager } of instances) expect(manager.health()).toMatchObject({ running: 0, waiting: 0 });
    let total = 0;
    for (const [id, { acked, unknown }] of counts) {
      const { n } = await cluster.stored(id) ?? {};
      expect(n).toBeGreaterThanOrEqual(acked);
      expect(n).toBeLessThanOrEqual(acked + unknown);
      total += acked;
      for (const instance of instances) await cluster.within(3_000, instance.manager.update(id, increment));
      expect(await cluster.stored(id)).toEqual({ n: Number(n) + 3 });
    }
    expect(total).toBeGreaterThan(50);
    await cluster.stop();
  });
}

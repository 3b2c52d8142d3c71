import { DistributedManager } from '@cluster/core';
import { NatsStore } from '@cluster/store-nats';
import { NatsCluster } from '../../scripts/services/nats-cluster.js';
import { NatsServer } from '../../scripts/services/nats.js';
import { median, Report, spread } from '../report.js';

const ROUNDS = 5;
const CHANGES = 200;
const AT_ONCE = 64;
const TEXT = 'x'.repeat(2_000);

declare module '@cluster/core' {
  interface SessionData { count: number; text: string }
}

/** One way to run NATS, with sessions that are held. */
interface Setup { readonly name: string; readonly manager: DistributedManager; readonly ids: readonly string[]; stop(): Promise<void> }

async function setUp(name: string, replicas: number, syncAlways: boolean): Promise<Setup> {
  const nats = replicas === 1 ? await NatsServer.start({ syncAlways }) : await NatsCluster.start({ syncAlways });
  const servers = nats instanceof NatsServer ? nats.url : [...nats.urls];
  const manager = new DistributedManager(new NatsStore({ connect: { servers }, replicas }), { context: 'sync', affinity: 'keep', storeTimeoutMs: 10_000 });
  await manager.start();
  const ids = await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    const session = manager.createSession();
    session.set('count', 0);
    session.set('text', TEXT);
    await manager.sendSession(session);
    return session.id;
  }));
  return { name, manager, ids, stop: async () => { await manager.stop(); await nats.stop(); } };
}

const change = ({ manager }: Setup, id: string): Promise<unknown> =>
  manager.update(id, (session) => { session.set('count', Number(session.get('count')) + 1); });

/** Milliseconds for each of some changes, one after another. */
async function alone(setup: Setup): Promise<number[]> {
  const tookMs: number[] = [];
  for (let n = 0; n < CHANGES; n += 1) {
    const sentMs = performance.now();
    await change(setup, setup.ids[n % AT_ONCE] ?? '');
    tookMs.push(performance.now() - sentMs);
  }
  return tookMs;
}

/** Changes per second of as many sessions at once. */
async function together(setup: Setup): Promise<number> {
  const startedMs = performance.now();
  await Promise.all(setup.ids.map(async (id) => { for (let n = 0; n < CHANGES / 10; n += 1) await change(setup, id); }));
  return AT_ONCE * CHANGES / 10 / (performance.now() - startedMs) * 1_000;
}

/** What `sync_interval: always` costs: changes of held sessions, on one server and on three. */
export async function natsSync([count = String(ROUNDS)]: readonly string[], writes: boolean): Promise<boolean> {
  const report = new Report('nats-sync', `${count} interleaved rounds after one to warm up; changes of held sessions of 2 KB: ${CHANGES} one after another, then of ${AT_ONCE} sessions at once`);
  const setups: Setup[] = [];
  try {
    for (const [replicas, where] of [[1, 'one server'], [3, 'three servers, three replicas']] as const) {
      setups.push(await setUp(where, replicas, false), await setUp(`${where}, sync_interval: always`, replicas, true));
    }
    const taken = new Map(setups.map((setup) => [setup, { ms: [] as number[], perSecond: [] as number[] }]));
    for (let round = -1; round < Number(count); round += 1) {
      for (const [setup, { ms, perSecond }] of taken) {
        const [each, rate] = [await alone(setup), await together(setup)];
        if (round >= 0) ms.push(median(each));
        if (round >= 0) perSecond.push(rate);
      }
    }
    report.table(['', 'ms for a change, p50', 'spread of rounds', 'changes per second, 64 at once', 'spread of rounds'], [...taken].map(([{ name }, { ms, perSecond }]) =>
      [name, median(ms).toFixed(2), spread(ms, 2), median(perSecond).toFixed(0), spread(perSecond, 0)]));
    if (writes) report.write();
    return report.met;
  } finally {
    await Promise.all(setups.map((setup) => setup.stop()));
  }
}

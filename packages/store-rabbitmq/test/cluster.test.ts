import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { DistributedManager } from '@cluster/core';
import { RabbitServer } from '../../../scripts/services/rabbitmq.js';
import { until } from '../../../scripts/services/server-process.js';
import { RabbitStore } from '../src/index.js';

/** For longer than another node takes to lead, and to see that the one that comes back has what was written meanwhile. */
const PAUSE_MS = 4_000;

/** Three nodes take a minute; who asks for them by RABBITMQ_NODES=3 has them. */
const nodesWanted = Number(process.env['RABBITMQ_NODES'] ?? 1);

const changesOf = (session: { get(name: string): unknown } | undefined) => (session?.get('changes') ?? []) as readonly string[]; // written below

describe(nodesWanted === 3 ? 'over three nodes' : 'over one node', () => {
  it('no acknowledged change is lost when each is killed in turn, then most of them, then all, while two instances write', async () => {
    const nodes = nodesWanted === 3 ? await RabbitServer.together(3) : [await RabbitServer.start()];
    const urls = nodes.map(({ url }) => url);
    const open = () => new DistributedManager(new RabbitStore({ urls: [...urls].reverse(), replicas: nodes.length }), {
      context: 'shop', leaseMs: 20_000, storeTimeoutMs: 10_000, lockTimeoutMs: 20_000,
    });
    const managers: DistributedManager[] = [];
    let isOver = false;
    try {
      managers.push(open(), open());
      for (const manager of managers) await manager.start();
      const session = managers[0]!.createSession();
      session.set('changes', []);
      await managers[0]!.sendSession(session);
      const acknowledged = new Set<string>();
      const write = async (manager: DistributedManager, writer: number) => {
        for (let n = 0; !isOver; n += 1) {
          const change = `${writer}.${n}`;
          const add = () => manager.update(session.id, (found) => { found.set('changes', [...changesOf(found), change]); });
          await add().then(() => { acknowledged.add(change); }, () => sleep(50));
          await sleep(20); // the list is written each time
        }
      };
      const writing = managers.map(write);
      await sleep(2 * PAUSE_MS);
      // What the page says to look at.
      const status = await nodes[0]?.tell('rabbitmq-streams', 'stream_status', 'cluster.shop');
      expect(status?.match(/(writer|replica) .*@localhost/g)).toHaveLength(nodes.length);
      const most = nodes.slice(1);
      for (const killed of [...nodes.map((node) => [node]), ...nodes.length === 1 ? [] : [most, nodes]]) {
        await Promise.all(killed.map((node) => node.kill()));
        await sleep(PAUSE_MS);
        const { size } = acknowledged;
        await sleep(PAUSE_MS / 2);
        if (2 * killed.length > nodes.length) expect(acknowledged.size).toBe(size);
        await Promise.all(killed.map((node) => node.restart()));
        await until('changes are acknowledged again', async () => acknowledged.size > size);
        await sleep(PAUSE_MS);
      }
      isOver = true;
      await Promise.all(writing);
      // It has nothing but what is in the stream.
      const fresh = open();
      managers.push(fresh);
      const kept = new Set(changesOf(await fresh.findSession(session.id, { access: 'snapshot' })));
      expect([...acknowledged].filter((change) => !kept.has(change))).toEqual([]);
      expect(acknowledged.size).toBeGreaterThan(0);
    } finally {
      isOver = true;
      await Promise.allSettled(managers.map((manager) => manager.stop()));
      await Promise.allSettled(nodes.map((node) => node.stop()));
    }
  }, 240_000);
});

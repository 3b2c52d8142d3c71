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

describe(nodesWanted === 3 ? 'over three nodes' : 'over one node', () => {
  it('no acknowledged change is lost when each is killed in turn while two instances write', async () => {
    const nodes = nodesWanted === 3 ? await RabbitServer.together(3) : [await RabbitServer.start()];
    const urls = nodes.map(({ url }) => url);
    const open = () => new DistributedManager(new RabbitStore({ urls: [...urls].reverse(), replicas: nodes.length }), {
      context: 'shop', leaseMs: 20_000, storeTimeoutMs: 10_000, lockTimeoutMs: 20_000,
    });
    const managers = [open(), open()];
    for (const manager of managers) await manager.start();
    const session = managers[0]!.createSession();
    session.set('count', 0);
    await managers[0]!.sendSession(session);
    let [acknowledged, isOver] = [0, false];
    const write = async (manager: DistributedManager) => {
      while (!isOver) {
        await manager.update(session.id, (found) => { found.set('count', Number(found.get('count')) + 1); }).then(() => { acknowledged += 1; }, () => sleep(50));
      }
    };
    const writing = managers.map(write);
    await sleep(2 * PAUSE_MS);
    for (const node of nodes) {
      await node.kill();
      await sleep(PAUSE_MS);
      await node.restart();
      const before = acknowledged;
      await until('changes are acknowledged again', async () => acknowledged > before);
      await sleep(PAUSE_MS);
    }
    isOver = true;
    await Promise.all(writing);
    const found = await managers[1]!.findSession(session.id, { access: 'snapshot' });
    expect(found?.get('count')).toBeGreaterThanOrEqual(acknowledged);
    await Promise.all(managers.map((manager) => manager.stop()));
    await Promise.all(nodes.map((node) => node.stop()));
  }, 120_000);
});

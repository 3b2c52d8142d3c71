import { afterAll, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { DistributedManager } from '@cluster/core';
import { RedisServer } from '../../../scripts/services/redis.js';
import { RedisStore } from '../src/index.js';
import { Ear } from './ear.js';
import { tableOver } from './table-over.js';

const server = await RedisServer.start();
afterAll(() => server.stop());

/** As often as Redis is not there yet. */
async function atLast<A>(ask: () => Promise<A>, tries = 200): Promise<A> {
  try {
    return await ask();
  } catch (error) {
    if (tries === 0) throw error;
    await sleep(10);
    return atLast(ask, tries - 1);
  }
}

/** Redis has of now what it had then: a rollback. */
async function restartedWithWhatItHad(change: () => Promise<unknown>): Promise<void> {
  await server.send('SAVE');
  await change();
  await server.restart();
}

it('a lease is not ended for the time in which there was no server to beat at, and ends if no beat follows', async () => {
  const table = tableOver(server.url);
  await table.start(new Ear('a').context);
  for (const incarnation of ['a.1', 'a.2']) await table.beat(incarnation, 0, 3_000);
  await sleep(20);
  expect(await table.lapse('a.1', 1)).toBe(0);
  await restartedWithWhatItHad(() => table.beat('a.2', 1, 3_000));
  expect(await atLast(() => table.lapse('a.2', 1))).toBeGreaterThan(200); // a tenth of the lease, and nearly no time has passed
  expect(await table.beat('a.2', 2, 3_000)).toHaveProperty('generation');
  await table.beat('a.3', 0, 3_000);
  await restartedWithWhatItHad(() => Promise.resolve());
  let waits = 0;
  while (await atLast(() => table.lapse('a.3', 1)) > 0) {
    waits += 1;
    await sleep(20);
  }
  expect(waits).toBeGreaterThan(5);
  expect(await table.beat('a.3', 1, 3_000)).toBe('lapsed');
  await table.stop();
});

it('who asks for a session right after Redis lost its last moments gets what its live holder had', async () => {
  const managers = ['a', 'b'].map((instanceId) => new DistributedManager(new RedisStore({ url: server.url, instanceId }), { context: 'shop', affinity: 'keep' }));
  const [holder, other] = managers;
  if (holder === undefined || other === undefined) throw new Error('two were made');
  await Promise.all(managers.map((manager) => manager.start()));
  const session = holder.createSession();
  session.set('count', 0);
  await holder.sendSession(session);
  const add = (manager: DistributedManager) => manager.update(session.id, (found) => { found.set('count', Number(found.get('count')) + 1); });
  for (let count = 3; count < 12; count += 3) {
    await add(holder);
    await restartedWithWhatItHad(() => add(holder)); // acknowledged, and lost
    await atLast(() => add(other));
    expect((await other.findSession(session.id, { access: 'snapshot' }))?.get('count')).toBe(count);
  }
  await Promise.all(managers.map((manager) => manager.stop()));
});

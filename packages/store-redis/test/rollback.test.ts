import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { DistributedManager } from '@cluster/core';
import { RedisServer } from '../../../scripts/services/redis.js';
import { RedisStore } from '../src/index.js';

let server: RedisServer;
let admin: Redis;
let holder: DistributedManager;
let other: DistributedManager;
const failed: string[] = [];

beforeEach(async () => {
  failed.length = 0;
  server = await RedisServer.start();
  admin = new Redis(server.url);
  [holder, other] = ['a', 'b'].map((instanceId) => new DistributedManager(new RedisStore({ url: server.url, instanceId }), { context: 'shop', affinity: 'keep', leaseMs: 3_000 })) as
    [DistributedManager, DistributedManager]; // as many as names
  for (const manager of [holder, other]) {
    manager.on('sendFailed', ({ session }) => { failed.push(session); });
    await manager.start();
  }
});
afterEach(async () => {
  await Promise.all([holder.stop(), other.stop()]);
  admin.disconnect();
  await server.stop();
});

const keyOf = (id: string) => `cluster:shop.s.${createHash('sha256').update(id).digest('hex')}`;
const countOf = async (id: string) => (await other.findSession(id, { access: 'snapshot' }))?.get('count');
const add = (manager: DistributedManager, id: string) => manager.update(id, (session) => { session.set('count', Number(session.get('count')) + 1); });

async function made(): Promise<string> {
  const session = holder.createSession();
  session.set('count', 0);
  await holder.sendSession(session);
  await add(holder, session.id);
  return session.id;
}

const stateOf = (id: string) => admin.dumpBuffer(keyOf(id));

/** What a fail-over to a server that has this state does: the content is that one, and the timeline another one. Resolves when both have noticed. */
async function rollBack(id: string, state: Buffer | undefined): Promise<void> {
  const noticed = Promise.all([holder, other].map((manager) => new Promise((resolve) => { manager.on('generation', resolve); })));
  const swap = admin.multi().del(keyOf(id));
  if (state !== undefined) swap.restore(keyOf(id), 600_000, state);
  await swap.exec();
  await server.send('REPLICAOF', '127.0.0.1', '1');
  await server.send('REPLICAOF', 'NO', 'ONE');
  await noticed;
}

describe('after Redis has rolled back', () => {
  it('the holder writes back what it has, if the session was its own at that time already', async () => {
    const id = await made();
    const state = await stateOf(id);
    await add(holder, id);
    await rollBack(id, state);
    await add(holder, id);
    expect(await countOf(id)).toBe(3);
    expect(failed).toEqual([]);
  });

  it('a session is as Redis has it, if its holder got it later', async () => {
    const id = await made();
    const state = await stateOf(id);
    await add(other, id);
    await rollBack(id, state);
    await add(other, id);
    expect(await countOf(id)).toBe(2);
    await add(holder, id);
    expect(await countOf(id)).toBe(3);
  });

  it('a session that was made later is gone', async () => {
    const id = await made();
    await rollBack(id, undefined);
    expect(await holder.findSession(id)).toBeUndefined();
    expect(await countOf(id)).toBeUndefined();
  });

  it('a session that was ended later is there again', async () => {
    const id = await made();
    const state = await stateOf(id);
    await holder.removeSession(id);
    await rollBack(id, state);
    expect(await countOf(id)).toBe(1);
  });
});

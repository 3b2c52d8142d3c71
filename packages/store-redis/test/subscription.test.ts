import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { RedisServer } from '../../../scripts/services/redis.js';
import { clientOf, IoredisConnection } from '../src/connection.js';
import { RedisTable } from '../src/redis-table.js';
import { Ear } from './ear.js';
import { tableOver } from './table-over.js';

let server: RedisServer;
beforeAll(async () => { server = await RedisServer.start(); });
afterAll(() => server.stop());

async function begun(ear: Ear) {
  const table = tableOver(server.url);
  await table.start(ear.context);
  return table;
}

describe('an instance', () => {
  it('hears when start resolves', async () => {
    const ear = new Ear('web-1');
    const table = await begun(ear);
    expect(ear.heard).toEqual([true]);
    await table.stop();
  });

  it('that is stopped is not told that it hears nothing, nor hears again', async () => {
    const ear = new Ear('web-1');
    const table = await begun(ear);
    await table.stop();
    const [next, other] = [new Ear('web-1'), new Ear('web-2')];
    const [second, third] = [await begun(next), await begun(other)];
    await next.hears(third, 'hello');
    expect(ear.received).toEqual([]);
    await second.stop();
    await third.stop();
  });

  it('whose connection for signals is cut is told so, and hears again', async () => {
    const ear = new Ear('web-1');
    const table = await begun(ear);
    await server.send('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await ear.hears(table, 'again');
    expect(ear.heard).toEqual([true, false, true]);
    await table.stop();
  });

  it('that listens where no signals go, as after a fail-over, finds out by a signal to itself', async () => {
    const [ear, former] = [new Ear('web-1'), await RedisServer.start()];
    const [here, elsewhere] = [new IoredisConnection(clientOf(server.url)), new IoredisConnection(clientOf(former.url))];
    let isOver = false;
    jest.spyOn(here, 'subscribers').mockImplementation(() => (isOver ? new IoredisConnection(clientOf(server.url)) : elsewhere).subscribers());
    const table = new RedisTable({ connect: () => here, isCluster: false, prefix: 'cluster:', database: 0 });
    await table.start(ear.context);
    isOver = true;
    expect(await table.signal('web-1', 'lost')).toBe(false);
    await ear.hears(table, 'found');
    expect([ear.received, ear.heard]).toEqual([['found'], [true, false, true]]);
    await table.stop();
    await former.stop();
  });

  it('of the same name in another database hears nothing of it', async () => {
    const [ear, other] = [new Ear('web-1'), new Ear('web-1')];
    const table = await begun(ear);
    const elsewhere = tableOver(`${server.url}/1`, 1);
    await elsewhere.start(other.context);
    await ear.hears(table, 'here');
    expect(other.received).toEqual([]);
    await table.stop();
    await elsewhere.stop();
  });
});

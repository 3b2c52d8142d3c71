import { afterAll, describe, expect, it } from '@jest/globals';
import { testDriver, testStore } from '@cluster/conformance';
import { RedisServer } from '../../../scripts/services/redis.js';
import { documentedUser, expectEachRightUsed, newerThan62 } from './least-rights.js';
import { program, tableOver } from './table-over.js';

const server = await RedisServer.start();
const user = documentedUser('single');
await user.makeAt(server);
const url = `redis://${user.username}:${user.password}@${server.host}:${server.port}/1`;

testDriver({ describe, it }, { open: () => tableOver(url, 1) });

testStore({ describe, it }, { ...program, config: { url }, takeOverMs: 1_500 });

describe('the rights that the documentation gives to a user of Redis', () => {
  it('were enough for all of this, and each was needed', async () => {
    await expectEachRightUsed([server], user.rights);
  });

  it('are to commands that Redis 6.2 has', async () => {
    expect(await newerThan62(server, user.rights)).toEqual([]);
  });
});

afterAll(() => server.stop());

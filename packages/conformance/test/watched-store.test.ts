import { expect, it } from '@jest/globals';
import { DistributedManager, MemoryStore } from '@cluster/core';
import type { SessionTable } from '@cluster/core/driver';
import { watched, type Accepted } from '../src/processes/watched-store.js';

it('a store that is watched tells of each change of a session that it accepted, and of no other record', async () => {
  const accepted: Accepted[] = [];
  const manager = new DistributedManager(watched(new MemoryStore(), (change) => { accepted.push(change); }).store);
  await manager.start();
  expect(accepted).toEqual([]);
  const session = manager.createSession();
  session.set('n', 1);
  await manager.sendSession(session);
  await manager.update(session.id, (found) => { found.set('n', 2); });
  await manager.update(session.id, () => undefined);
  const found = await manager.findSession(session.id);
  if (found === undefined) throw new Error('the session is there');
  const moved = await manager.changeSessionId(found);
  moved.set('n', 3);
  await manager.sendSession(moved);
  await manager.stop();
  expect(accepted.map(({ version }) => version)).toEqual([1, 2, 1, 2]);
  const [first, second, third, fourth] = accepted.map(({ key }) => key);
  expect([second, fourth]).toEqual([first, third]);
  expect(third).not.toBe(first);
});

it('what a watched store says of itself at once it says at once', async () => {
  const said = { bytes: 5, maxBytes: 7 };
  const store = new MemoryStore();
  // The door through which a manager gets it.
  const table = Reflect.get(store, Symbol.for('@cluster/core/table')) as SessionTable;
  table.stored = () => said;
  const manager = new DistributedManager(watched(store, () => undefined).store);
  await manager.start();
  expect(manager.health().stored).toBe(said);
  await manager.stop();
});

import 'reflect-metadata';
import { it, expect } from '@jest/globals';
import { Container } from 'inversify';
import { ClusterStore, DistributedManager, Manager, MemoryStore } from '../src/index.js';
import { managerModule } from '../src/inversify.js';

it('a container gives one manager over the store that it has, and stops it when it lets it go', async () => {
  const container = new Container();
  container.load(managerModule({ context: 'shop', affinity: 'keep' }));
  const store = new MemoryStore();
  container.bind(ClusterStore).toConstantValue(store);
  const manager = container.get<Manager>(Manager);
  expect(manager).toBeInstanceOf(DistributedManager);
  expect(container.get<Manager>(Manager)).toBe(manager);
  expect([manager.store, manager.context]).toEqual([store, 'shop']);
  await manager.start();
  await container.unbindAllAsync();
  expect(manager.health().status).toBe('stopped');
});

it('the tokens are the same in every installed copy', () => {
  expect([Manager, ClusterStore]).toEqual([Symbol.for('@cluster/core/Manager'), Symbol.for('@cluster/core/ClusterStore')]);
});

it('options that do not fit are named when the manager is made', () => {
  const container = new Container();
  container.load(managerModule({ maxWaiting: -1 }));
  container.bind(ClusterStore).toConstantValue(new MemoryStore());
  expect(() => container.get<Manager>(Manager)).toThrow(/maxWaiting/);
});

import { describe, it, expect } from '@jest/globals';
import { MAX_REMOTE, RequestQueue } from '../src/engine/request-queue.js';

const claim = (instance: string, grant = 'g') => ({ incarnation: `${instance}.0`, grant });

describe('the request queue', () => {
  const waiter = (sinceMs: number) => ({ sinceMs, isShared: false, admit: () => undefined, refuse: () => undefined, heard: () => undefined });

  it('puts the claims of other instances by waiting time, one per incarnation, before younger requests', () => {
    const queue = new RequestQueue();
    queue.add(waiter(20));
    queue.addRemote(claim('b', 'b1'), 30, 100);
    expect(queue.dueRemote).toBe(undefined);
    queue.addRemote(claim('c'), 10, 100);
    queue.addRemote(claim('b', 'b2'), 40, 200);
    expect(queue.dueRemote?.claim).toEqual(claim('c'));
    expect(queue.takeRemotes()).toEqual([{ claim: claim('c'), sinceMs: 10, askedMs: 100 }, { claim: claim('b', 'b2'), sinceMs: 30, askedMs: 200 }]);
    expect([queue.dueRemote, queue.localCount, queue.isEmpty]).toEqual([undefined, 1, false]);
  });

  it('is awaited by every request here, and by claims that were repeated within the last half second', () => {
    const queue = new RequestQueue();
    expect(queue.isAwaited(0)).toBe(false);
    queue.addRemote(claim('b'), 0, 500);
    expect([queue.isAwaited(999), queue.isAwaited(1000)]).toEqual([true, false]);
    queue.addRemote(claim('b'), 0, 1200);
    expect(queue.isAwaited(1600)).toBe(true);
    queue.add(waiter(0));
    expect(queue.isAwaited(99_999)).toBe(true);
  });

  it('gives out those that share the session, oldest first, up to whoever is due before and does not', () => {
    const queue = new RequestQueue();
    const [first, second, alone, third] = [waiter(1), waiter(2), waiter(3), waiter(4)].map((each, index) => ({ ...each, isShared: index !== 2 }));
    for (const each of [first, second, alone, third]) if (each !== undefined) queue.add(each);
    expect([queue.takeShared(), queue.takeShared(), queue.takeShared()]).toEqual([first, second, undefined]);
    expect(queue.takeLocal()).toBe(alone);
    queue.addRemote(claim('b'), 3, 3);
    expect(queue.takeShared()).toBe(undefined);
  });

  it('holds at most 64 claims', () => {
    const queue = new RequestQueue();
    for (let count = 0; count < 100; count += 1) queue.addRemote(claim(`i${count}`), count, 100);
    expect(queue.takeRemotes().length).toBe(MAX_REMOTE);
  });
});

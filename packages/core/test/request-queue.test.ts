import { describe, it, expect } from '@jest/globals';
import { MAX_REMOTE, RequestQueue } from '../src/engine/request-queue.js';

const claim = (instance: string, grant = 'g') => ({ incarnation: `${instance}.0`, grant });

describe('the request queue', () => {
  const waiter = (sinceMs: number) => ({ sinceMs, admit: () => undefined, refuse: () => undefined });

  it('puts the claims of other instances by waiting time, one per incarnation, before younger requests', () => {
    const queue = new RequestQueue();
    queue.add(waiter(20));
    queue.addRemote(claim('b', 'b1'), 30);
    expect(queue.dueRemote).toBe(undefined);
    queue.addRemote(claim('c'), 10);
    queue.addRemote(claim('b', 'b2'), 40);
    expect(queue.dueRemote?.claim).toEqual(claim('c'));
    expect(queue.takeRemotes()).toEqual([{ claim: claim('c'), sinceMs: 10 }, { claim: claim('b', 'b2'), sinceMs: 30 }]);
    expect([queue.dueRemote, queue.localCount, queue.isEmpty]).toEqual([undefined, 1, false]);
  });

  it('holds at most 64 claims', () => {
    const queue = new RequestQueue();
    for (let count = 0; count < 100; count += 1) queue.addRemote(claim(`i${count}`), count);
    expect(queue.takeRemotes().length).toBe(MAX_REMOTE);
  });
});

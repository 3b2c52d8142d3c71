import { afterEach, describe, it, expect } from '@jest/globals';
import { Cluster, eventsOf, found, Gate, increment } from './cluster.js';

let cluster = new Cluster();
afterEach(async () => {
  await cluster.stop();
  cluster = new Cluster();
});

const limit = { lockHoldMs: 1_000 };

describe('lockHoldMs', () => {
  it('cuts off who holds a session for longer while another request waits: its handle throws, its change is refused', async () => {
    const a = await cluster.add('a', limit);
    const id = await cluster.session(a);
    const slow = await found(a.manager.findSession(id, { label: 'POST /slow' }));
    increment(slow);
    await cluster.clock.advance(300);
    const next = a.manager.update(id, increment);
    await cluster.clock.advance(690);
    expect(a.manager.health()).toMatchObject({ running: 1, waiting: 1 });
    await cluster.within(20, next);
    expect(() => { increment(slow); }).toThrow(expect.objectContaining({ code: 'CLUSTER_SESSION_ENDED' }));
    const failure = await cluster.failure(10, a.manager.sendSession(slow));
    expect(failure.code).toBe('CLUSTER_FENCED');
    expect(failure.message).toMatch(/1000 ms while others waited.*lockHoldMs: 1000/);
    expect(await cluster.stored(id)).toEqual({ n: 1 });
    expect(eventsOf(a, 'cutOff')).toEqual([{ session: expect.any(String), label: 'POST /slow', heldMs: 1000 }]);
  });

  it('cuts off for a waiter that comes later at once, and for one of another instance', async () => {
    const [a, b] = [await cluster.add('a', limit), await cluster.add('b', limit)];
    const id = await cluster.session(a);
    const slow = await found(a.manager.findSession(id));
    increment(slow);
    await cluster.clock.advance(5_000);
    expect(a.manager.health().running).toBe(1);
    await cluster.within(100, b.manager.update(id, increment));
    expect((await cluster.failure(10, a.manager.sendSession(slow))).code).toBe('CLUSTER_FENCED');
    expect(await cluster.stored(id)).toEqual({ n: 1 });
  });

  it('lets who changed nothing end in peace', async () => {
    const a = await cluster.add('a', limit);
    const id = await cluster.session(a);
    const slow = await found(a.manager.findSession(id));
    await cluster.clock.advance(2_000);
    await cluster.within(100, a.manager.update(id, increment));
    await a.manager.sendSession(slow);
    await a.manager.releaseSession(slow);
    expect(await cluster.stored(id)).toEqual({ n: 1 });
  });

  it('counts from the grant of each holder, not from the arrival', async () => {
    const a = await cluster.add('a', limit);
    const id = await cluster.session(a);
    const first = await found(a.manager.findSession(id));
    const second = found(a.manager.findSession(id));
    const third = a.manager.update(id, increment);
    await cluster.clock.advance(900);
    await a.manager.sendSession(first);
    const session = await second;
    await cluster.clock.advance(900);
    increment(session);
    await cluster.within(10, a.manager.sendSession(session));
    await cluster.within(10, third);
    expect(await cluster.stored(id)).toEqual({ n: 2 });
  });

  it('does not count a claim that has given up', async () => {
    const [a, b] = [await cluster.add('a', limit), await cluster.add('b', limit)];
    const id = await cluster.session(a);
    const slow = await found(a.manager.findSession(id));
    expect((await cluster.failure(500, b.manager.findSession(id, { waitMs: 200 }))).code).toBe('CLUSTER_LOCKED');
    await cluster.clock.advance(5_000);
    increment(slow);
    await cluster.within(10, a.manager.sendSession(slow));
    expect(await cluster.stored(id)).toEqual({ n: 1 });
  });

  it('leaves a change alone that is being stored', async () => {
    const a = await cluster.add('a', limit);
    const id = await cluster.session(a);
    const slow = await found(a.manager.findSession(id));
    increment(slow);
    const next = a.manager.update(id, increment);
    await cluster.clock.advance(990);
    const gate = new Gate();
    a.table.next('commit', gate.fate);
    const saved = a.manager.sendSession(slow, { release: false });
    await cluster.clock.advance(500);
    gate.open();
    await cluster.within(10, saved);
    await cluster.within(150, next);
    expect(() => { increment(slow); }).toThrow(expect.objectContaining({ code: 'CLUSTER_SESSION_ENDED' }));
    expect(await cluster.stored(id)).toEqual({ n: 2 });
  });

  it('of 0 cuts nobody off', async () => {
    const a = await cluster.add('a', { lockHoldMs: 0, lockTimeoutMs: 100_000 });
    const id = await cluster.session(a);
    const slow = await found(a.manager.findSession(id));
    const next = a.manager.update(id, increment);
    await cluster.clock.advance(60_000);
    increment(slow);
    await cluster.within(10, a.manager.sendSession(slow));
    await cluster.within(10, next);
    expect(await cluster.stored(id)).toEqual({ n: 2 });
  });

  it('cuts off those that share a session one by one, each by its own time', async () => {
    const a = await cluster.add('a', limit);
    const id = await cluster.session(a);
    const old = await found(a.manager.findSession(id, { access: 'shared' }));
    old.set('x', 1);
    await cluster.clock.advance(800);
    const young = await found(a.manager.findSession(id, { access: 'shared' }));
    const next = a.manager.update(id, increment);
    await cluster.clock.advance(400);
    expect(() => { increment(old); }).toThrow(expect.objectContaining({ code: 'CLUSTER_SESSION_ENDED' }));
    const failure = await cluster.failure(10, a.manager.sendSession(old));
    expect(failure).toMatchObject({ code: 'CLUSTER_FENCED', message: expect.stringContaining('stored only if others that share the session send it') });
    increment(young);
    await cluster.within(10, a.manager.sendSession(young));
    await cluster.within(10, next);
    expect(await cluster.stored(id)).toEqual({ n: 2, x: 1 });
  });
});

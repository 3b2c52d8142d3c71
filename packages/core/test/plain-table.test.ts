import { afterEach, describe, it, expect } from '@jest/globals';
import { behind } from '../src/driver.js';
import { found, increment } from './cluster.js';
import { clock, created, HandWritten, make, managers, Shared, WithRead, within } from './hand-written.js';

afterEach(async () => {
  for (const manager of managers.splice(0)) await within(10_000, manager.stop());
});

describe('a hand-written store', () => {
  it('is started and stopped by its manager, gets digests for ids, and never waits', async () => {
    const shared = new Shared();
    const store = new HandWritten('a', shared);
    const manager = make(store);
    const id = await created(manager);
    await within(100, manager.update(id, increment));
    expect(store.calls).toEqual(['start', 'send', 'find 0', 'send']);
    expect([...shared.rows.keys()].some((key) => key.includes(id))).toBe(false);
    await within(100, manager.stop());
    expect(store.isStopped).toBe(true);
  });

  it('keeps its lock for one request, also while others of this instance wait', async () => {
    const shared = new Shared();
    const store = new HandWritten('a', shared);
    const manager = make(store);
    const id = await created(manager);
    store.calls = [];
    await within(100, Promise.all([1, 2, 3].map(() => manager.update(id, increment))));
    expect(store.calls).toEqual(['find 0', 'send', 'find 0', 'send', 'find 0', 'send']);
    expect([...shared.rows.values()].map(({ holder }) => holder)).toEqual([undefined]);
    expect(manager.health().held).toBe(0);
  });

  it('loses no update between two managers', async () => {
    const shared = new Shared();
    const [a, b] = [make(new HandWritten('a', shared)), make(new HandWritten('b', shared))];
    const id = await created(a);
    await within(10_000, Promise.all(Array.from({ length: 20 }, (_, turn) => (turn % 2 === 0 ? a : b).update(id, increment, { waitMs: 9_000 }))));
    expect((await found(within(100, a.findSession(id, { access: 'snapshot' })))).get('n')).toBe(20);
  });

  it.each(['wait', 'redirect'] as const)('says that a session is locked elsewhere after polling for it; it does not know where, so that it waits, onLocked %s', async (onLocked) => {
    const shared = new Shared();
    const options = { onLocked, publicUrl: 'https://one.example.com' };
    const [a, b] = [make(new HandWritten('a', shared), options), make(new HandWritten('b', shared), { ...options, publicUrl: 'https://other.example.com' })];
    const id = await created(a);
    const session = await found(within(10, a.findSession(id)));
    const holder = { instanceId: undefined, isHere: false, label: undefined, heldMs: undefined, publicUrl: undefined };
    const told: unknown[] = [];
    b.on('waiting', (wait) => { told.push(wait.holder); });
    const waiting = b.findSession(id);
    await clock.advance(1_990);
    expect(told).toEqual([holder]);
    await expect(within(110, waiting)).rejects.toMatchObject({ code: 'CLUSTER_LOCKED', holder, message: expect.stringContaining('is locked by another instance; waited') });
    await within(10, a.sendSession(session));
    await within(10, b.update(id, increment));
  });

  it('is asked by find and release for a snapshot where it has no readSession, else by one read without a lock', async () => {
    const shared = new Shared();
    const [plain, reading] = [new HandWritten('a', shared), new WithRead('b', shared)];
    const [a, b] = [make(plain), make(reading)];
    const id = await created(a);
    plain.calls = [];
    expect((await found(within(10, a.findSession(id, { access: 'snapshot' })))).get('n')).toBe(0);
    expect(plain.calls).toEqual(['find 0', 'send']);
    const session = await found(within(10, a.findSession(id)));
    expect((await found(within(10, b.findSession(id, { access: 'snapshot' })))).get('n')).toBe(0);
    expect(reading.calls).toEqual(['start', 'read']);
    await within(10, a.sendSession(session));
  });

  it('that fails in a send leaves the outcome unknown, and the copies are dropped', async () => {
    const shared = new Shared();
    const store = new HandWritten('a', shared);
    const manager = make(store);
    const id = await created(manager);
    const session = await found(within(10, manager.findSession(id)));
    increment(session);
    store.fail = (call) => (call.startsWith('send') ? Promise.reject(new Error('connection lost')) : undefined);
    store.calls = [];
    await expect(within(100, manager.sendSession(session))).rejects.toMatchObject({ code: 'CLUSTER_UNKNOWN_OUTCOME' });
    // Then what the store may have locked still is given back.
    expect(store.calls).toEqual(['send', 'find 0', 'send']);
    expect(manager.health().inMemory.bytes).toBe(0);
    store.fail = undefined;
    await within(100, manager.update(id, increment));
  });

  it('that fences has not stored', async () => {
    const shared = new Shared();
    const manager = make(new HandWritten('a', shared));
    const id = await created(manager);
    const session = await found(within(10, manager.findSession(id)));
    increment(session);
    for (const row of shared.rows.values()) row.holder = 'b';
    await expect(within(100, manager.sendSession(session))).rejects.toMatchObject({ code: 'CLUSTER_FENCED' });
  });

  it('moves and removes', async () => {
    const shared = new Shared();
    const manager = make(new HandWritten('a', shared));
    const id = await created(manager);
    const moved = await within(10, manager.changeSessionId(await found(within(10, manager.findSession(id)))));
    await within(10, manager.sendSession(moved));
    await expect(within(10, manager.findSession(id))).rejects.toMatchObject({ code: 'CLUSTER_MOVED' });
    expect(await within(10, manager.removeSession(id))).toBe('moved');
    expect(await within(10, manager.removeSession(moved.id))).toBe('confirmed');
    expect(await within(10, manager.findSession(moved.id))).toBe(undefined);
  });

  it('does not move what somebody removed meanwhile', async () => {
    const shared = new Shared();
    const [a, b] = [make(new HandWritten('a', shared)), make(new HandWritten('b', shared))];
    const id = await created(a);
    const session = await found(within(10, a.findSession(id)));
    expect(await within(10, b.removeSession(id))).toBe('confirmed');
    await expect(within(100, a.changeSessionId(session))).rejects.toMatchObject({ code: 'CLUSTER_FENCED' });
    expect(shared.rows.size).toBe(0);
    expect(await within(10, a.findSession(id))).toBe(undefined);
  });

  it.each([
    ['lost', () => Promise.reject(new Error('connection lost'))],
    ['late', () => new Promise<void>((resolve) => { clock.timer(resolve, 700); })],
  ])('whose answer to a move is %s leaves the outcome unknown', async (_fate, answer) => {
    const shared = new Shared();
    const store = new HandWritten('a', shared);
    const manager = make(store);
    const id = await created(manager);
    const session = await found(within(10, manager.findSession(id)));
    store.answer = (call) => (call === 'remove moved' ? answer() : undefined);
    await expect(within(3_000, manager.changeSessionId(session))).rejects.toMatchObject({ code: 'CLUSTER_UNKNOWN_OUTCOME' });
    store.answer = undefined;
    await expect(within(10, manager.findSession(id))).rejects.toMatchObject({ code: 'CLUSTER_MOVED' });
  });

  it('whose find answers after its request gave up gets the lock back', async () => {
    const shared = new Shared();
    const store = new HandWritten('a', shared);
    const [a, b] = [make(store), make(new HandWritten('b', shared))];
    const id = await created(a);
    let answer: () => void = () => undefined;
    store.fail = (call) => (call.startsWith('find') ? new Promise<void>((resolve) => { answer = resolve; }) : undefined);
    await expect(within(600, a.findSession(id, { waitMs: 0 }))).rejects.toMatchObject({ code: 'CLUSTER_UNAVAILABLE' });
    store.fail = undefined;
    answer();
    await clock.advance(10);
    await within(300, b.update(id, increment));
  });

  it('that keeps its lock for a request that has gone by then, and says so late, has it freed', async () => {
    const shared = new Shared();
    const store = new HandWritten('a', shared);
    const [a, b] = [make(store), make(new HandWritten('b', shared))];
    const id = await created(a);
    const session = await found(within(10, a.findSession(id)));
    increment(session);
    store.answer = (call) => (call === 'send keep' ? new Promise((resolve) => { clock.timer(resolve, 700); }) : undefined);
    await expect(within(600, a.sendSession(session, { release: false }))).rejects.toMatchObject({ code: 'CLUSTER_UNKNOWN_OUTCOME' });
    expect(store.calls).toContain('send keep');
    store.answer = undefined;
    await clock.advance(300);
    await within(1_000, b.update(id, increment));
    expect([...shared.rows.values()][0]?.snapshot.attributes.get('n')).toBe('2');
  });

  it('that is read while it stores a change, and answers when the next request has the session, does not take the lock from that', async () => {
    const shared = new Shared();
    const store = new WithRead('a', shared);
    const manager = make(store);
    const id = await created(manager);
    const first = await within(100, found(manager.findSession(id)));
    const second = found(manager.findSession(id));
    await clock.advance(0);
    const answers = new Map<string, () => void>();
    store.answer = (call) => new Promise((resolve) => { answers.set(call, resolve); });
    first.set('n', 1);
    const sent = manager.sendSession(first);
    await clock.advance(0);
    const reading = found(manager.findSession(id, { access: 'snapshot' }));
    await clock.advance(0);
    expect([...answers.keys()]).toEqual(['send', 'read']);
    store.answer = undefined;
    answers.get('send')!();
    await within(100, sent);
    const session = await within(100, second);
    answers.get('read')!();
    expect((await within(100, reading)).get('n')).toBe(1);
    session.set('n', 2);
    await within(100, manager.sendSession(session));
    await within(100, make(new HandWritten('b', shared)).update(id, increment));
    expect(shared.rows.get([...shared.rows.keys()][0]!)!.snapshot.attributes.get('n')).toBe('3');
  });

  it('that gave the lock to another instance without a word shows who waited here what that one wrote', async () => {
    const shared = new Shared();
    const [a, b] = [make(new HandWritten('a', shared)), make(new HandWritten('b', shared))];
    const id = await created(a);
    const first = await found(within(10, a.findSession(id)));
    const waiting = a.findSession(id);
    await clock.advance(0);
    for (const row of shared.rows.values()) row.holder = undefined;
    await within(100, b.update(id, increment));
    await within(100, a.sendSession(first));
    const second = await found(within(100, waiting));
    expect(second.get('n')).toBe(1);
    await within(100, a.sendSession(second));
  });

  it('that gave the lock to another instance without a word shows what that one wrote to who only looks, beside a request that has the session', async () => {
    const shared = new Shared();
    const [a, b] = [make(new WithRead('a', shared)), make(new WithRead('b', shared))];
    const id = await created(a);
    const losing = await found(within(10, a.findSession(id)));
    const seen = async () => (await found(within(10, a.findSession(id, { access: 'snapshot' })))).get('n');
    expect(await seen()).toBe(0);
    for (const row of shared.rows.values()) row.holder = undefined;
    await within(100, b.update(id, increment));
    expect(await seen()).toBe(1);
    losing.set('n', 7);
    await expect(within(100, a.sendSession(losing))).rejects.toMatchObject({ code: 'CLUSTER_FENCED' });
    expect(await within(100, b.removeSession(id))).toBe('confirmed');
    const made = await created(b);
    const ending = await found(within(10, a.findSession(made)));
    expect(await within(100, b.removeSession(made))).toBe('confirmed');
    expect(await within(10, a.findSession(made, { access: 'snapshot' }))).toBe(undefined);
    expect(() => ending.set('n', 7)).toThrow(expect.objectContaining({ code: 'CLUSTER_SESSION_ENDED' }));
  });

  it('leaves no copies in memory, and has none counted that another one made useless', async () => {
    const shared = new Shared();
    const store = new WithRead('a', shared);
    const manager = make(store);
    const id = await created(manager);
    await within(100, manager.update(id, increment));
    await within(100, manager.findSession(id, { access: 'snapshot' }));
    expect(manager.health().inMemory).toEqual({ sessions: 0, bytes: 0 });
  });

  it.each([['with readSession', WithRead], ['without readSession', HandWritten]] as const)('%s says of a snapshot whose session goes on under another id that it has ended', async (_reads, Store) => {
    const shared = new Shared();
    const [a, b] = [make(new Store('a', shared)), make(new Store('b', shared))];
    const id = await created(a);
    const snapshot = await found(within(10, a.findSession(id, { access: 'snapshot' })));
    const moved = await within(100, b.changeSessionId(await found(within(10, b.findSession(id)))));
    await within(100, b.sendSession(moved));
    await expect(within(100, a.reloadSession(snapshot))).rejects.toMatchObject({ code: 'CLUSTER_SESSION_ENDED' });
  });

  it('without readSession has a snapshot reloaded beside a request of the same instance that has the session', async () => {
    const manager = make(new HandWritten('a', new Shared()));
    const id = await created(manager);
    const snapshot = await found(within(10, manager.findSession(id, { access: 'snapshot' })));
    const beside = await found(within(10, manager.findSession(id)));
    await within(10, manager.reloadSession(snapshot));
    await within(10, manager.sendSession(beside));
  });

  it('hears of touches where it wants to', async () => {
    const shared = new Shared();
    const store = new WithRead('a', shared);
    const manager = make(store);
    const id = await created(manager);
    for (const row of shared.rows.values()) row.snapshot = { ...row.snapshot, idleMs: 70_000 };
    await within(10, manager.findSession(id, { access: 'snapshot' }));
    await clock.advance(1_000);
    expect(store.touched.length).toBe(1);
  });

  it('says itself when a session with an idle time-out of its own ends: its idle time may leave touches out', async () => {
    const shared = new Shared();
    const store = new WithRead('a', shared);
    const manager = make(store);
    const id = await created(manager);
    await within(100, manager.update(id, (session) => { behind(session).ownIdleTimeoutMs = 10_000; }));
    for (const row of shared.rows.values()) row.snapshot = { ...row.snapshot, idleMs: 50_000, lifetimeMs: 61_000 };
    await found(within(100, manager.findSession(id, { access: 'snapshot' })));
    expect(await within(100, manager.update(id, () => 'there'))).toBe('there');
  });
});

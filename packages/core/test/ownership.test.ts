import { afterEach, describe, it, expect } from '@jest/globals';
import { Cluster, found, Gate, increment } from './cluster.js';

let cluster = new Cluster();
afterEach(async () => {
  await cluster.stop();
  cluster = new Cluster();
});

describe('beyond the bound of sessions', () => {
  it('the least recently used held one is given back, and its lock is free for others', async () => {
    const a = await cluster.add('a', { maxInMemory: { sessions: 2 } });
    const b = await cluster.add('b');
    const [x, y] = [await cluster.session(a), await cluster.session(a)];
    await a.manager.sendSession(await found(a.manager.findSession(x)));
    const z = await cluster.session(a);
    expect([await cluster.holder(x), await cluster.holder(z)].every((holder) => holder?.startsWith('a.'))).toBe(true);
    expect(await cluster.holder(y)).toBe(undefined);
    expect(a.manager.health()).toMatchObject({ held: 2, inMemory: { sessions: 2 } });
    await b.manager.update(y, increment, { waitMs: 0 });
    expect(await cluster.stored(y)).toEqual({ n: 1 });
  });

  it('standby copies leave without a call', async () => {
    const a = await cluster.add('a', { affinity: 'release', maxInMemory: { sessions: 2 } });
    for (let count = 0; count < 5; count += 1) await cluster.session(a);
    a.table.calls = [];
    expect(a.manager.health()).toMatchObject({ held: 0, inMemory: { sessions: 2 } });
    await cluster.session(a);
    expect(a.table.count('commit')).toBe(0);
  });

  it('a session in use stays', async () => {
    const a = await cluster.add('a', { maxInMemory: { sessions: 1 } });
    const [x, y] = [await cluster.session(a), await cluster.session(a)];
    const [one, other] = [await found(a.manager.findSession(x)), await found(a.manager.findSession(y))];
    await cluster.session(a);
    increment(one);
    increment(other);
    await Promise.all([a.manager.sendSession(one), a.manager.sendSession(other)]);
    expect([await cluster.stored(x), await cluster.stored(y)]).toEqual([{ n: 1 }, { n: 1 }]);
  });

  it('a session that is asked for again while it is given back is held afterwards, and known to be', async () => {
    const a = await cluster.add('a', { maxInMemory: { sessions: 1 } });
    const x = await cluster.session(a);
    const gate = new Gate();
    a.table.next('commit', gate.afterwards);
    const y = await cluster.session(a); // has x given back
    expect(gate.arrived).toBe(true);
    const updated = a.manager.update(x, increment);
    gate.open();
    await cluster.within(100, updated);
    await cluster.clock.advance(10);
    expect(await cluster.stored(x)).toEqual({ n: 1 });
    expect([await cluster.holder(x), await cluster.holder(y)]).toEqual([a.manager.health().incarnation, undefined]);
    expect(a.manager.health()).toMatchObject({ held: 1, inMemory: { sessions: 1 } });
  });

  it('a snapshot read that began while a session was given back takes nothing from the request that has it since', async () => {
    const a = await cluster.add('a', { maxInMemory: { sessions: 1 } });
    const x = await cluster.session(a);
    const [giving, reading] = [new Gate(), new Gate()];
    a.table.next('commit', giving.afterwards);
    a.table.next('read', reading.afterwards);
    await cluster.session(a);
    expect(giving.arrived).toBe(true);
    const snapshot = a.manager.findSession(x, { access: 'snapshot' });
    const finding = a.manager.findSession(x);
    giving.open();
    const session = await found(cluster.within(100, finding));
    increment(session);
    reading.open();
    await cluster.within(100, snapshot);
    await cluster.within(100, a.manager.sendSession(session));
    expect(await cluster.stored(x)).toEqual({ n: 1 });
  });

  it('nothing grows over 10,000 sessions that come and go', async () => {
    const a = await cluster.add('a', { maxInMemory: { sessions: 50, bytes: 10_000 } });
    for (let batch = 0; batch < 100; batch += 1) {
      const sessions = Array.from({ length: 100 }, () => a.manager.createSession());
      for (const session of sessions) session.set('text', 'x'.repeat(batch));
      await Promise.all(sessions.map((session) => a.manager.sendSession(session)));
      for (const { id } of sessions.slice(0, 10)) await a.manager.removeSession(id);
    }
    await cluster.clock.advance(100);
    const { held, inMemory } = a.manager.health();
    expect(inMemory.sessions).toBeLessThanOrEqual(50);
    expect(held).toBe(inMemory.sessions);
    expect(inMemory.bytes).toBe(held * ('text'.length + 'x'.repeat(99).length + 2));
  });
});

describe('the bytes in memory', () => {
  it('follow the content, and stay within their bound', async () => {
    const a = await cluster.add('a', { maxInMemory: { bytes: 2_000 } });
    const x = await cluster.session(a, { t: 'x'.repeat(997) });
    expect(a.manager.health().inMemory).toEqual({ sessions: 1, bytes: 1_000 });
    await a.manager.update(x, (session) => { session.set('t', 'x'.repeat(497)); });
    expect(a.manager.health().inMemory).toEqual({ sessions: 1, bytes: 500 });
    for (let count = 0; count < 5; count += 1) await cluster.session(a, { t: 'x'.repeat(997) });
    await cluster.clock.advance(1);
    expect(a.manager.health()).toMatchObject({ held: 2, inMemory: { sessions: 2, bytes: 2_000 } });
  });

  it('are none after everything was removed', async () => {
    const a = await cluster.add('a');
    const ids = [await cluster.session(a), await cluster.session(a), await cluster.session(a)];
    const running = await found(a.manager.findSession(ids[1] ?? ''));
    for (const id of ids) await a.manager.removeSession(id);
    expect(a.manager.health()).toMatchObject({ held: 0, running: 0, inMemory: { sessions: 0, bytes: 0 } });
    expect(() => running.set('n', 1)).toThrow(/removed/);
  });

  it('do not grow by requests for unknown ids, nor by requests that gave up', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    const running = await found(a.manager.findSession(id));
    for (let count = 0; count < 100; count += 1) {
      expect(await b.manager.findSession(`nobody${count}`)).toBe(undefined);
      expect(await b.manager.findSession(`nothing${count}`, { access: 'snapshot' })).toBe(undefined);
    }
    expect((await cluster.failure(100, b.manager.findSession(id, { waitMs: 50 }))).code).toBe('CLUSTER_LOCKED');
    expect(b.manager.health().inMemory).toEqual({ sessions: 0, bytes: 0 });
    await a.manager.sendSession(running);
  });
});

import { afterEach, describe, it, expect, jest } from '@jest/globals';
import { copyOf, Ownership, Slot } from '../src/engine/ownership.js';
import { answerLost, callLost, Cluster, found, Gate, hangs, increment, refusedByStore } from './cluster.js';

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

describe('passivation', () => {
  const COUNT = 2_000;
  const BOUND = 50;

  it.each(['keep', 'auto', 'release'] as const)('every one of many sessions is found again with its content, affinity %s', async (affinity) => {
    const a = await cluster.add('a', { affinity, maxInMemory: { sessions: BOUND } });
    const ids: string[] = [];
    for (let count = 0; count < COUNT; count += 1) {
      const session = a.manager.createSession();
      session.set('n', count);
      await a.manager.sendSession(session);
      ids.push(session.id);
    }
    for (const [count, id] of ids.entries()) {
      if (count % 2 === 0) await a.manager.update(id, increment);
      const read = await found(a.manager.findSession(id, { access: 'snapshot' }));
      expect(read.get('n')).toBe(count + (count % 2 === 0 ? 1 : 0));
      expect(a.manager.health().inMemory.sessions).toBeLessThanOrEqual(BOUND + 1);
      a.table.calls = [];
    }
    await cluster.clock.advance(10);
    const { held, running, waiting, inMemory } = a.manager.health();
    expect({ running, waiting, inMemory: inMemory.sessions }).toEqual({ running: 0, waiting: 0, inMemory: BOUND });
    expect(held).toBe(affinity === 'release' ? 0 : BOUND);
  });

  it('sessions that a slow store does not take back yet do not count, and each is right when it is asked for', async () => {
    const a = await cluster.add('a', { maxInMemory: { sessions: BOUND } });
    const first = await Promise.all(Array.from({ length: BOUND }, (_, n) => cluster.session(a, { n })));
    const gate = new Gate();
    a.table.always('commit', gate.fate);
    const next = await Promise.all(Array.from({ length: BOUND }, (_, n) => cluster.session(a, { n })));
    const more = await Promise.all(Array.from({ length: BOUND }, (_, n) => cluster.session(a, { n })));
    expect(a.manager.health().inMemory.sessions).toBe(3 * BOUND);
    const updates = [...first, ...next, ...more].map((id) => a.manager.update(id, increment));
    a.table.always('commit', undefined);
    gate.open();
    await cluster.within(1_000, Promise.all(updates));
    for (const ids of [first, next, more]) for (const [n, id] of ids.entries()) expect(await cluster.stored(id)).toEqual({ n: n + 1 });
    expect(a.manager.health()).toMatchObject({ held: BOUND, inMemory: { sessions: BOUND } });
  });

  it.each([
    ['is lost', callLost, true], ['is not answered', hangs, true], ['is refused', refusedByStore, true], ['is executed and its answer lost', answerLost, false],
  ])('when giving back %s, the session can be had again, here and elsewhere', async (_, fate, isLocked) => {
    const a = await cluster.add('a', { maxInMemory: { sessions: 1 } });
    const b = await cluster.add('b');
    const x = await cluster.session(a, { n: 1 });
    a.table.next('commit', fate);
    const y = await cluster.session(a, { n: 2 });
    await cluster.clock.advance(3_000);
    expect(await cluster.holder(x) !== undefined).toBe(isLocked);
    expect(a.manager.health()).toMatchObject({ held: 1, inMemory: { sessions: 1 } });
    await cluster.within(1_000, b.manager.update(x, increment));
    await cluster.within(1_000, a.manager.update(x, increment));
    expect([await cluster.stored(x), await cluster.stored(y)]).toEqual([{ n: 3 }, { n: 2 }]);
  });

  it('a bound below the number of sessions in use takes nothing from those', async () => {
    const a = await cluster.add('a', { maxInMemory: { sessions: 3 } });
    const ids = await Promise.all(Array.from({ length: 20 }, () => cluster.session(a)));
    const running = await Promise.all(ids.map((id) => found(a.manager.findSession(id))));
    expect(a.manager.health()).toMatchObject({ held: 20, running: 20, inMemory: { sessions: 20 } });
    const idle = await cluster.session(a);
    for (const session of running) increment(session);
    await Promise.all(running.map((session) => a.manager.sendSession(session)));
    await cluster.clock.advance(1);
    for (const id of ids) expect(await cluster.stored(id)).toEqual({ n: 1 });
    expect(await cluster.holder(idle)).toBe(undefined);
    expect(a.manager.health()).toMatchObject({ held: 3, running: 0, inMemory: { sessions: 3 } });
  });

  it('a session larger than the bound of bytes stays while it is the last one used', async () => {
    const a = await cluster.add('a', { maxInMemory: { bytes: 1_000 } });
    const large = await cluster.session(a, { t: 'x'.repeat(5_000) });
    expect(a.manager.health()).toMatchObject({ held: 1, inMemory: { sessions: 1 } });
    const small = await cluster.session(a, { t: 'x' });
    await cluster.clock.advance(1);
    expect([await cluster.holder(large), (await cluster.holder(small))?.startsWith('a.')]).toEqual([undefined, true]);
    expect(a.manager.health().inMemory).toEqual({ sessions: 1, bytes: 4 });
  });

  it('what is being given back does not count for the bytes either', async () => {
    const a = await cluster.add('a', { maxInMemory: { bytes: 1_000 } });
    const x = await cluster.session(a, { t: 'x'.repeat(397) });
    const y = await cluster.session(a, { t: 'y'.repeat(397) });
    const gate = new Gate();
    a.table.next('commit', gate.fate);
    await cluster.session(a, { t: 'z'.repeat(397) });
    expect(a.manager.health().inMemory).toEqual({ sessions: 3, bytes: 800 });
    gate.open();
    await cluster.clock.advance(1);
    expect([await cluster.holder(x), (await cluster.holder(y))?.startsWith('a.')]).toEqual([undefined, true]);
    expect(a.manager.health()).toMatchObject({ held: 2, inMemory: { sessions: 2, bytes: 800 } });
  });

  it('looks at each slot a few times, however many are in use or being given back', () => {
    const looks = jest.spyOn(Slot.prototype, 'isIdle', 'get');
    const given: Slot[] = [];
    const slots = new Ownership({ sessions: 10, bytes: 1e9 }, (slot) => {
      slot.busy = true;
      given.push(slot);
    });
    const idle = (key: string) => {
      const slot = slots.open(key);
      slot.busy = false;
      const copy = copyOf({ grant: key, version: 1 }, new Map([['n', '1']]));
      slot.held = { claim: { incarnation: 'a.0', grant: key }, copy, formerGrants: [], createdMs: 0, touchedMs: 0, lifetimeMs: 1, fromPeer: false, suspect: false };
      slots.settle(slot);
      return slot;
    };
    const COUNTED = 2_000;
    const busy = Array.from({ length: COUNTED }, (_, n) => {
      const slot = idle(`busy${n}`);
      slot.busy = true;
      return slot;
    });
    for (let n = 0; n < COUNTED; n += 1) idle(`idle${n}`);
    expect(given.length).toBe(COUNTED - 1);
    for (const slot of [...given, ...busy]) idle(slot.key);
    for (const slot of given) {
      slot.busy = false;
      slot.held = undefined;
      slots.settle(slot);
    }
    expect([slots.size, slots.bytes]).toEqual([10, 20]);
    expect(looks.mock.calls.length).toBeLessThan(10 * COUNTED);
    looks.mockRestore();
  });
});

import { afterEach, describe, it, expect } from '@jest/globals';
import type { Session } from '../src/index.js';
import { answerLost, callLost, Cluster, eventsOf, found, Gate, hangs, increment, refusedByStore, type Instance } from './cluster.js';

let cluster = new Cluster();
afterEach(async () => {
  await cluster.stop();
  cluster = new Cluster();
});

const shared = ({ manager }: Instance, id: string): Promise<Session> => found(manager.findSession(id, { access: 'shared' }));

describe('requests that share a session', () => {
  it('run at once on one live object, and the end of each publishes what has changed by then', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a, { n: 0, list: [] });
    const [first, second] = [await shared(a, id), await shared(a, id)];
    first.set('n', 1);
    expect(second.get('n')).toBe(1);
    expect(second.get('list')).toBe(first.get('list'));
    (second.get('list') as string[]).push('second');
    first.delete('n');
    expect('n' in second).toBe(false);
    await cluster.within(100, a.manager.sendSession(second));
    expect(await cluster.stored(id)).toEqual({ list: ['second'] });
    expect(() => second.set('late', 1)).toThrow(expect.objectContaining({ code: 'CLUSTER_SESSION_ENDED' }));
    first.set('n', 3);
    await cluster.within(100, a.manager.sendSession(first));
    expect(await cluster.stored(id)).toEqual({ n: 3, list: ['second'] });
    expect(a.manager.health().running).toBe(0);
  });

  it('count one hundred increments by as many requests, since the handle is read and written in one step', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const sessions = await Promise.all(Array.from({ length: 100 }, () => shared(a, id)));
    await cluster.within(1000, Promise.all(sessions.map(async (session, index) => {
      await cluster.clock.advance(0);
      increment(session);
      if (index % 3 === 0) await a.manager.sendSession(session, { release: false });
      await a.manager.sendSession(session);
    })));
    expect(await cluster.stored(id)).toEqual({ n: 100 });
  });

  it('send what changed once: an end that finds it published says nothing', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const [first, second] = [await shared(a, id), await shared(a, id)];
    increment(first);
    await cluster.within(100, Promise.all([a.manager.sendSession(first), a.manager.sendSession(second)]));
    expect(a.table.took()).toBe('commit');
    expect(await cluster.stored(id)).toEqual({ n: 1 });
  });

  it('are exclusive for another instance, which is not kept waiting by those that come later', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    const first = await shared(a, id);
    const other = b.manager.update(id, increment);
    await cluster.clock.advance(300);
    const late = shared(a, id);
    await cluster.clock.advance(100);
    expect(a.manager.health()).toMatchObject({ running: 1, waiting: 1 });
    increment(first);
    await cluster.within(100, a.manager.sendSession(first));
    await cluster.within(500, other);
    const session = await cluster.within(500, late);
    expect(session.get('n')).toBe(2);
    await cluster.within(500, a.manager.sendSession(session));
  });

  it('wait for an exclusive one and are let in together, up to the next that is exclusive', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const exclusive = await found(a.manager.findSession(id));
    const [first, second] = [shared(a, id), shared(a, id)];
    const alone = found(a.manager.findSession(id));
    const last = shared(a, id);
    await a.manager.sendSession(exclusive);
    const sessions = await cluster.within(100, Promise.all([first, second]));
    expect(a.manager.health()).toMatchObject({ running: 2, waiting: 2 });
    for (const session of sessions) await cluster.within(100, a.manager.sendSession(session));
    await cluster.within(100, a.manager.sendSession(await cluster.within(100, alone)));
    await cluster.within(100, a.manager.sendSession(await cluster.within(100, last)));
  });

  describe.each([["onLocked 'error'", 'error'], ["an onLocked that answers 'error'", () => 'error']] as const)('under %s', (_, onLocked) => {
    const options = { onLocked, affinity: 'release' } as const;

    it('do not refuse each other while the first one gets the session', async () => {
      const a = await cluster.add('a', options);
      const id = await cluster.session(a);
      const sessions = await cluster.within(100, Promise.all([1, 2, 3, 4].map(() => shared(a, id))));
      expect(a.table.took()).toBe('acquire');
      for (const session of sessions) increment(session);
      await cluster.within(100, Promise.all(sessions.map((session) => a.manager.sendSession(session))));
      expect(await cluster.stored(id)).toEqual({ n: 4 });
    });

    it('do not refuse each other while the last one gives it back', async () => {
      const a = await cluster.add('a', options);
      const id = await cluster.session(a);
      const last = await cluster.within(100, shared(a, id));
      increment(last);
      const gate = new Gate();
      a.table.next('commit', gate.fate);
      const sent = a.manager.sendSession(last);
      await cluster.clock.advance(1);
      const next = Promise.all([shared(a, id), shared(a, id)]);
      await cluster.clock.advance(1);
      gate.open();
      await cluster.within(100, sent);
      for (const session of await cluster.within(100, next)) {
        increment(session);
        await cluster.within(100, a.manager.sendSession(session));
      }
      expect(await cluster.stored(id)).toEqual({ n: 3 });
    });

    it('are refused one by one where another instance has the session, and by a request that has it alone', async () => {
      const [a, b] = [await cluster.add('a', options), await cluster.add('b', options)];
      const id = await cluster.session(a);
      const alone = await cluster.within(100, found(a.manager.findSession(id)));
      const there = [1, 2, 3].map(() => cluster.failure(200, shared(b, id)));
      for (const error of await Promise.all(there)) expect(error).toMatchObject({ code: 'CLUSTER_LOCKED', holder: { instanceId: 'a' } });
      expect(await cluster.failure(0, shared(a, id))).toMatchObject({ code: 'CLUSTER_LOCKED', holder: { isHere: true } });
      await a.manager.sendSession(alone);
    });

    it('go on where the first one fails, and refuse one that wants the session alone', async () => {
      const a = await cluster.add('a', options);
      const id = await cluster.session(a);
      const gate = new Gate();
      a.table.next('acquire', (run) => gate.fate(() => refusedByStore(run)));
      const failing = cluster.failure(100, shared(a, id));
      const next = Promise.all([shared(a, id), shared(a, id)]);
      const alone = cluster.failure(100, a.manager.findSession(id));
      await cluster.clock.advance(1);
      gate.open();
      expect([(await failing).code, (await alone).code]).toEqual(['CLUSTER_UNAVAILABLE', 'CLUSTER_LOCKED']);
      for (const session of await cluster.within(100, next)) await a.manager.sendSession(session);
    });

    it('wait for each other no longer than for the store', async () => {
      const a = await cluster.add('a', { ...options, storeTimeoutMs: 500 });
      const id = await cluster.session(a);
      a.table.always('acquire', hangs);
      const failures = Promise.all([1, 2].map(() => shared(a, id).catch((error: unknown) => error)));
      expect((await cluster.within(1_100, failures)).every((error) => error instanceof Error)).toBe(true);
      a.table.behave();
    });
  });

  it('wait behind another instance that has waited longer, and are refused there', async () => {
    const [a, b] = [await cluster.add('a', { onLocked: 'error' }), await cluster.add('b', { onLocked: 'wait' })];
    const id = await cluster.session(a);
    const alone = await cluster.within(100, found(a.manager.findSession(id)));
    const other = b.manager.findSession(id);
    await cluster.clock.advance(100);
    await a.manager.sendSession(alone);
    const error = await cluster.failure(300, shared(a, id));
    expect(error).toMatchObject({ code: 'CLUSTER_LOCKED', holder: { instanceId: 'b' } });
    await b.manager.sendSession(await cluster.within(100, found(other)));
  });

  it('leave the slot although one gives up its place while it waits', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const exclusive = await found(a.manager.findSession(id));
    const leaving = new AbortController();
    const gone = a.manager.findSession(id, { access: 'shared', signal: leaving.signal }).catch((error: unknown) => error);
    const stays = shared(a, id);
    leaving.abort(new Error('left'));
    await a.manager.sendSession(exclusive);
    await cluster.within(100, a.manager.sendSession(await cluster.within(100, stays)));
    expect(await gone).toEqual(new Error('left'));
    await cluster.within(100, a.manager.update(id, increment));
  });

  it.each([['refused', refusedByStore, 'CLUSTER_UNAVAILABLE'], ['unknown', hangs, 'CLUSTER_UNKNOWN_OUTCOME']])('all fail if a commit is %s, and nothing of the object stays', async (_, fate, code) => {
    const a = await cluster.add('a', { lockTimeoutMs: 1000, storeTimeoutMs: 500 });
    const id = await cluster.session(a);
    const [first, second, unchanged] = [await shared(a, id), await shared(a, id), await shared(a, id)];
    increment(first);
    a.table.always('commit', fate);
    if (fate === hangs) a.table.always('acquire', callLost);
    const failure = await cluster.failure(5000, a.manager.sendSession(first));
    expect(failure.code).toBe(code);
    a.table.behave();
    for (const each of [second, unchanged]) {
      expect(() => each.set('n', 9)).toThrow(expect.objectContaining({ code: 'CLUSTER_SESSION_ENDED' }));
      expect((await cluster.failure(100, a.manager.sendSession(each))).code).toBe(code);
    }
    await cluster.clock.advance(20_000);
    const next = await cluster.within(20_000, found(a.manager.findSession(id)));
    expect([0, 1]).toContain(next.get('n'));
    expect(await cluster.stored(id)).toEqual({ n: next.get('n') });
    await cluster.within(1000, a.manager.sendSession(next));
  });

  it('go on when an answer is lost and the change turns out to be stored', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const [first, second] = [await shared(a, id), await shared(a, id)];
    increment(first);
    a.table.next('commit', answerLost);
    await cluster.within(5000, a.manager.sendSession(first));
    increment(second);
    await cluster.within(5000, a.manager.sendSession(second));
    expect(await cluster.stored(id)).toEqual({ n: 2 });
  });

  it('are refused their changes after a lapse, and told so one by one', async () => {
    const [a, b] = [await cluster.add('a', { leaseMs: 1000 }), await cluster.add('b', { leaseMs: 1000 })];
    const id = await cluster.session(a);
    const [first, second] = [await shared(a, id), await shared(a, id)];
    increment(first);
    cluster.kill(a, 'a');
    await cluster.within(5000, b.manager.update(id, (session) => { session.set('n', 10); }));
    a.table.behave();
    await cluster.clock.advance(2000);
    expect((await cluster.failure(5000, a.manager.sendSession(first))).code).toBe('CLUSTER_FENCED');
    expect((await cluster.failure(5000, a.manager.sendSession(second))).code).toBe('CLUSTER_FENCED');
    expect(await cluster.stored(id)).toEqual({ n: 10 });
    await cluster.within(5000, a.manager.update(id, increment));
    expect(await cluster.stored(id)).toEqual({ n: 11 });
  });

  it('end when the session is removed', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    const [first, second] = [await shared(a, id), await shared(a, id)];
    expect(await cluster.within(3000, b.manager.removeSession(id))).toBe('confirmed');
    for (const each of [first, second]) {
      expect(() => each.set('n', 9)).toThrow(expect.objectContaining({ code: 'CLUSTER_SESSION_ENDED' }));
      expect((await cluster.failure(100, a.manager.sendSession(each))).code).toBe('CLUSTER_SESSION_ENDED');
    }
    expect(a.manager.health().running).toBe(0);
  });

  it('end with that when the session is removed while they wait to publish', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const [first, second] = [await shared(a, id), await shared(a, id)];
    const gate = new Gate();
    a.table.next('commit', gate.afterwards);
    increment(first);
    const sent = a.manager.sendSession(first);
    await cluster.clock.advance(1);
    second.set('other', 1);
    const refused = cluster.failure(500, a.manager.sendSession(second));
    expect(await cluster.within(500, a.manager.removeSession(id))).toBe('confirmed');
    gate.open();
    await cluster.within(100, sent);
    expect((await refused).code).toBe('CLUSTER_SESSION_ENDED');
    expect(await cluster.stored(id)).toBe(undefined);
  });

  it('end with that also where the id was to be changed', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const [first, second] = [await shared(a, id), await shared(a, id)];
    increment(first);
    const gate = new Gate();
    a.table.next('commit', gate.afterwards);
    const sent = a.manager.sendSession(first);
    await cluster.clock.advance(1);
    const moved = cluster.failure(500, a.manager.changeSessionId(second));
    expect(await cluster.within(500, a.manager.removeSession(id))).toBe('confirmed');
    gate.open();
    await cluster.within(100, sent);
    expect((await moved).code).toBe('CLUSTER_SESSION_ENDED');
  });

  it('lose the session to the one that changes its id', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const [first, second, reader] = [await shared(a, id), await shared(a, id), await shared(a, id)];
    increment(first);
    second.set('other', 1);
    const moved = await cluster.within(500, a.manager.changeSessionId(first));
    expect(moved.get('other')).toBe(1);
    expect((await cluster.failure(100, a.manager.sendSession(second))).code).toBe('CLUSTER_SESSION_ENDED');
    expect(() => reader.set('n', 9)).toThrow(expect.objectContaining({ code: 'CLUSTER_SESSION_ENDED' }));
    await cluster.within(500, a.manager.sendSession(moved));
    expect(await cluster.stored(moved.id)).toEqual({ n: 1, other: 1 });
    expect(a.manager.health().running).toBe(0);
  });

  it('may be released: what was changed is published by the others, and lost with the last', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const [first, second] = [await shared(a, id), await shared(a, id)];
    increment(first);
    await a.manager.releaseSession(first);
    await cluster.within(500, a.manager.sendSession(second));
    expect(await cluster.stored(id)).toEqual({ n: 1 });
    const [third, fourth] = [await shared(a, id), await shared(a, id)];
    increment(third);
    await a.manager.releaseSession(third);
    await a.manager.releaseSession(fourth);
    expect(await cluster.stored(id)).toEqual({ n: 1 });
    await cluster.within(500, a.manager.update(id, increment));
    expect(await cluster.stored(id)).toEqual({ n: 2 });
  });

  it('do not join the last one while it gives the session away', async () => {
    const a = await cluster.add('a', { affinity: 'release' });
    const id = await cluster.session(a);
    const last = await shared(a, id);
    increment(last);
    const gate = new Gate();
    a.table.next('commit', gate.fate);
    const sent = a.manager.sendSession(last);
    await cluster.clock.advance(1);
    const next = shared(a, id);
    await cluster.clock.advance(1);
    expect(a.manager.health().waiting).toBe(1);
    gate.open();
    await cluster.within(100, sent);
    const session = await cluster.within(500, next);
    expect(session.get('n')).toBe(1);
    await cluster.within(100, a.manager.sendSession(session));
    expect(await cluster.holder(id)).toBe(undefined);
  });

  it('are joined where memory may not be served only after the store has said that the lock is still here', async () => {
    const a = await cluster.add('a', { readLeaseMs: 0 });
    const id = await cluster.session(a);
    const first = await cluster.within(100, shared(a, id));
    a.table.calls = [];
    const second = await cluster.within(100, shared(a, id));
    expect(a.table.took()).toBe('read');
    increment(second);
    for (const each of [first, second]) await cluster.within(100, a.manager.sendSession(each));
    expect(await cluster.stored(id)).toEqual({ n: 1 });
  });

  it('have the session in one place, also when it leaves memory while one that is to join asks the store', async () => {
    const a = await cluster.add('a', { maxInMemory: { sessions: 1 } });
    const id = await cluster.session(a);
    const first = await cluster.within(100, shared(a, id));
    a.table.always('beat', callLost);
    await cluster.clock.advance(1_000);
    const gate = new Gate();
    a.table.next('read', gate.fate);
    const joining = shared(a, id);
    await cluster.clock.advance(1);
    expect(gate.arrived).toBe(true);
    await cluster.within(100, a.manager.sendSession(first));
    await cluster.session(a);
    a.table.always('beat', undefined);
    const later = a.manager.update(id, increment);
    await cluster.clock.advance(1_000);
    gate.open();
    const second = await cluster.within(100, joining);
    const third = a.manager.update(id, increment);
    await cluster.clock.advance(50);
    increment(second);
    await cluster.within(100, a.manager.sendSession(second));
    await cluster.within(100, Promise.all([later, third]));
    expect(await cluster.stored(id)).toEqual({ n: 3 });
    expect(eventsOf(a, 'fenced')).toEqual([]);
  });

  it('show the live object after a reload', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const [first, second] = [await shared(a, id), await shared(a, id)];
    increment(first);
    await a.manager.reloadSession(second);
    expect(second.get('n')).toBe(1);
    for (const each of [first, second]) await cluster.within(100, a.manager.sendSession(each));
    expect(eventsOf(a, 'fenced')).toEqual([]);
  });

  it('keep the removal of an attribute that is being stored for the first time', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const [first, second] = [await shared(a, id), await shared(a, id)];
    first.set('x', 1);
    const gate = new Gate();
    a.table.next('commit', gate.fate);
    const sent = a.manager.sendSession(first);
    await cluster.clock.advance(0);
    expect(gate.arrived).toBe(true);
    second.delete('x');
    gate.open();
    await cluster.within(100, sent);
    await cluster.within(100, a.manager.sendSession(second));
    expect(await cluster.stored(id)).toEqual({ n: 0 });
  });

  it('keep what is changed back inside an object while the change is being stored', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a, { ui: { open: false } });
    const [first, second] = [await shared(a, id), await shared(a, id)];
    (first.get('ui') as { open: boolean }).open = true;
    const gate = new Gate();
    a.table.next('commit', gate.fate);
    const sent = a.manager.sendSession(first);
    await cluster.clock.advance(0);
    (second.get('ui') as { open: boolean }).open = false;
    gate.open();
    await cluster.within(100, sent);
    await cluster.within(100, a.manager.sendSession(second));
    expect(await cluster.stored(id)).toEqual({ ui: { open: false } });
  });
});

import { afterEach, describe, it, expect } from '@jest/globals';
import { callLost, Cluster, eventsOf, found, Gate, hangs, increment, type Instance, refusedByStore } from './cluster.js';

let cluster = new Cluster();
afterEach(async () => {
  await cluster.stop();
  cluster = new Cluster();
});

const beats = ({ table }: Instance) => table.count('beat');

async function use({ manager }: Instance, id: string): Promise<void> {
  await manager.sendSession(await found(cluster.within(100, manager.findSession(id))));
}

describe('beats', () => {
  it('come every third of the lease while nothing held is asked for', async () => {
    const a = await cluster.add('a', { leaseMs: 9_000 });
    await cluster.clock.advance(30_000);
    expect(beats(a)).toBe(10);
  });

  it('come every third of the read lease while a held session is asked for, and for a second after', async () => {
    const a = await cluster.add('a', { readLeaseMs: 300 });
    const id = await cluster.session(a);
    await cluster.clock.advance(3_000);
    a.table.calls = [];
    for (let count = 0; count < 10; count += 1) {
      await use(a, id);
      await cluster.clock.advance(100);
    }
    expect(beats(a)).toBeGreaterThanOrEqual(10);
    expect(beats(a)).toBeLessThanOrEqual(11);
    await cluster.clock.advance(1_000);
    a.table.calls = [];
    await cluster.clock.advance(6_000);
    expect(beats(a)).toBeLessThanOrEqual(2);
  });

  it('are no faster for a use where no signals are heard and nobody can be taken for disconnected: memory is not served', async () => {
    const a = await cluster.add('a', { readLeaseMs: 300 }, 'unknown');
    const id = await cluster.session(a);
    a.table.answersSignals = () => true;
    await cluster.clock.advance(5_000);
    a.table.calls = [];
    const useOften = async (times: number) => {
      for (let count = 0; count < times; count += 1) {
        await use(a, id);
        await cluster.clock.advance(100);
      }
    };
    await useOften(30);
    expect(beats(a)).toBeLessThanOrEqual(1);
    // Heard again, they are fast at once.
    a.table.answersSignals = undefined;
    await useOften(11);
    a.table.calls = [];
    await useOften(10);
    expect(beats(a)).toBeGreaterThanOrEqual(9);
  });

  it('stay fast for a use where one that hears nothing may be taken for disconnected', async () => {
    const a = await cluster.add('a', { readLeaseMs: 300 }, 'disconnected');
    const id = await cluster.session(a);
    a.table.answersSignals = () => true;
    await cluster.clock.advance(5_000);
    a.table.calls = [];
    for (let count = 0; count < 10; count += 1) {
      await use(a, id);
      await cluster.clock.advance(100);
    }
    expect(beats(a)).toBeGreaterThanOrEqual(9);
  });

  it('that fail are repeated, reported, and do not end anything by themselves', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const { incarnation } = a.manager.health();
    a.table.next('beat', callLost, callLost);
    await cluster.clock.advance(5_000);
    expect(eventsOf(a, 'warning')).toEqual([
      { message: 'the store did not acknowledge a beat; repeating it', cause: expect.objectContaining({ cause: new Error('connection lost') }) },
      { message: 'the store acknowledges beats again, after 1.0 s; tries that failed: 2' },
    ]);
    expect(a.manager.health()).toMatchObject({ store: 'up', incarnation });
    await cluster.within(100, a.manager.update(id, increment));
    expect(await cluster.stored(id)).toEqual({ n: 1 });
  });

  it('that go on failing are told once per cause and minute, and once when that is over', async () => {
    const a = await cluster.add('a');
    const told = async (ms: number): Promise<number> => {
      const before = eventsOf(a, 'warning').length;
      await cluster.clock.advance(ms);
      return eventsOf(a, 'warning').length - before;
    };
    a.table.always('beat', callLost);
    expect(await told(30_000)).toBe(1);
    a.table.always('beat', refusedByStore);
    expect(await told(20_000)).toBe(1);
    a.table.always('beat', callLost);
    expect(await told(20_000)).toBe(1);
    a.table.always('beat', undefined);
    expect(await told(10_000)).toBe(1);
    a.table.next('beat', callLost);
    expect(await told(10_000)).toBe(2); // else it would seem to work if it went on
    a.table.always('beat', () => Promise.reject(new Error(`try ${a.table.calls.length}`)));
    expect(await told(20_000)).toBe(10);
  });

  it('that hang show in health', async () => {
    const a = await cluster.add('a');
    a.table.always('beat', hangs);
    await cluster.clock.advance(6_000);
    expect(a.manager.health().store).toBe('down');
    a.table.always('beat', undefined);
    await cluster.clock.advance(3_000);
    expect(a.manager.health().store).toBe('up');
  });

  it('of a store that ends every lease at once do not spin', async () => {
    const a = await cluster.add('a');
    a.table.always('beat', () => Promise.resolve('lapsed') as Promise<never>);
    await cluster.clock.advance(10_000);
    expect(beats(a)).toBeLessThan(40);
    a.table.always('beat', undefined);
    await cluster.clock.advance(1_000);
    expect(a.manager.health().store).toBe('up');
  });
});

describe('memory', () => {
  it('is read without a call within the read lease, after it by one read', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    await use(a, id);
    await cluster.clock.advance(1);
    a.table.calls = [];
    a.table.always('beat', hangs);
    await use(a, id);
    expect(a.table.took()).toBe('');
    await cluster.clock.advance(250);
    await use(a, id);
    expect(a.table.took()).toBe('read');
    a.table.always('beat', undefined);
  });

  it('counts from the sending of a beat', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    await cluster.clock.advance(5_000);
    const gate = new Gate();
    a.table.next('beat', gate.afterwards);
    a.table.always('beat', hangs);
    await use(a, id); // asks for a beat
    await cluster.clock.advance(150);
    gate.open();
    await cluster.clock.advance(40);
    a.table.took();
    await use(a, id);
    expect(a.table.took()).toBe('');
    await cluster.clock.advance(15);
    await use(a, id);
    expect(a.table.took()).toBe('read');
    a.table.always('beat', undefined);
  });

  it('is never read with readLeaseMs 0', async () => {
    const a = await cluster.add('a', { readLeaseMs: 0 });
    const id = await cluster.session(a);
    for (let count = 0; count < 3; count += 1) {
      await use(a, id);
      await found(cluster.within(10, a.manager.findSession(id, { access: 'snapshot' })));
    }
    expect(a.table.took()).toBe('read read read read read read');
  });

  it('is not read after the machine was suspended', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    await use(a, id);
    await cluster.clock.advance(1);
    a.table.took();
    cluster.clock.jumpWall(60_000);
    await use(a, id);
    expect(a.table.took()).toBe('read');
    await cluster.clock.advance(100);
    await use(a, id);
    expect(a.table.took()).toBe('');
  });

  it('is not read while an own commit is on its way', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const session = await found(a.manager.findSession(id));
    increment(session);
    const gate = new Gate();
    a.table.next('commit', gate.afterwards);
    const sent = a.manager.sendSession(session);
    const snapshot = await found(cluster.within(10, a.manager.findSession(id, { access: 'snapshot' })));
    expect(snapshot.get('n')).toBe(1);
    expect(a.table.took()).toBe('commit read');
    gate.open();
    await sent;
  });

  it('is not served by an instance whose lock somebody took, whatever it holds', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    a.table.always('beat', hangs);
    a.table.isDeaf = true;
    await cluster.clock.advance(14_000); // its lease is over
    await cluster.within(500, b.manager.update(id, increment));
    const snapshot = await found(cluster.within(2_100, a.manager.findSession(id, { access: 'snapshot' })));
    expect(snapshot.get('n')).toBe(1);
    a.table.always('beat', undefined);
    a.table.isDeaf = false;
    await cluster.within(3_000, a.manager.update(id, increment));
    expect(await cluster.stored(id)).toEqual({ n: 2 });
  });
});

describe('an instance that hears nothing', () => {
  it('gives back what is idle within a lease third, keeps nothing more and reads from the store', async () => {
    const a = await cluster.add('a');
    const [id, other] = [await cluster.session(a), await cluster.session(a)];
    const running = await found(a.manager.findSession(other));
    a.table.isDeaf = true;
    await cluster.clock.advance(2_500);
    expect(a.manager.health()).toMatchObject({ listening: false, held: 1 });
    expect(await cluster.holder(id)).toBe(undefined);
    increment(running);
    await cluster.within(10, a.manager.sendSession(running));
    expect(await cluster.holder(other)).toBe(undefined);
    await use(a, id);
    expect(a.table.took()).toMatch(/acquire commit$/);
    a.table.isDeaf = false;
    await cluster.clock.advance(2_000);
    await use(a, id);
    expect(a.manager.health()).toMatchObject({ listening: true, held: 1 });
  });

  it('gives back what it had when it reaches a store that was away and has rolled back: with what that lost', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const before = cluster.space.save();
    await cluster.within(100, a.manager.update(id, increment));
    for (const method of ['beat', 'signal', 'commit', 'read'] as const) a.table.always(method, callLost);
    a.table.isDeaf = true;
    await cluster.clock.advance(4_000);
    expect(a.manager.health()).toMatchObject({ listening: false, held: 1 });
    cluster.space.rollBack(before);
    a.table.behave();
    a.table.isDeaf = true;
    await cluster.clock.advance(1_000);
    expect(a.manager.health()).toMatchObject({ listening: false, held: 0 });
    expect(await cluster.holder(id)).toBe(undefined);
    expect(await cluster.stored(id)).toEqual({ n: 1 });
  });

  it('keeps what it had if it hears again before it reaches the store', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    a.table.always('beat', hangs);
    a.table.isDeaf = true;
    await cluster.clock.advance(2_500);
    expect(a.manager.health()).toMatchObject({ listening: false, held: 1 });
    a.table.behave();
    await cluster.clock.advance(4_000);
    expect(a.manager.health()).toMatchObject({ listening: true, held: 1 });
    await use(a, id);
    expect(a.table.took()).toBe('read');
  });

  it('gives back what it had also if it had only just heard again', async () => {
    const a = cluster.make('a');
    const start = a.table.start.bind(a.table);
    const told: ((up: boolean) => void)[] = [];
    a.table.start = (context) => {
      told.push(context.listening);
      return start(context);
    };
    const tell = (up: boolean) => { told[0]?.(up); };
    await a.manager.start();
    await cluster.clock.advance(1_500);
    const id = await cluster.session(a);
    tell(false);
    tell(true);
    await cluster.clock.advance(10);
    expect(a.manager.health()).toMatchObject({ listening: true, held: 1 });
    tell(false);
    await cluster.clock.advance(10);
    expect(a.manager.health()).toMatchObject({ listening: false, held: 0 });
    expect(await cluster.holder(id)).toBe(undefined);
  });

  it('still gets sessions, by polling', async () => {
    const [a, b] = [await cluster.add('a'), await cluster.add('b')];
    const id = await cluster.session(a);
    b.table.isDeaf = true;
    const session = await found(a.manager.findSession(id));
    const updated = b.manager.update(id, increment);
    await cluster.clock.advance(500);
    increment(session);
    await a.manager.sendSession(session);
    await cluster.within(300, updated);
    expect(await cluster.stored(id)).toEqual({ n: 2 });
  });
});

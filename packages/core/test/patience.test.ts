import { afterEach, describe, it, expect } from '@jest/globals';
import type { ClusterError, FindOptions, ManagerEvents, ManagerOptions, Session } from '../src/index.js';
import { Cluster, eventsOf, found, Gate, increment, refusedByStore, type Instance } from './cluster.js';

let cluster = new Cluster();
afterEach(async () => {
  await cluster.stop();
  cluster = new Cluster();
});

type Lock = ManagerEvents['waiting'];
const urlOf = (name: string) => `https://${name}.example.com`;

/** Instances that know their public addresses; the session is used on the first. */
async function used(names: readonly string[], options: ManagerOptions = {}, label = 'POST /slow') {
  const instances: Instance[] = [];
  for (const name of names) instances.push(await cluster.add(name, { publicUrl: urlOf(name), ...options }));
  const [a, b = a, c = b] = instances;
  if (a === undefined || b === undefined || c === undefined) throw new Error('expected a name');
  const id = await cluster.session(a);
  const session = await found(a.manager.findSession(id, { label }));
  return { a, b, c, id, session };
}

const redirected = (promise: Promise<unknown>) => cluster.failure(5, promise);

/** Finds at once, and sends when told. */
const use = async ({ manager }: Instance, id: string, options: FindOptions = {}): Promise<Session> => found(cluster.within(500, manager.findSession(id, options)));

describe("onLocked 'redirect'", () => {
  const redirect = { onLocked: 'redirect' } as const;

  it('rejects as soon as the holder says where it is; the error names the address', async () => {
    const { a, b, id, session } = await used(['a', 'b'], redirect);
    await cluster.clock.advance(40);
    const error = await redirected(b.manager.findSession(id, { label: 'POST /cart' }));
    expect(error).toMatchObject({
      code: 'CLUSTER_LOCKED', status: 503, redirectTo: 'https://a.example.com',
      holder: { instanceId: 'a', isHere: false, label: 'POST /slow', heldMs: 40, publicUrl: 'https://a.example.com' },
    });
    expect(error.message).toContain(`locked by instance ${String(a.manager.health().incarnation)} for 'POST /slow' since 40 ms`);
    expect(error.message).toContain('repeat the request at https://a.example.com');
    await a.manager.sendSession(session);
  });

  it('leaves no claim in the queue of the holder: the session stays there for the redirected request', async () => {
    const { a, b, id, session } = await used(['a', 'b'], redirect);
    await redirected(b.manager.findSession(id));
    const arrived = a.manager.findSession(id, { redirect: false });
    a.table.calls = [];
    increment(session);
    await a.manager.sendSession(session);
    await a.manager.sendSession(await found(cluster.within(1, arrived)));
    expect(a.table.took()).toBe('commit');
    expect(eventsOf(a, 'handover')).toEqual([]);
  });

  it('never redirects away from an idle holder, which gives the session on', async () => {
    const { a, b, id, session } = await used(['a', 'b'], redirect);
    await a.manager.sendSession(session);
    await b.manager.sendSession(await found(cluster.within(5, b.manager.findSession(id))));
    expect(eventsOf(b, 'handover').length).toBe(1);
  });

  it('never redirects to a holder that is giving the session on', async () => {
    const { a, b, c, id, session } = await used(['a', 'b', 'c'], redirect);
    await a.manager.sendSession(session);
    const gate = new Gate();
    a.table.next('commit', gate.fate);
    const first = b.manager.update(id, increment);
    const second = c.manager.findSession(id);
    await cluster.clock.advance(1_000);
    expect(c.table.count('acquire')).toBeGreaterThan(2);
    gate.open();
    await cluster.within(20, first);
    await c.manager.sendSession(await found(cluster.within(400, second)));
  });

  it('sends every request on that waits here', async () => {
    const { a, b, id, session } = await used(['a', 'b'], redirect);
    const three = [1, 2, 3].map(() => redirected(b.manager.findSession(id)));
    for (const error of await Promise.all(three)) expect(error.redirectTo).toBe(urlOf('a'));
    expect(b.manager.health()).toMatchObject({ waiting: 0, inMemory: { sessions: 0 } });
    await a.manager.sendSession(session);
  });

  it('sends a request on that waits behind one which must stay', async () => {
    const { a, b, id, session } = await used(['a', 'b'], redirect);
    const staying = b.manager.findSession(id, { redirect: false });
    await cluster.clock.advance(300);
    const error = await redirected(b.manager.findSession(id));
    expect(error.redirectTo).toBe(urlOf('a'));
    await a.manager.sendSession(session);
    await b.manager.sendSession(await found(cluster.within(5, staying)));
  });

  it.each<[string, (instances: { a: Instance; b: Instance }) => void, ManagerOptions, FindOptions]>([
    ['the holder has no public address', () => undefined, { publicUrl: undefined, onLocked: () => 'redirect' }, {}],
    ['signals do not arrive', ({ b }) => { b.table.isDeaf = true; }, {}, {}],
    ['the request may not', () => undefined, {}, { redirect: false }],
  ])('waits where %s', async (_, prepare, options, find) => {
    const { a, b, id, session } = await used(['a', 'b'], { ...redirect, ...options });
    prepare({ a, b });
    const waiting = b.manager.findSession(id, find);
    await cluster.clock.advance(3_000);
    expect(b.table.count('acquire')).toBeGreaterThan(10);
    await a.manager.sendSession(session);
    await b.manager.sendSession(await found(cluster.within(400, waiting)));
  });

  it('waits where every instance has the address of the balancer', async () => {
    const { a, b, id, session } = await used(['a', 'b'], { ...redirect, publicUrl: 'https://www.example.com' });
    const waiting = b.manager.findSession(id);
    await cluster.clock.advance(1_000);
    await a.manager.sendSession(session);
    await b.manager.sendSession(await found(cluster.within(5, waiting)));
  });

  it('waits where the session is used on this instance', async () => {
    const { a, id, session } = await used(['a'], redirect);
    const waiting = a.manager.findSession(id);
    await cluster.clock.advance(1_000);
    await a.manager.sendSession(session);
    await a.manager.sendSession(await found(cluster.within(1, waiting)));
  });

  it('is not followed to an instance that has fallen silent', async () => {
    const { a, b, id } = await used(['a', 'b'], redirect);
    const staying = b.manager.findSession(id, { redirect: false });
    await cluster.clock.advance(500);
    cluster.kill(a, 'a');
    b.table.answersSignals = (instance) => (instance === 'a' ? true : undefined);
    await cluster.clock.advance(1_500);
    const waiting = b.manager.findSession(id);
    await b.manager.sendSession(await found(cluster.within(12_000, staying)));
    await b.manager.sendSession(await found(cluster.within(10, waiting)));
    expect(eventsOf(b, 'takeover')).toMatchObject([{ evidence: 'silence' }]);
  });

  it.each(['javascript:alert(1)', '//evil.example.com', 'https://evil.example.com/path', '', 7, { href: 'https://evil.example.com' }])('takes %p in a signal for no address', async (publicUrl) => {
    const { a, b, id, session } = await used(['a', 'b'], redirect);
    a.table.answersSignals = (instance) => (instance === 'b' ? true : undefined);
    const waiting = b.manager.findSession(id);
    await cluster.clock.advance(10);
    const revoke = JSON.parse(a.table.heard.findLast((message) => message.includes('"revoke"')) ?? '{}') as { key: string; claim: object; holder: { incarnation: string } };
    const held = { type: 'held', key: revoke.key, claim: revoke.claim, holder: revoke.holder.incarnation, heldMs: 5, label: 'POST /forged' };
    cluster.space.listeners.get('b')?.(JSON.stringify({ ...held, publicUrl }));
    await cluster.clock.advance(500);
    expect(b.manager.health()).toMatchObject({ status: 'up' });
    // The same message with an address is followed: what was sent above did arrive.
    cluster.space.listeners.get('b')?.(JSON.stringify({ ...held, publicUrl: 'https://a.example.com' }));
    expect(await redirected(waiting)).toMatchObject({ redirectTo: 'https://a.example.com', holder: { label: 'POST /forged' } });
    await a.manager.sendSession(session);
  });

  it('waits in an update, which cannot go anywhere, and at the end of a snapshot', async () => {
    const { a, b, id, session } = await used(['a', 'b'], redirect);
    const snapshot = await use(b, id, { access: 'snapshot' });
    snapshot.set('seen', true);
    const sent = b.manager.sendSession(snapshot);
    const updated = b.manager.update(id, increment);
    await cluster.clock.advance(2_000);
    await a.manager.sendSession(session);
    await cluster.within(500, Promise.all([sent, updated]));
    expect(await cluster.stored(id)).toEqual({ n: 1, seen: true });
  });
});

describe('onLocked as a function', () => {
  /** The answer, and what it was asked. */
  function asks(answer: () => unknown): { readonly asked: Lock[]; readonly options: ManagerOptions } {
    const asked: Lock[] = [];
    const onLocked = (lock: Lock) => {
      asked.push(lock);
      return answer() as 'wait';
    };
    return { asked, options: { onLocked } };
  }

  it('is asked once, when the holder has answered, and told what is known', async () => {
    const { asked, options } = asks(() => 'wait');
    const { a, b, id, session } = await used(['a', 'b'], options);
    await cluster.clock.advance(70);
    const waiting = b.manager.findSession(id, { label: 'POST /cart' });
    await cluster.clock.advance(1);
    expect(asked).toEqual([{
      session: expect.stringMatching(/^[0-9a-f]{12}$/), label: 'POST /cart', waitedMs: 0,
      holder: { instanceId: 'a', isHere: false, label: 'POST /slow', heldMs: 70, publicUrl: urlOf('a') },
    }]);
    await cluster.clock.advance(3_000);
    await a.manager.sendSession(session);
    await b.manager.sendSession(await found(cluster.within(5, waiting)));
    expect(asked.length).toBe(1);
  });

  it('is asked at once about a request of this instance', async () => {
    const { asked, options } = asks(() => 'error');
    const { a, id, session } = await used(['a'], options);
    await cluster.clock.advance(30);
    const error = await cluster.failure(0, a.manager.findSession(id, { label: 'POST /cart' }));
    expect(error).toMatchObject({ code: 'CLUSTER_LOCKED', holder: { isHere: true, label: 'POST /slow', heldMs: 30 } });
    expect(error.redirectTo).toBe(undefined);
    expect(asked).toMatchObject([{ label: 'POST /cart', waitedMs: 0, holder: { instanceId: 'a', isHere: true, label: 'POST /slow', heldMs: 30 } }]);
    await a.manager.sendSession(session);
  });

  it('is asked without an answer of the holder, when that had time to give the session on', async () => {
    const { asked, options } = asks(() => 'error');
    const { a, b, id, session } = await used(['a', 'b'], options);
    b.table.isDeaf = true;
    const error = await cluster.failure(40, b.manager.findSession(id));
    expect(error).toMatchObject({ code: 'CLUSTER_LOCKED', holder: { instanceId: 'a', isHere: false, label: undefined, heldMs: undefined, publicUrl: undefined } });
    expect(asked.length).toBe(1);
    await a.manager.sendSession(session);
  });

  it('is not asked where nobody uses the session', async () => {
    const { asked, options } = asks(() => 'error');
    const { a, b, id, session } = await used(['a', 'b'], options);
    await a.manager.sendSession(session);
    await cluster.within(5, b.manager.update(id, increment));
    await cluster.within(5, a.manager.update(id, increment));
    expect(asked).toEqual([]);
  });

  it('is asked about the request before, once that has the session', async () => {
    const { asked, options } = asks(() => 'error');
    const { a, b, id, session } = await used(['a', 'b'], { ...options, affinity: 'release' });
    await a.manager.sendSession(session);
    const gate = new Gate();
    b.table.next('acquire', gate.fate);
    const first = b.manager.findSession(id, { label: 'POST /first' });
    await cluster.clock.advance(100);
    const refused = cluster.failure(100, b.manager.findSession(id, { label: 'POST /second' }));
    await cluster.clock.advance(20);
    expect(asked).toEqual([]);
    gate.open();
    expect(await refused).toMatchObject({ code: 'CLUSTER_LOCKED', holder: { isHere: true, label: 'POST /first', heldMs: 0 } });
    await b.manager.sendSession(await found(first));
  });

  it('is asked about another instance by those that wait behind the one who asks it, too', async () => {
    const { asked, options } = asks(() => (asked.length === 1 ? 'wait' : 'error'));
    const { a, b, id, session } = await used(['a', 'b'], options);
    b.table.isDeaf = true;
    const first = b.manager.findSession(id, { label: 'POST /first' });
    await cluster.clock.advance(1);
    expect(await cluster.failure(40, b.manager.findSession(id, { label: 'POST /second' }))).toMatchObject({ holder: { instanceId: 'a' } });
    expect(asked.map(({ label }) => label).sort()).toEqual(['POST /first', 'POST /second']);
    expect(await cluster.failure(0, b.manager.findSession(id, { label: 'POST /third' }))).toMatchObject({ holder: { instanceId: 'a' } });
    await a.manager.sendSession(session);
    await b.manager.sendSession(await found(cluster.within(400, first)));
  });

  it("redirects where it answers 'redirect', and may look at the address", async () => {
    const { options } = asks(() => 'redirect');
    const { a, b, id, session } = await used(['a', 'b'], options);
    expect(await redirected(b.manager.findSession(id))).toMatchObject({ redirectTo: urlOf('a') });
    await a.manager.sendSession(session);
  });

  it.each<[string, () => unknown, RegExp]>([
    ['throws', () => { throw new TypeError('no such route'); }, /^onLocked: expected 'wait', 'error' or 'redirect' from the function; it threw$/],
    ['answers another word', () => 'retry', /, found 'retry'$/],
    ['answers a promise', () => Promise.resolve('wait'), /, found Promise$/],
    ['answers nothing', () => undefined, /, found undefined$/],
  ])('that %s fails its request with CLUSTER_BAD_OPTION, and nobody else', async (_, answer, message) => {
    const { options } = asks(answer);
    const { a, b, id, session } = await used(['a', 'b'], options);
    const errors: ClusterError[] = [await cluster.failure(5, b.manager.findSession(id)), await cluster.failure(5, a.manager.findSession(id))];
    for (const error of errors) {
      expect(error.code).toBe('CLUSTER_BAD_OPTION');
      expect(error.message).toMatch(message);
    }
    increment(session);
    await a.manager.sendSession(session);
    await cluster.within(5, b.manager.update(id, increment));
    expect(await cluster.stored(id)).toEqual({ n: 2 });
  });
});

describe('the event `waiting`', () => {
  it('tells of a wait for a request of this instance, once, after a second', async () => {
    const { a, id, session } = await used(['a']);
    await cluster.clock.advance(500);
    const waiting = a.manager.findSession(id, { label: 'POST /cart' });
    await cluster.clock.advance(999);
    expect(eventsOf(a, 'waiting')).toEqual([]);
    await cluster.clock.advance(1);
    const told = [{
      session: expect.stringMatching(/^[0-9a-f]{12}$/), label: 'POST /cart', waitedMs: 1_000,
      holder: { instanceId: 'a', isHere: true, label: 'POST /slow', heldMs: 1_500, publicUrl: urlOf('a') },
    }];
    expect(eventsOf(a, 'waiting')).toEqual(told);
    await cluster.clock.advance(5_000);
    expect(eventsOf(a, 'waiting')).toEqual(told);
    await a.manager.sendSession(session);
    await a.manager.sendSession(await found(waiting));
  });

  it('tells of a wait for a request of another instance, and of those that wait behind it, each once', async () => {
    const { a, b, id, session } = await used(['a', 'b']);
    const waiting = ['POST /1', 'POST /2'].map(async (label) => {
      const mine = await found(b.manager.findSession(id, { label }));
      await b.manager.sendSession(mine);
    });
    await cluster.clock.advance(999);
    expect(eventsOf(b, 'waiting')).toEqual([]);
    await cluster.clock.advance(251);
    const holder = { instanceId: 'a', isHere: false, label: 'POST /slow' };
    expect(eventsOf(b, 'waiting').sort((one, other) => String(Reflect.get(one, 'label')).localeCompare(String(Reflect.get(other, 'label')))))
      .toMatchObject([{ label: 'POST /1', holder }, { label: 'POST /2', holder }]);
    await cluster.clock.advance(5_000);
    expect(eventsOf(b, 'waiting').length).toBe(2);
    expect(eventsOf(a, 'waiting')).toEqual([]);
    await a.manager.sendSession(session);
    await cluster.within(20, Promise.all(waiting));
  });

  it('tells nothing of a store that is slow, nor of a wait that ends in time', async () => {
    const { a, b, id, session } = await used(['a', 'b']);
    const waiting = b.manager.findSession(id);
    await cluster.clock.advance(900);
    await a.manager.sendSession(session);
    const mine = await found(cluster.within(5, waiting));
    await b.manager.sendSession(mine);
    a.table.next('acquire', (run) => new Promise((resolve, reject) => { cluster.clock.timer(() => { run().then(resolve, reject); }, 1_500); }));
    await cluster.within(1_700, a.manager.update(id, increment));
    expect([...eventsOf(a, 'waiting'), ...eventsOf(b, 'waiting')]).toEqual([]);
  });

  it('tells nothing of a request whose change the store does not answer', async () => {
    const { a, id, session } = await used(['a']);
    increment(session);
    const gate = new Gate();
    a.table.next('commit', gate.fate);
    const sent = a.manager.sendSession(session);
    const waiting = found(a.manager.findSession(id));
    await cluster.clock.advance(1_500);
    expect(eventsOf(a, 'waiting')).toEqual([]);
    gate.open();
    await cluster.within(20, sent);
    await a.manager.sendSession(await cluster.within(20, waiting));
  });

  it('costs a request that need not wait no timer', async () => {
    const { a, id, session } = await used(['a']);
    await a.manager.sendSession(session);
    const { timer } = cluster.clock;
    let timers = 0;
    Object.assign(cluster.clock, { timer: (callback: () => void, ms: number, isAwaited?: boolean) => { if (isAwaited === true) timers += 1; return timer(callback, ms, isAwaited); } });
    const mine = await found(a.manager.findSession(id));
    expect(timers).toBe(0);
    const waiting = a.manager.findSession(id);
    await cluster.clock.advance(0);
    expect(timers).toBe(1);
    Object.assign(cluster.clock, { timer });
    await a.manager.sendSession(mine);
    await a.manager.sendSession(await found(waiting));
  });

  it('tells of a holder that does not answer what the store says', async () => {
    const { a, b, id, session } = await used(['a', 'b']);
    b.table.isDeaf = true;
    const waiting = b.manager.findSession(id);
    await cluster.clock.advance(1_250);
    expect(eventsOf(b, 'waiting')).toMatchObject([{ label: undefined, holder: { instanceId: 'a', isHere: false, label: undefined, heldMs: undefined } }]);
    await a.manager.sendSession(session);
    await b.manager.sendSession(await found(cluster.within(400, waiting)));
  });
});

describe('a wait that is over', () => {
  it('names the holder, also to those that wait behind the one who asks it', async () => {
    const { a, b, id, session } = await used(['a', 'b']);
    const staying = b.manager.findSession(id);
    const error = await cluster.failure(600, b.manager.findSession(id, { waitMs: 500 }));
    expect(error).toMatchObject({ holder: { instanceId: 'a', isHere: false, label: 'POST /slow', heldMs: 500 } });
    expect(error.message).toMatch(/locked by instance a\.[0-9a-f]+ for 'POST \/slow' since 500 ms; waited 500 ms/);
    await a.manager.sendSession(session);
    await b.manager.sendSession(await found(cluster.within(5, staying)));
  });

  it('forgets what an earlier holder said', async () => {
    const { a, b, c, id, session } = await used(['a', 'b', 'c']);
    const staying = b.manager.findSession(id);
    await cluster.clock.advance(100);
    const waiting = cluster.failure(600, c.manager.findSession(id, { waitMs: 500 }));
    await cluster.clock.advance(100);
    // From now on no answer reaches c.
    c.table.isDeaf = true;
    await a.manager.sendSession(session);
    const mine = await found(cluster.within(5, staying));
    const error = await waiting;
    expect(error).toMatchObject({ holder: { instanceId: 'b', label: undefined } });
    expect(error.message).not.toContain('/slow');
    await b.manager.sendSession(mine);
  });

  it('counts since the holder has the lock, not since it waits for it', async () => {
    const { a, b, id, session } = await used(['a', 'b']);
    const waiting = b.manager.findSession(id, { label: 'POST /second' });
    await cluster.clock.advance(700);
    await a.manager.sendSession(session);
    const mine = await found(cluster.within(5, waiting));
    await cluster.clock.advance(20);
    const error = await cluster.failure(100, a.manager.findSession(id, { waitMs: 50 }));
    expect(error.holder).toMatchObject({ instanceId: 'b', label: 'POST /second' });
    expect(error.holder?.heldMs).toBeLessThan(100);
    await b.manager.sendSession(mine);
  });
});

describe('a session that is new in its request', () => {
  it('goes by the label of the request, in lock errors and in events', async () => {
    const a = await cluster.add('a');
    const failed: unknown[] = [];
    a.manager.on('sendFailed', ({ label }) => { failed.push(label); });
    const session = a.manager.createSession({ label: 'POST /login' });
    session.set('n', 0);
    await a.manager.sendSession(session, { release: false });
    expect((await cluster.failure(5, a.manager.findSession(session.id, { waitMs: 0 }))).holder).toMatchObject({ label: 'POST /login' });
    await a.manager.sendSession(session);
    const other = a.manager.createSession({ label: 'POST /other' });
    other.set('n', 0);
    a.table.next('create', refusedByStore);
    await expect(a.manager.sendSession(other)).rejects.toMatchObject({ code: 'CLUSTER_UNAVAILABLE' });
    expect(failed).toEqual(['POST /other']);
  });

  it('keeps the label when its id is changed', async () => {
    const a = await cluster.add('a');
    const first = a.manager.createSession({ label: 'POST /login' });
    first.set('n', 0);
    const fresh = await a.manager.changeSessionId(first);
    await a.manager.sendSession(fresh, { release: false });
    const moved = await a.manager.changeSessionId(fresh);
    expect((await cluster.failure(5, a.manager.findSession(moved.id, { waitMs: 0 }))).holder).toMatchObject({ label: 'POST /login' });
    await a.manager.sendSession(moved);
  });
});

import { KEEP, NEW, RELEASE, type StoreClause } from '../store-bench.js';

const ROUNDS = 10;
const INCREMENTS = 200;
const FENCED = 'CLUSTER_FENCED';

const granted = (outcomes: readonly PromiseSettledResult<unknown>[]) => outcomes.flatMap((outcome, n) => (outcome.status === 'fulfilled' ? [n] : []));

export const storeLockingClauses: readonly StoreClause[] = [
  {
    title: 'send of a session that does not exist is refused and creates nothing',
    async run(bench) {
      const [one, other] = await bench.two();
      const id = bench.id();
      await bench.proof.rejects(one.send(bench.session(id, { a: '1' }), RELEASE), 'the send', FENCED);
      bench.proof.equal(await other.find(id), undefined, 'what is found afterwards');
    },
  },
  {
    title: 'find of an unknown id is undefined, and locks nothing',
    async run(bench) {
      const [one, other] = await bench.two();
      const id = bench.id();
      bench.proof.equal([await one.find(id), await other.find(id), await one.find(id)], [undefined, undefined, undefined],
        'what is found');
    },
  },
  {
    title: 'a session that was added is found by the other instance, with its content and lifetime',
    async run(bench) {
      const [one, other] = await bench.two();
      const added = bench.session(bench.id(), { a: '"first"', b: '[1,2]' });
      await one.send(added, NEW);
      const { id, attributes, lifetimeMs } = await bench.found(other, added.id);
      bench.proof.equal({ id, attributes, lifetimeMs }, { id: added.id, attributes: added.attributes, lifetimeMs: added.lifetimeMs },
        'what is found');
    },
  },
  {
    title: 'a found session is locked for the other instance until it is sent',
    async run(bench) {
      const [one, other] = await bench.two();
      const id = await bench.added(one);
      for (const [holder, waiter] of [[one, other], [other, one]] as const) {
        const session = await bench.found(holder, id);
        await bench.locked(waiter, id, 'a find while the other instance has it');
        await holder.send(session, RELEASE);
        await bench.free(waiter, id, 'a find after it was sent');
      }
    },
  },
  {
    title: 'find made twice by the same instance is granted twice; one send frees it',
    async run(bench) {
      const [one, other] = await bench.two();
      const id = await bench.added(one);
      const session = await bench.found(one, id);
      bench.proof.equal((await one.find(id))?.attributes, session.attributes, 'what is found again');
      await one.send(session, RELEASE);
      await bench.free(other, id, 'a find of the other instance');
    },
  },
  {
    title: 'an update replaces the content, and is what the other instance finds from then on',
    async run(bench) {
      const [one, other] = await bench.two();
      const id = await bench.added(one, { a: '1', b: '2' });
      await one.send({ ...await bench.found(one, id), attributes: new Map([['b', '20'], ['c', '3']]) }, RELEASE);
      bench.proof.equal(await bench.content(other, id), new Map([['b', '20'], ['c', '3']]), 'the content');
      await other.send(await bench.changed(other, id, { d: '4' }), RELEASE);
      bench.proof.equal(await bench.content(one, id), new Map([['b', '20'], ['c', '3'], ['d', '4']]),
        'the content, updated the other way');
    },
  },
  {
    title: 'send with keep stores and keeps the lock, for a new session and for an update',
    async run(bench) {
      const [one, other] = await bench.two();
      const id = await bench.added(one, { n: '1' }, true);
      await bench.locked(other, id, 'a find after the add with keep');
      const session = bench.session(id, { n: '2' });
      await one.send(session, KEEP);
      await bench.locked(other, id, 'a find after the update with keep');
      await one.send(bench.session(id, { n: '3' }), RELEASE);
      bench.proof.equal(await bench.content(other, id), new Map([['n', '3']]), 'the content after the last update');
    },
  },
  {
    title: 'send without having found the session is refused and stores nothing',
    async run(bench) {
      const [one, other] = await bench.two();
      const id = await bench.added(one);
      await bench.proof.rejects(other.send(bench.session(id, { n: '-1' }), RELEASE), 'a send to a free session', FENCED);
      const held = await bench.changed(one, id, { n: '1' });
      await bench.proof.rejects(other.send(bench.session(id, { n: '-1' }), RELEASE), 'a send to a session that the other has', FENCED);
      await bench.locked(other, id, 'a find afterwards');
      await one.send(held, RELEASE);
      bench.proof.equal(await bench.content(other, id), new Map([['n', '1']]), 'the content');
    },
  },
  {
    title: 'send made late, after the lock was given back, is refused and stores nothing',
    async run(bench) {
      const [one, other] = await bench.two();
      const id = await bench.added(one);
      await one.send(await bench.changed(one, id, { n: '1' }), RELEASE);
      await bench.proof.rejects(one.send(bench.session(id, { n: '-1' }), RELEASE), 'the late send', FENCED);
      bench.proof.equal(await bench.content(other, id), new Map([['n', '1']]), 'the content');
    },
  },
  {
    title: 'an add of an id that exists is refused and stores nothing',
    async run(bench) {
      const [one, other] = await bench.two();
      const id = await bench.added(one);
      await bench.proof.rejects(other.send(bench.session(id, { n: '-1' }), NEW), 'the second add');
      bench.proof.equal(await bench.content(one, id), new Map([['n', '0']]), 'the content');
    },
  },
  {
    title: 'of two finds at once exactly one is granted',
    async run(bench) {
      const stores = await bench.two();
      const id = await bench.added(stores[0]);
      for (let round = 0; round < ROUNDS; round += 1) {
        await bench.free(stores[round % 2 === 0 ? 0 : 1], id, 'a find before the race');
        const outcomes = await Promise.allSettled(stores.map((store) => store.find(id)));
        const winners = granted(outcomes);
        bench.proof.equal(winners.length, 1, 'finds granted');
        await stores[winners[0] === 0 ? 0 : 1].send(bench.session(id, { n: String(round) }), RELEASE);
      }
    },
  },
  {
    title: 'of two adds of one id at once exactly one is stored',
    async run(bench) {
      const stores = await bench.two();
      for (let round = 0; round < ROUNDS; round += 1) {
        const id = bench.id();
        const winners = granted(await Promise.allSettled(stores.map((store, n) => store.send(bench.session(id, { n: String(n) }), NEW))));
        bench.proof.equal(winners.length, 1, 'adds accepted');
        bench.proof.equal(await bench.content(stores[round % 2 === 0 ? 0 : 1], id), new Map([['n', String(winners[0])]]),
          'the content');
      }
    },
  },
  {
    title: `${INCREMENTS} increments by two processes at once lose none`,
    async run(bench) {
      const [one, other] = await bench.two();
      const id = await bench.added(one);
      await Promise.all([one, other].map((store) => store.increment(id, INCREMENTS / 2)));
      bench.proof.equal(await bench.content(one, id), new Map([['n', String(INCREMENTS)]]), 'the content');
    },
  },
];

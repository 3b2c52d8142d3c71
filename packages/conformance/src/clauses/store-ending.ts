import type { SessionSnapshot } from '@cluster/core';
import { KEEP, NEW, RELEASE, type StoreBench, type StoreClause, type StoreLimits } from '../store-bench.js';
import type { OptionalMethod, RemoteStore } from '../processes/remote-store.js';
import { describeError } from '../proof.js';

const FENCED = 'CLUSTER_FENCED';
const ROUNDING_MS = 20;
const POLL_MS = 250;
const ALIVE = 'the process of a stopped store ends by itself: something that start or a call began still keeps it alive, such as a timer or a socket';

const without = (method: OptionalMethod) => ({ lacks }: StoreLimits) => (lacks.includes(method) ? `the store has no ${method}` : undefined);

const removing: readonly StoreClause[] = [
  {
    title: 'remove ends a session for both instances, also made twice, and of an unknown id it resolves',
    async run(bench) {
      const [one, other] = await bench.two();
      const id = await bench.added(one);
      await bench.found(one, id);
      await one.remove(id, 'removed');
      bench.proof.equal([await one.find(id), await other.find(id)], [undefined, undefined], 'what is found');
      await other.remove(id, 'removed');
      await one.remove(bench.id(), 'removed');
      bench.proof.equal(await one.find(id), undefined, 'what is found after the second remove');
    },
  },
  {
    title: 'send made late, after somebody else removed the session, is refused and does not bring it back',
    async run(bench) {
      const [one, other] = await bench.two();
      for (const options of [RELEASE, KEEP, NEW]) {
        const id = await bench.added(one);
        const session = await bench.changed(one, id, { n: '1' });
        await other.remove(id, 'removed');
        await bench.proof.rejects(one.send(session, options), `the late send, isNew: ${String(options.isNew)}`, FENCED);
        bench.proof.equal(await other.find(id), undefined, 'what is found');
      }
    },
  },
  {
    title: 'a session that somebody else removed is gone for the instance that has it locked, too',
    async run(bench) {
      const [one, other] = await bench.two();
      const id = await bench.added(one);
      await bench.found(one, id);
      await other.remove(id, 'removed');
      bench.proof.equal(await one.find(id), undefined, 'what the holder finds');
    },
  },
  {
    title: 'find of a session that goes on under another id is rejected by CLUSTER_MOVED',
    async run(bench) {
      const [one, other] = await bench.two();
      const id = await bench.added(one);
      const session = await bench.found(one, id);
      await one.remove(id, 'moved');
      await bench.proof.rejects(other.find(id), 'a find of the other instance', 'CLUSTER_MOVED');
      await bench.proof.rejects(one.find(id), 'a find of the same instance', 'CLUSTER_MOVED');
      await bench.proof.rejects(one.send(session, RELEASE), 'a late send', FENCED);
    },
  },
  {
    title: 'remove of a session that goes on under another id is rejected by CLUSTER_MOVED, and it counts as moved from then on, too',
    async run(bench) {
      const [one, other] = await bench.two();
      const id = await bench.added(one);
      await bench.found(one, id);
      await one.remove(id, 'moved');
      await bench.proof.rejects(other.remove(id, 'removed'), 'a remove of the other instance', 'CLUSTER_MOVED');
      await bench.proof.rejects(one.remove(id, 'removed'), 'a remove of the same instance', 'CLUSTER_MOVED');
      await bench.proof.rejects(other.find(id), 'a find after that', 'CLUSTER_MOVED');
    },
  },
  {
    title: 'remove as moved without the lock is refused and changes nothing, also after somebody else removed the session',
    async run(bench) {
      const [one, other] = await bench.two();
      const id = await bench.added(one);
      await bench.proof.rejects(other.remove(id, 'moved'), 'a remove as moved of a free session', FENCED);
      const session = await bench.found(one, id);
      await bench.proof.rejects(other.remove(id, 'moved'), 'a remove as moved of a session that the other has', FENCED);
      await one.send(session, KEEP);
      await other.remove(id, 'removed');
      await bench.proof.rejects(one.remove(id, 'moved'), 'a remove as moved after the other removed it', FENCED);
      bench.proof.equal([await one.find(id), await other.find(id)], [undefined, undefined], 'what is found');
    },
  },
];

const expiring: readonly StoreClause[] = [
  {
    title: 'a session is there until its lifetime is over, and not long after it',
    async run(bench) {
      const [one, other] = await bench.two();
      const [id, spanMs, seen] = await bench.time.inTime(async (lifetimeMs) => {
        const fresh = bench.id();
        const validUntilMs = bench.time.nowMs() + lifetimeMs;
        await one.send(bench.session(fresh, { n: '0' }, lifetimeMs), NEW);
        await bench.time.wait(lifetimeMs / 2);
        const session = await other.find(fresh);
        if (session !== undefined) await other.send(session, RELEASE);
        return { seen: [fresh, lifetimeMs, session?.attributes] as const, validUntilMs };
      });
      bench.proof.equal(seen, new Map([['n', '0']]), 'the content within the lifetime');
      await bench.time.wait(spanMs * 1.1 + bench.limits.lateMs);
      bench.proof.equal([await one.find(id), await other.find(id)], [undefined, undefined], 'what is found after it');
    },
  },
  {
    title: 'send makes a session live on',
    async run(bench) {
      const [one, other] = await bench.two();
      const [id, spanMs] = await bench.time.inTime(async (lifetimeMs) => {
        const fresh = bench.id();
        const validUntilMs = bench.time.nowMs() + lifetimeMs;
        await one.send(bench.session(fresh, { n: '0' }, lifetimeMs), { ...KEEP, isNew: true });
        await one.send(bench.session(fresh, { n: '1' }), RELEASE);
        return { seen: [fresh, lifetimeMs] as const, validUntilMs };
      });
      await bench.time.wait(spanMs * 1.1 + bench.limits.lateMs);
      bench.proof.equal((await other.find(id))?.attributes, new Map([['n', '1']]), 'the content after the first lifetime');
    },
  },
  {
    title: 'send with a shorter lifetime ends a session sooner, also with a kept lock',
    async run(bench) {
      const [one, other] = await bench.two();
      const [kept, released] = [await bench.added(one), await bench.added(one)];
      for (const [id, how] of [[kept, KEEP], [released, RELEASE]] as const) {
        await one.send({ ...await bench.found(one, id), lifetimeMs: bench.paceMs }, how);
      }
      await bench.time.wait(bench.paceMs * 1.1 + bench.limits.lateMs);
      bench.proof.equal([await other.find(kept), await other.find(released)], [undefined, undefined], `what is found after a lifetime of ${bench.paceMs} ms`);
    },
  },
  {
    title: 'age counts from the add',
    async run(bench) {
      const [one, other] = await bench.two();
      const beginMs = bench.time.nowMs();
      const id = await bench.added(one);
      await bench.time.wait(bench.paceMs);
      const { ageMs } = await bench.found(other, id);
      const mostMs = bench.time.nowMs() - beginMs + ROUNDING_MS;
      bench.proof.ok(ageMs >= bench.paceMs - ROUNDING_MS && ageMs <= mostMs,
        `an age of ${ageMs} ms, at most ${mostMs} ms after the add`);
    },
  },
  {
    title: 'readSession shows the last state that was sent, and takes no lock',
    exempt: without('readSession'),
    async run(bench) {
      const [one, other] = await bench.two();
      const id = await bench.added(one);
      const session = await bench.changed(one, id, { n: '1' });
      bench.proof.equal((await other.read(id))?.attributes, new Map([['n', '0']]), 'what the other reads while it is locked');
      await one.send(session, KEEP);
      bench.proof.equal((await other.read(id))?.attributes, new Map([['n', '1']]), 'what the other reads after the send');
      await bench.locked(other, id, 'a find of the other');
      await one.send(session, RELEASE);
      await other.read(id);
      await bench.free(one, id, 'a find after the other read it');
      bench.proof.equal(await other.read(bench.id()), undefined, 'what is read of an unknown id');
    },
  },
  {
    title: 'touchSessions makes sessions live on, also of others, and brings none back',
    exempt: without('touchSessions'),
    async run(bench) {
      const [one, other] = await bench.two();
      const removed = await bench.added(one);
      await one.remove(removed, 'removed');
      const [id, spanMs] = await bench.time.inTime(async (lifetimeMs) => {
        const fresh = bench.id();
        const validUntilMs = bench.time.nowMs() + lifetimeMs;
        await one.send(bench.session(fresh, { n: '0' }, lifetimeMs), NEW);
        await other.touch(new Map([[fresh, 60_000], [removed, 60_000], [bench.id(), 60_000]]));
        return { seen: [fresh, lifetimeMs] as const, validUntilMs };
      });
      await bench.time.wait(spanMs * 1.1 + bench.limits.lateMs);
      bench.proof.equal((await one.find(id))?.attributes, new Map([['n', '0']]), 'the content after the first lifetime');
      bench.proof.equal(await one.find(removed), undefined, 'what is found of a removed session');
    },
  },
];

/** Finds what a killed process had locked, within the time that the harness promises. */
async function hadAgain(bench: StoreBench, store: RemoteStore, id: string): Promise<SessionSnapshot> {
  let last = 'nothing was found';
  const found = () => store.find(id, { waitMs: POLL_MS }).catch((error: unknown) => { last = describeError(error); });
  return bench.time.until(() => `the session can be had again (the last answer: ${last}), as the harness promises by takeOverMs`,
    async () => await found() ?? undefined, bench.limits.takeOverMs);
}

const stopping: readonly StoreClause[] = [
  {
    title: 'after the process of its holder was killed a session can be had again in time, with its last content that was acknowledged',
    async run(bench) {
      const [one, other] = await bench.two();
      const id = await bench.added(one);
      await one.send(await bench.changed(one, id, { n: 'acknowledged' }), KEEP);
      await one.kill();
      const killedMs = bench.time.nowMs();
      const session = await hadAgain(bench, other, id);
      const tookMs = bench.time.nowMs() - killedMs;
      bench.proof.equal(session.attributes, new Map([['n', 'acknowledged']]), 'the content');
      // One poll of slack: the last attempt began within the time.
      bench.proof.ok(tookMs <= bench.limits.takeOverMs + 2 * POLL_MS,
        `had again after ${tookMs} of ${bench.limits.takeOverMs} ms`);
      await other.send({ ...session, attributes: new Map([['n', 'next']]) }, RELEASE);
      bench.proof.equal(await bench.content((await bench.two())[1], id), new Map([['n', 'next']]),
        'the content after the next send');
    },
  },
  {
    title: 'a process that is started again under the same instanceId has not the locks of the one that was killed, and keeps none of them from others',
    async run(bench) {
      const [one, other] = await bench.two();
      const [id, old] = [await bench.added(one), await bench.added(one)];
      await bench.found(one, id);
      const session = await bench.changed(one, old, { n: 'of the former life' });
      await one.kill();
      const again = await bench.again(one);
      await bench.proof.rejects(again.send(session, RELEASE), 'a send of what the former life had locked', FENCED);
      bench.proof.equal((await hadAgain(bench, other, id)).attributes, new Map([['n', '0']]), 'what the other instance finds');
    },
  },
  {
    title: 'stop frees what the instance had locked, and leaves nothing that keeps its process alive',
    async run(bench) {
      const [one, other] = await bench.two();
      const id = await bench.added(one);
      await bench.found(one, id);
      bench.proof.ok(await one.stop(), ALIVE);
      await bench.free(other, id, 'a find of the other instance');
      bench.proof.ok(await other.stop(), ALIVE);
    },
  },
];

/** The last one stops both processes. */
export const storeEndingClauses: readonly StoreClause[] = [...removing, ...expiring, ...stopping];

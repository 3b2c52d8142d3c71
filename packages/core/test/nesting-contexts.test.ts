import { AsyncResource } from 'node:async_hooks';
import { afterEach, beforeEach, describe, it, expect } from '@jest/globals';
import { Cluster, found, Gate, increment } from './cluster.js';

let cluster = new Cluster();
afterEach(async () => {
  await cluster.stop();
  cluster = new Cluster();
});

/** Each storage in use, those of the test runner too, puts a symbol on every promise; from Node.js 24 on none does. */
const marks = () => Object.getOwnPropertySymbols(Promise.resolve()).length;
let others = 0;
beforeEach(() => { others = marks(); });
const isNoted = () => marks() > others;
const notesPromises = Number.parseInt(process.versions.node) < 24;

describe('the contexts of requests', () => {
  const readOf = async (a: Awaited<ReturnType<Cluster['add']>>, id: string) => {
    const snapshot = await found(a.manager.findSession(id, { access: 'snapshot', reentrant: true }));
    await a.manager.sendSession(snapshot);
  };

  it('are noted from a request that locks until a read begins after its end', async () => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    await readOf(a, id);
    const noted = [isNoted()];
    for (let round = 0; round < 2; round += 1) {
      const session = await found(a.manager.findSession(id, { reentrant: true }));
      await readOf(a, id);
      noted.push(isNoted());
      await a.manager.sendSession(session);
      await readOf(a, id);
      noted.push(isNoted());
    }
    expect(noted).toEqual([false, notesPromises, false, notesPromises, false]);
  });

  it.each(['absent', 'refused', 'waits too long'])('are noted no more after a request that got nothing: %s', async (why) => {
    const a = await cluster.add('a');
    const id = await cluster.session(a);
    const other = why === 'waits too long' ? await found(a.manager.findSession(id)) : undefined;
    const asked = why === 'absent' ? 'x'.repeat(32) : id;
    const ask = a.manager.findSession(asked, { reentrant: true, waitMs: 50, ...(why === 'refused' && { signal: AbortSignal.abort() }) });
    if (why === 'absent') expect(await cluster.within(100, ask)).toBeUndefined();
    else await expect(cluster.within(100, ask)).rejects.toThrow();
    if (other !== undefined) await a.manager.sendSession(other);
    await readOf(a, id);
    expect(isNoted()).toBe(false);
  });

  it.each(['new', 'snapshot'] as const)('stay noted while a save is on its way that brings the lock: %s', async (kind) => {
    const a = await cluster.add('a', { lockTimeoutMs: 1000 });
    const id = await cluster.session(a);
    await new AsyncResource('request').runInAsyncScope(async () => {
      const handle = kind === 'new' ? a.manager.createSession({ reentrant: true }) : await found(a.manager.findSession(id, { access: 'snapshot', reentrant: true }));
      handle.set('n', 5);
      const gate = new Gate();
      a.table.next(kind === 'new' ? 'create' : 'commit', gate.fate);
      const saved = a.manager.sendSession(handle, { release: false });
      // Another request reads meanwhile.
      await new AsyncResource('request').runInAsyncScope(() => readOf(a, id));
      gate.open();
      await cluster.within(100, saved);
      await cluster.within(100, a.manager.update(handle.id, (inner) => { expect(inner).toBe(handle); increment(inner); }));
      await a.manager.sendSession(handle);
      expect(await cluster.stored(handle.id)).toEqual({ n: 6 });
    });
  });
});

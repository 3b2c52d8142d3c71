import { beforeEach, describe, it, expect } from '@jest/globals';
import { manualClock, type ManualClock } from '../src/clock.js';
import { MapTable } from '../src/drivers/map-table.js';
import type { Claim, Encoded, SessionRecord, Stamp, Write } from '../src/drivers/session-table.js';
import { context, ScriptedMap, sessionKey } from './scripted-map.js';

const key = sessionKey('1');
const claim = (grant: string, incarnation = `${grant}.inc`): Claim => ({ incarnation, grant });
const setting = (attributes: Record<string, Encoded>, lifetimeMs = 1000, whole = false, remove: string[] = []): Write =>
  ({ change: { set: new Map(Object.entries(attributes)), remove, whole }, lifetimeMs });
const at = (version: number, grant = 'one'): Stamp => ({ grant, version });
const unlock: Write = { change: undefined, lifetimeMs: 0 };
const one = claim('one');
const two = claim('two');

let clock: ManualClock;
let map: ScriptedMap;
let table: MapTable;
let other: MapTable;

beforeEach(async () => {
  clock = manualClock();
  map = new ScriptedMap(clock);
  table = new MapTable(map, clock);
  other = new MapTable(map, clock);
  await table.start(context());
});

const create = (write = setting({ n: '1' }), then: 'keep' | 'release' = 'keep') => table.create(key, one, write, then);

async function record(from = table): Promise<SessionRecord> {
  const read = await from.read(key);
  if (read.kind !== 'record') throw new Error(`expected a record, found ${JSON.stringify(read)}`);
  return read;
}
const content = async () => Object.fromEntries((await record(other)).attributes ?? []);

describe('acquire', () => {
  it('never creates', async () => {
    expect(await table.acquire(key, one)).toEqual({ kind: 'absent' });
    expect(map.took()).toBe('get');
  });

  it('takes a free session with one look and one put, and the same call again with one look', async () => {
    await create(setting({ n: '1' }), 'release');
    map.took();
    const acquired = await other.acquire(key, two);
    expect(acquired).toMatchObject({ kind: 'granted', record: { stamp: { grant: 'one', version: 1 }, holder: two, last: 'one.inc' } });
    expect(map.took()).toBe('get put');
    expect(await other.acquire(key, two)).toEqual(acquired);
    expect(map.took()).toBe('get');
  });

  it('is busy while another holds it, unless it names the grant to take it from', async () => {
    await create();
    expect(await other.acquire(key, two)).toEqual({ kind: 'busy', holder: one });
    expect(await other.acquire(key, two, 'three')).toEqual({ kind: 'busy', holder: one });
    expect(await other.acquire(key, two, 'one')).toMatchObject({ kind: 'granted', record: { holder: two, last: 'one.inc' } });
  });

  it('leaves out a content that the caller has, by the whole stamp', async () => {
    await create(setting({ n: '1' }), 'release');
    const granted = async (have: { grant: string; version: number }) => {
      const acquired = await other.acquire(key, two, undefined, have);
      return acquired.kind === 'granted' ? acquired.record.attributes : acquired;
    };
    expect(await granted({ grant: 'one', version: 1 })).toBeUndefined();
    expect(await granted({ grant: 'one', version: 2 })).toEqual(new Map([['n', '1']]));
    expect(await granted({ grant: 'two', version: 1 })).toEqual(new Map([['n', '1']]));
  });

  it('looks again when somebody is quicker', async () => {
    await create(setting({}), 'release');
    map.meanwhile = () => other.acquire(key, two);
    expect(await table.acquire(key, claim('three'))).toEqual({ kind: 'busy', holder: two });
  });

  it('gives up after 8 rounds: busy, with the holder where one was seen', async () => {
    await create(setting({}), 'release');
    const touched = async () => {
      const found = await map.inner.get(key);
      if (found !== undefined) await map.inner.compareAndSet(key, found.revision, { value: found.value, lifetimeMs: 1000 });
    };
    map.always = touched;
    map.took();
    expect(await table.acquire(key, two)).toEqual({ kind: 'busy', holder: { incarnation: '', grant: '' } });
    expect(map.took().split(' ')).toHaveLength(16);
    map.always = undefined;
    await table.acquire(key, two);
    map.always = touched;
    expect(await table.acquire(key, one, 'two')).toEqual({ kind: 'busy', holder: two });
  });

  it('counts as use', async () => {
    await create(setting({}, 1000), 'release');
    await clock.advance(900);
    await table.acquire(key, two);
    await clock.advance(900);
    expect(await record()).toMatchObject({ ageMs: 1800, idleMs: 900, lifetimeMs: 1000 });
  });
});

describe('create', () => {
  it('stores version 1 with one put; the same call again finds it mine, another grant finds it existing', async () => {
    expect(await create()).toBe('created');
    expect(map.took()).toBe('put');
    expect(await record()).toMatchObject({ stamp: { grant: 'one', version: 1 }, holder: one, last: undefined, ageMs: 0, lifetimeMs: 1000 });
    expect(await create(setting({ n: '2' }))).toBe('created');
    expect(await other.create(key, two, setting({ n: '2' }), 'keep')).toBe('exists');
    expect(await content()).toEqual({ n: '1' });
  });

  it('may leave it free', async () => {
    await create(setting({}), 'release');
    expect(await record()).toMatchObject({ holder: undefined, last: 'one.inc' });
  });

  it('does not bring back what has a tombstone, also when executed late', async () => {
    await create();
    await table.remove(key, 'one', undefined, 'removed', 1000);
    expect(await create()).toBe('exists');
    expect(await table.read(key)).toEqual({ kind: 'absent', gone: 'removed' });
  });

  it('writes over a record and over a tombstone that have expired, also where the map still returns them', async () => {
    for (const remains of [false, true]) {
      map.forgetful = remains;
      await table.create(key, one, setting({}, 50), 'keep');
      await clock.advance(49);
      expect(await other.create(key, two, setting({}, 50), 'keep')).toBe('exists');
      await clock.advance(1);
      expect(await other.create(key, two, setting({}, 50), 'keep')).toBe('created');
      await other.remove(key, undefined, undefined, 'removed', 50);
      await clock.advance(50);
      expect(await table.create(key, one, setting({}, 50), 'keep')).toBe('created');
      await clock.advance(50);
    }
  });
});

describe('commit', () => {
  it('of a held session is one put, and raises the version', async () => {
    await create();
    map.took();
    expect(await table.commit(key, 'one', at(1), setting({ m: '2' }), 'keep')).toEqual({ kind: 'done', version: 2 });
    expect(await table.commit(key, 'one', at(2), setting({ n: '3' }, 1000, false, ['m']), 'release')).toEqual({ kind: 'done', version: 3 });
    expect(map.took()).toBe('put put');
    expect(await content()).toEqual({ n: '3' });
    expect(await record()).toMatchObject({ holder: undefined, last: 'one.inc' });
  });

  it('is one put as well after an acquire that found the lock its own', async () => {
    await create();
    await table.commit(key, 'one', undefined, unlock, two);
    await other.acquire(key, two);
    map.took();
    expect(await other.commit(key, 'two', at(1), setting({ n: '2' }), 'keep')).toEqual({ kind: 'done', version: 2 });
    expect(map.took()).toBe('put');
  });

  it('made again is done, also after a release or a hand-over', async () => {
    await create();
    for (const then of ['keep', 'release', two] as const) {
      await other.acquire(key, one);
      const { version } = (await record()).stamp;
      const commit = () => table.commit(key, 'one', at(version), setting({ n: 'x' }), then);
      expect(await commit()).toEqual({ kind: 'done', version: version + 1 });
      expect(await commit()).toEqual({ kind: 'done', version: version + 1 });
      expect((await record()).stamp).toEqual({ grant: 'one', version: version + 1 });
    }
  });

  it('executed late, after a re-grant, is fenced and changes nothing', async () => {
    await create();
    await other.acquire(key, two, 'one');
    map.took();
    expect(await table.commit(key, 'one', at(1), setting({ n: 'late' }), 'release')).toEqual({ kind: 'fenced' });
    expect(map.took()).toBe('put get');
    expect(await table.commit(key, 'one', undefined, unlock, 'release')).toEqual({ kind: 'fenced' });
    expect(await record()).toMatchObject({ holder: two, stamp: { version: 1 } });
    expect(await content()).toEqual({ n: '1' });
  });

  it('of another base is behind', async () => {
    await create();
    expect(await table.commit(key, 'one', at(5), setting({ n: '6' }), 'keep')).toEqual({ kind: 'behind' });
    expect(await table.commit(key, 'one', at(1, 'two'), setting({ n: '6' }), 'keep')).toEqual({ kind: 'behind' });
    await table.commit(key, 'one', at(1), setting({ n: '2' }), 'keep');
    await table.commit(key, 'one', at(2), setting({ n: '3' }), 'keep');
    expect(await table.commit(key, 'one', at(1), setting({ n: 'late' }), 'keep')).toEqual({ kind: 'behind' });
    expect(await content()).toEqual({ n: '3' });
  });

  it('of the whole replaces the content of its base, and no other', async () => {
    await create();
    expect(await table.commit(key, 'one', at(1), setting({ w: '2' }, 1000, true), 'keep')).toEqual({ kind: 'done', version: 2 });
    expect(await table.commit(key, 'one', at(1), setting({ w: '2' }, 1000, true), 'keep')).toEqual({ kind: 'done', version: 2 });
    expect(await content()).toEqual({ w: '2' });
    for (const base of [at(7), at(2, 'two')]) {
      expect(await table.commit(key, 'one', base, setting({ w: '3' }, 1000, true), 'keep')).toEqual({ kind: 'behind' });
    }
    expect(await content()).toEqual({ w: '2' });
  });

  it('without a change compares only the grant, and leaves version and content', async () => {
    await create();
    expect(await table.commit(key, 'one', at(99), unlock, two)).toEqual({ kind: 'done', version: 1 });
    expect(await record()).toMatchObject({ holder: two, last: 'one.inc', stamp: { grant: 'one', version: 1 } });
    expect(await table.commit(key, 'one', undefined, unlock, two)).toEqual({ kind: 'fenced' });
    expect(await content()).toEqual({ n: '1' });
  });

  it('of an absent, an expired or a removed session is fenced, with the reason', async () => {
    expect(await table.commit(key, 'one', at(1), setting({}), 'keep')).toEqual({ kind: 'fenced' });
    await create(setting({}, 50));
    await clock.advance(50);
    map.took();
    expect(await table.commit(key, 'one', at(1), setting({}), 'keep')).toEqual({ kind: 'fenced' });
    expect(map.took()).toBe('get');
    await create();
    await other.remove(key, undefined, undefined, 'moved', 1000);
    expect(await table.commit(key, 'one', at(1), setting({}), 'keep')).toEqual({ kind: 'fenced', gone: 'moved' });
    expect(await other.read(key)).toEqual({ kind: 'absent', gone: 'moved' });
  });

  it('starts the lifetime anew, or leaves it and the time of use as they are', async () => {
    await create(setting({}, 1000));
    await clock.advance(400);
    await table.commit(key, 'one', at(1), setting({ n: '2' }, 0), 'keep');
    expect(map.lastEntry?.lifetimeMs).toBe(600);
    await clock.advance(100);
    expect(await record()).toMatchObject({ ageMs: 500, idleMs: 500, lifetimeMs: 1000 });
    await table.commit(key, 'one', at(2), setting({ n: '3' }, 2000), 'keep');
    expect(map.lastEntry?.lifetimeMs).toBe(2000);
    expect(await record()).toMatchObject({ ageMs: 500, idleMs: 0, lifetimeMs: 2000 });
  });

  it('stores bytes as they are', async () => {
    await create(setting({ photo: new Uint8Array([0, 255]) }));
    expect(await content()).toEqual({ photo: new Uint8Array([0, 255]) });
  });
});

describe('remove', () => {
  it('with the holder\'s grant leaves a tombstone; the same call again is removed, another grant is fenced', async () => {
    await create();
    map.took();
    expect(await table.remove(key, 'one', undefined, 'moved', 1000)).toEqual({ kind: 'removed' });
    expect(map.took()).toBe('put');
    expect(await table.remove(key, 'one', undefined, 'moved', 1000)).toEqual({ kind: 'removed' });
    expect(await table.remove(key, 'two', undefined, 'removed', 1000)).toEqual({ kind: 'fenced', gone: 'moved' });
    expect(await table.acquire(key, one)).toEqual({ kind: 'absent', gone: 'moved' });
  });

  it('of another content than its base is behind', async () => {
    await create();
    for (const base of [at(2), at(1, 'two')]) expect(await table.remove(key, 'one', base, 'moved', 1000)).toEqual({ kind: 'behind' });
    expect(await content()).toEqual({ n: '1' });
    expect(await table.remove(key, 'one', at(1), 'moved', 1000)).toEqual({ kind: 'removed' });
    expect(await table.remove(key, 'one', at(1), 'moved', 1000)).toEqual({ kind: 'removed' });
  });

  it('with another grant, or of an absent key, is fenced', async () => {
    expect(await table.remove(key, 'one', undefined, 'removed', 1000)).toEqual({ kind: 'fenced' });
    await create();
    expect(await table.remove(key, 'two', undefined, 'removed', 1000)).toEqual({ kind: 'fenced' });
    expect((await record()).holder).toEqual(one);
  });

  it('forced names the holder each time, and the tombstone does not carry the holder\'s grant as given', async () => {
    await create();
    expect(await other.remove(key, undefined, undefined, 'removed', 1000)).toEqual({ kind: 'removed', holder: one });
    expect(await other.remove(key, undefined, undefined, 'removed', 1000)).toEqual({ kind: 'removed', holder: one });
    expect(await table.remove(key, 'one', undefined, 'moved', 1000)).toEqual({ kind: 'fenced', gone: 'removed' });
  });

  it('forced of a free or an absent session names nobody, and makes no tombstone of nothing', async () => {
    expect(await table.remove(key, undefined, undefined, 'removed', 1000)).toEqual({ kind: 'removed' });
    expect(await table.read(key)).toEqual({ kind: 'absent' });
    await create(setting({}), 'release');
    expect(await table.remove(key, undefined, undefined, 'removed', 1000)).toEqual({ kind: 'removed' });
  });

  it('forced on a moved session is fenced: it goes on elsewhere', async () => {
    await create();
    await table.remove(key, 'one', undefined, 'moved', 1000);
    expect(await other.remove(key, undefined, undefined, 'removed', 1000)).toEqual({ kind: 'fenced', gone: 'moved' });
    await clock.advance(1000);
    expect(await other.remove(key, undefined, undefined, 'removed', 1000)).toEqual({ kind: 'removed' });
  });
});

describe('what the table remembers', () => {
  const removal = async (step: () => Promise<unknown>): Promise<string> => {
    await step();
    map.took();
    expect(await table.remove(key, undefined, undefined, 'removed', 1000)).toMatchObject({ kind: 'removed' });
    return map.took();
  };

  it('is the records of sessions whose lock is here', async () => {
    expect(await removal(() => create())).toBe('put');
  });

  it('is none that were made without a lock, given back or given on', async () => {
    expect(await removal(() => create(setting({ n: '1' }), 'release'))).toBe('get put');
    for (const then of ['release', two] as const) {
      map = new ScriptedMap(clock);
      table = new MapTable(map, clock);
      expect(await removal(async () => {
        await create();
        await table.commit(key, 'one', at(1), setting({ n: '2' }), then);
      })).toBe('get put');
    }
  });

  it('is a held one also after it was touched', async () => {
    expect(await removal(async () => {
      await create();
      await table.touch(new Map([[key, 5000]]));
    })).toBe('put');
  });
});

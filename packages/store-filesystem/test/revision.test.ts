import { describe, expect, it } from '@jest/globals';
import {
  expiresMsOf, firstRevision, folderName, keyOfFolder, newestSlot, newId, numberOf, parseRevision, revisionText, shardOf, slotName, successor,
} from '../src/revision.js';

const hex = () => '0123456789abcdef';

describe('the folder of a key', () => {
  const keys = ['a', 'A', 'ab', 'aB', 'Ab', 'AB', '.', '..', '...', '.a', '.A', '-', '--', '_', 'a.b', 'a.B', 'con', 'x'.repeat(200), 'X'.repeat(200), `.${'Y'.repeat(199)}`,
    `shop.s.${'0f'.repeat(32)}`, 'shop.l.Web-1.0123456789abcdef', 'shop.c.settings'];

  it('is another one for each key, also where case is ignored, and never hidden, `.` or `..`', () => {
    const folders = keys.map(folderName);
    expect(new Set(folders.map((folder) => folder.toLowerCase())).size).toBe(keys.length);
    for (const folder of folders) {
      expect(folder).toMatch(/^[a-z0-9_~-][a-z0-9._~-]*$/);
      expect(folder.length).toBeLessThan(256);
    }
  });

  it('tells the key', () => {
    expect(keys.map((key) => keyOfFolder(folderName(key)))).toEqual(keys);
    for (const foreign of ['', '.DS_Store', 'a~zz', 'a~', 'a~0', 'a~ffff', '~a', 'a~1~1', 'A', '.a']) expect(keyOfFolder(foreign)).toBeUndefined();
  });

  it('is in one of 256 folders', () => {
    const shards = new Set(Array.from({ length: 10_000 }, (_, index) => shardOf(`shop.s.${index}`)));
    for (const shard of shards) expect(shard).toMatch(/^[0-9a-f]{2}$/);
    expect(shards.size).toBe(256);
  });
});

describe('a revision', () => {
  const first = firstRevision(newId(1, hex, 1_700_000_000_000.2));
  const second = successor(first, newId(2, hex, 5));

  it('as text is what it was', () => {
    expect(parseRevision(revisionText(first))).toEqual(first);
    expect(parseRevision(revisionText(second))).toEqual(second);
  });

  it('tells its number and when it expires, rounded up', () => {
    expect([numberOf(first.id), expiresMsOf(first.id)]).toEqual([1, 1_700_000_000_001]);
    expect(expiresMsOf(newId(1, hex, Infinity))).toBe(Number.MAX_SAFE_INTEGER);
  });

  it('is none of any other text', () => {
    for (const text of ['', '7', 'x~y~z', `${first.id}~${first.id}`, `../../${revisionText(first)}`, `${revisionText(first)}\n`]) {
      expect(parseRevision(text)).toBeUndefined();
    }
  });
});

describe('the newest slot', () => {
  const ids = [1, 2, 3, 4].map((number) => newId(number, hex, 9));
  const [one = '', two = '', three = '', four = ''] = ids;

  it('is the one of the highest number, as numbers', () => {
    const nine = newId(9, hex, 9);
    expect(newestSlot([nine, slotName(9, nine), slotName(10, nine)])).toEqual({ number: 10, base: nine });
  });

  it('does not count without its base', () => {
    expect(newestSlot([one, slotName(1, one), slotName(7, four)])).toEqual({ number: 1, base: one });
    expect(newestSlot([slotName(3, two), three, slotName(2, one)])).toBeUndefined();
    expect(newestSlot([])).toBeUndefined();
  });
});

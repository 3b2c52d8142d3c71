import { describe, expect, it } from '@jest/globals';
import { judge, passed, type Answer, type Incidents, type RequestRecord } from '../records.js';

const LOCK_TIMEOUT_MS = 15_000;
const incidents: Incidents = { killed: ['b'], paused: ['c'] };
const ok = (by: string, ...cart: string[]): Answer => ({ kind: 'ok', by, cart, newSession: false });

function request(sentAtMs: number, item: string | undefined, answer: Answer, tookMs = 5): RequestRecord {
  return { shopper: 1, item, sentAtMs, tookMs, answer };
}

const good: readonly RequestRecord[] = [
  request(0, 'tea', ok('a', 'tea')),
  request(10, 'rice', { kind: 'cut off', by: 'b' }),
  request(20, 'pears', { kind: 'refused', by: 'c' }, 3000),
  request(30, undefined, ok('a', 'tea')),
  request(40, 'honey', ok('c', 'tea', 'honey'), 700),
];

const judged = (records: readonly RequestRecord[], ...cart: string[]) => judge(records, new Map([[1, cart]]), incidents);

describe('the figures of the shoppers', () => {
  it('pass when every acknowledged change is found', () => {
    const figures = judged(good, 'tea', 'honey');
    expect(figures).toMatchObject({
      requests: 5, answered: 3, cutOff: 1, refused: 1, other: [], wrong: [],
      changes: { answered: 2, found: 2, lost: [] }, unanswered: { changes: 2, found: 0 },
      waits: { medianMs: 5, longestMs: 5, longestAtPausedMs: 3000 },
    });
    expect(passed(figures, LOCK_TIMEOUT_MS)).toBe(true);
  });

  it('count a change that was cut off and is there as stored, never acknowledged', () => {
    const figures = judged(good, 'tea', 'rice', 'honey');
    expect(figures.unanswered).toEqual({ changes: 2, found: 1 });
    expect(passed(figures, LOCK_TIMEOUT_MS)).toBe(true);
  });

  it('fail when an acknowledged change is missing', () => {
    const figures = judged(good, 'tea');
    expect(figures.changes).toEqual({ answered: 2, found: 1, lost: ['honey'] });
    expect(passed(figures, LOCK_TIMEOUT_MS)).toBe(false);
  });

  it('fail when a cart cannot be looked at', () => {
    const figures = judge(good, new Map(), incidents);
    expect(figures.changes.lost).toEqual(['tea', 'honey']);
  });

  it.each([
    ['an item that nobody sent', ['tea', 'honey', 'gold']],
    ['an item twice', ['tea', 'honey', 'tea']],
  ])('fail when a cart shows %s', (_what, cart) => {
    const figures = judged(good, ...cart);
    expect(figures.wrong).toHaveLength(1);
    expect(passed(figures, LOCK_TIMEOUT_MS)).toBe(false);
  });

  it.each<[string, RequestRecord]>([
    ['an answer lacks what was acknowledged before it was asked', request(50, undefined, ok('a', 'tea'))],
    ['an answer lacks the item that it acknowledges', request(50, 'bread', ok('a', 'tea', 'honey'))],
    ['a new session begins', request(50, undefined, { kind: 'ok', by: 'a', cart: ['tea', 'honey'], newSession: true })],
  ])('fail when %s', (_what, record) => {
    // The answer of `honey` came at 740 ms.
    const figures = judged([...good, { ...record, sentAtMs: 800 }], 'tea', 'honey', 'bread');
    expect(figures.wrong.length).toBeGreaterThan(0);
    expect(passed(figures, LOCK_TIMEOUT_MS)).toBe(false);
  });

  it('do not ask of an answer what was acknowledged only after it was asked', () => {
    const figures = judged([...good, request(739, undefined, ok('a', 'tea'))], 'tea', 'honey');
    expect(figures.wrong).toEqual([]);
  });

  it.each<[string, Answer]>([
    ['a process that was not killed cuts a request off', { kind: 'cut off', by: 'a' }],
    ['a process that was not paused refuses a request', { kind: 'refused', by: 'a' }],
    ['an answer is something else', { kind: 'other', what: 'POST answered 500 by a' }],
  ])('fail when %s', (_what, answer) => {
    const figures = judged([...good, request(50, 'bread', answer)], 'tea', 'honey');
    expect(figures.other).toHaveLength(1);
    expect(passed(figures, LOCK_TIMEOUT_MS)).toBe(false);
  });

  it('fail when a wait passed its limit, at the paused process as well', () => {
    for (const by of ['a', 'c']) {
      const figures = judged([...good, request(800, undefined, ok(by, 'tea', 'honey'), LOCK_TIMEOUT_MS + 1)], 'tea', 'honey');
      expect(passed(figures, LOCK_TIMEOUT_MS)).toBe(false);
    }
  });

  it('fail when nothing was asked at all', () => {
    expect(passed(judge([], new Map(), incidents), LOCK_TIMEOUT_MS)).toBe(false);
  });
});

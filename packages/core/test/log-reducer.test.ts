import { describe, expect, it } from '@jest/globals';
import { logKey, type LogEntry } from '../src/drivers/log-entry.js';
import { FORGOTTEN_MS, LogReducer, REMOVED_MS } from '../src/drivers/log-reducer.js';

const KEY = 'app.s.1';
const put = (n: number, rest: Partial<Extract<LogEntry, { kind: 'put' }>> = {}): LogEntry =>
  ({ kind: 'put', n, text: `content ${n}`, byMs: 1e15, forMs: 1_000_000, era: 1, ...rest });

class Log {
  readonly reducer = new LogReducer();
  #made = 0;
  constructor(public timeMs = 0) {}
  see(entry: LogEntry | undefined, written = logKey(KEY, String(++this.#made))) { return this.reducer.apply({ key: written, timeMs: this.timeMs }, entry, 0); }
  get text(): string | undefined { return this.reducer.get(KEY)?.text; }
}

describe('what a partition of a session log comes to', () => {
  it('is the first of those that were made of the same content', () => {
    const log = new Log();
    const verdicts = [put(1), put(2, { text: 'first' }), put(2, { text: 'second' }), put(3)].map((entry) => log.see(entry));
    expect(verdicts).toEqual(['accepted', 'accepted', 'refused', 'accepted']);
    expect(log.text).toBe('content 3');
  });

  it('is not changed by what comes again, under its own key or another', () => {
    const log = new Log();
    log.see(put(1), logKey(KEY, 'a'));
    log.see(put(2), logKey(KEY, 'b'));
    expect([log.see(put(1), logKey(KEY, 'a')), log.see(put(2), logKey(KEY, 'b')), log.see(put(2), `${logKey(KEY, 'b')}~2`)]).toEqual(['refused', 'refused', 'refused']);
    expect(log.reducer.get(KEY)?.logKey).toBe(logKey(KEY, 'b'));
  });

  it('is not changed by what comes later than it may', () => {
    const log = new Log(100);
    expect([log.see(put(1, { byMs: 100 })), log.see(put(1, { byMs: 101 }))]).toEqual(['void', 'accepted']);
  });

  it('is not changed by what has no time', () => {
    const log = new Log(100);
    log.see(put(5));
    log.timeMs = NaN;
    expect([log.see(put(2)), log.see(put(6)), log.see(undefined, logKey(KEY, '1'))]).toEqual(['void', 'void', 'void']);
    expect([log.text, log.reducer.nowMs]).toEqual(['content 5', 100]);
  });

  it('is made anew once what was there has been over for long, and not before', () => {
    const log = new Log();
    log.see(put(5, { forMs: 10 }));
    log.timeMs = 10 + FORGOTTEN_MS - 1;
    expect(log.see(put(1))).toBe('refused');
    log.timeMs = 10 + FORGOTTEN_MS;
    expect(log.see(put(1))).toBe('accepted');
  });

  it('lives as long as its longest touch says, in whatever order they come, and not by one of an earlier lifetime', () => {
    const log = new Log();
    log.see(put(1, { forMs: 10 }));
    for (const forMs of [50, 90, 20]) log.see({ kind: 'touch', era: 1, byMs: 10, forMs });
    expect(log.reducer.untilMs(KEY)).toBe(90);
    log.see(put(2, { era: 1, forMs: 10 }));
    expect(log.reducer.untilMs(KEY)).toBe(90);
    log.see(put(3, { era: 3, forMs: 10 }));
    log.see({ kind: 'touch', era: 1, byMs: 100, forMs: 1_000 });
    expect(log.reducer.untilMs(KEY)).toBe(10);
    log.timeMs = 10;
    expect(log.see({ kind: 'touch', era: 3, byMs: 10, forMs: 1_000 })).toBe('void');
  });

  it('is the same for who reads it before and after records that count for nothing were removed', () => {
    for (let seed = 1; seed <= 300; seed += 1) {
      const records = randomRecords(seed);
      const all = folded(records);
      // What may be removed, the record alone or with its removal; the last third of them is only half gone.
      const removals = records.filter(({ entry }) => entry === undefined).map(({ key }) => key);
      const part = new Set(removals.filter((_, place) => place % 3 > 0));
      const whole = new Set(removals.filter((_, place) => place % 3 === 1));
      const left = records.filter(({ key, entry }) => !whole.has(key) && !(part.has(key) && entry !== undefined));
      expect(left.length).toBeLessThan(records.length);
      expect(shown(folded(left))).toEqual(shown(all));
    }
  });
});

describe('what can be removed from a log', () => {
  it('is what counts for nothing, after a minute; what is over goes last', () => {
    const log = new Log();
    for (const [name, n] of [['a', 1], ['b', 2], ['c', 2]] as const) log.see(put(n, { forMs: 10 }), logKey(KEY, name));
    expect(log.reducer.removable(9)).toEqual([]);
    log.timeMs = 10 + REMOVED_MS;
    log.see(put(1), logKey('app.s.2', 'x'));
    expect(log.reducer.removable(1)).toEqual([logKey(KEY, 'a')]);
    expect(log.reducer.removable(9)).toEqual([logKey(KEY, 'a'), logKey(KEY, 'c')]);
    for (const name of ['a', 'c']) log.see(undefined, logKey(KEY, name));
    expect(log.reducer.removable(9)).toEqual([logKey(KEY, 'b')]);
    log.see(undefined, logKey(KEY, 'b'));
    expect([...log.reducer.keys()]).toEqual(['app.s.2']);
  });

  it('takes the room in memory with it', () => {
    const log = new Log();
    log.see(put(1, { text: 'x'.repeat(1_000) }), logKey(KEY, 'a'));
    log.see(put(2, { text: '' }), logKey(KEY, 'b'));
    expect(log.reducer.bytes).toBeLessThan(1_000);
    for (const name of ['a', 'b']) log.see(undefined, logKey(KEY, name));
    expect(log.reducer.bytes).toBe(0);
  });
});

interface Written { readonly key: string; readonly timeMs: number; readonly entry: LogEntry | undefined }

/** Writers who all know the log, and then again put what others were faster with; each removes what it knows to be of no use. */
function randomRecords(seed: number): Written[] {
  let state = seed;
  const random = (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return (state >> 8) % below;
  };
  const reducer = new LogReducer();
  reducer.isComplete = true;
  const written: Written[] = [];
  const see = (record: Written) => {
    written.push(record);
    reducer.apply(record, record.entry, 0);
    return reducer.freed;
  };
  for (let step = 0; step < 20 + seed % 50; step += 1) {
    const key = `app.s.${random(2)}`;
    const before = reducer.get(key);
    const n = (before?.n ?? 0) + 1 - (before !== undefined && random(4) === 0 ? 1 : 0);
    const own = logKey(key, `${step}`);
    const freed = random(4) > 0 || before === undefined
      ? see({ key: own, timeMs: step, entry: put(n, { text: `${step}`, era: random(3) === 0 ? n : before?.era ?? n }) })
      : see({ key: own, timeMs: step, entry: { kind: 'touch', era: before.era, byMs: 1e15, forMs: random(5_000_000) } });
    for (const each of freed) if (random(3) > 0) see({ key: each, timeMs: step, entry: undefined });
  }
  return written;
}

function folded(records: readonly Written[]): LogReducer {
  const reducer = new LogReducer();
  for (const record of records) reducer.apply(record, record.entry, 0);
  return reducer;
}

const shown = (reducer: LogReducer) => [...reducer.keys()].filter((key) => reducer.get(key) !== undefined).sort()
  .map((key) => [key, reducer.get(key)?.text, reducer.get(key)?.n, reducer.untilMs(key)]);

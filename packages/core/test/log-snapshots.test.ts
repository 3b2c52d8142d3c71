import { describe, expect, it } from '@jest/globals';
import { Clock, tableOf, type LogRecord, type SessionLog, type SessionTable, type Write } from '../src/driver.js';
import { logKey, readEntry, writeEntry, type LogEntry } from '../src/drivers/log-entry.js';
import { LogReducer } from '../src/drivers/log-reducer.js';
import { LogSnapshots } from '../src/drivers/log-snapshots.js';
import { ScriptedLog } from './scripted-log.js';

const key = (n: number) => `app.s.${n.toString(16).padStart(64, '0')}`;
const claim = (n: number) => ({ incarnation: `i${n}.1`, grant: n.toString(16).padStart(32, '0') });
const write = (value: string, lifetimeMs = 1_000_000): Write => ({ change: { set: new Map([['a', value]]), remove: [], whole: true }, lifetimeMs });

function losing(retainedBytes = 40_000): ScriptedLog {
  const log = new ScriptedLog(Clock.manual());
  log.retainedBytes = retainedBytes;
  return log;
}

async function opened(log: ScriptedLog, name: string): Promise<{ readonly table: SessionTable; readonly heard: boolean[] }> {
  const table = tableOf(log.opened(name), log.clock);
  const heard: boolean[] = [];
  await table.start({ context: 'app', instanceId: name, receive: () => undefined, listening: (up) => { heard.push(up); } });
  return { table, heard };
}

const kindsOf = (log: ScriptedLog) => log.records.map(({ value }) => (value === undefined ? 'nothing' : readEntry(value).kind));
const settled = (log: ScriptedLog, ms = 0) => (log.clock as ReturnType<typeof Clock.manual>).advance(ms);

/** Changes one session so often that the log is full of it. */
async function filled(log: ScriptedLog, table: SessionTable, times = 60): Promise<void> {
  for (let time = 0; time < times; time += 1) {
    const held = await table.acquire(key(99), claim(99));
    if (held.kind === 'absent') await table.create(key(99), claim(99), write('x'.repeat(500)), 'keep');
    else if (held.kind === 'granted') await table.commit(key(99), claim(99).grant, held.record.stamp, write('x'.repeat(500)), 'keep');
  }
  await settled(log);
}

describe('a log that loses its oldest part', () => {
  it('has a snapshot in time, from which a newcomer has every session, its holder and its lifetime', async () => {
    const log = losing();
    const { table } = await opened(log, 'a');
    await table.create(key(1), claim(1), write('one', 50_000), 'keep');
    await table.create(key(2), claim(2), write('two'), 'release');
    await settled(log, 30_000);
    await table.touch(new Map([[key(1), 600_000]]));
    await filled(log, table);
    expect(kindsOf(log)).toEqual(expect.arrayContaining(['begin', 'kept', 'end']));
    expect(log.forgotten).toBeGreaterThan(10);
    log.trim(log.forgotten);
    await settled(log, 100_000);
    const { table: late } = await opened(log, 'late');
    expect(await late.read(key(1))).toEqual(await table.read(key(1)));
    expect(await late.read(key(1))).toMatchObject({ kind: 'record', holder: claim(1), ageMs: 130_000, idleMs: 100_000, lifetimeMs: 600_000 });
    expect(await late.commit(key(1), claim(1).grant, { grant: claim(1).grant, version: 1 }, write('more'), 'release')).toEqual({ kind: 'done', version: 2 });
    expect(await late.acquire(key(2), claim(3))).toMatchObject({ kind: 'granted' });
  });

  it('is not served without one', async () => {
    const log = losing(1e9);
    const { table } = await opened(log, 'a');
    await filled(log, table, 5);
    log.trim(3);
    const late = tableOf(log.opened('late'), log.clock);
    const started = expect(late.start({ context: 'app', instanceId: 'late', receive: () => undefined, listening: () => undefined }))
      .rejects.toMatchObject({ code: 'CLUSTER_UNAVAILABLE', message: expect.stringContaining('has lost its oldest part') });
    await settled(log, 20_000);
    await started;
  });

  it('is served from a snapshot that somebody finishes meanwhile', async () => {
    const log = losing(1e9);
    const { table } = await opened(log, 'a');
    await filled(log, table, 5);
    log.trim(3);
    const late = opened(log, 'late');
    await settled(log, 2_000);
    await filled(log, table, 2_000); // a megabyte
    await settled(log, 2_000);
    expect(await (await late).table.read(key(99))).toEqual(await table.read(key(99)));
  });

  it('has no records without a value; what is over leaves memory by sweeps alone', async () => {
    const log = losing();
    const [{ table: a }, { table: b }] = [await opened(log, 'a'), await opened(log, 'b')];
    await a.create(key(1), claim(1), write('one', 1_000), 'release');
    await settled(log, 200_000);
    await a.create(key(2), claim(2), write('two'), 'release');
    expect([await a.sweep?.(100), await b.sweep?.(100), await a.sweep?.(100)]).toEqual([1, 1, 0]);
    expect(kindsOf(log)).not.toContain('nothing');
  });

  it('has one snapshot of several instances that begin one at the same time', async () => {
    const log = losing();
    const opening = [await opened(log, 'a'), await opened(log, 'b'), await opened(log, 'c')];
    await filled(log, opening[0]!.table, 25);
    const kinds = kindsOf(log);
    expect(kinds.filter((kind) => kind === 'begin').length).toBeGreaterThan(1);
    expect(kinds.filter((kind) => kind === 'end')).toHaveLength(1);
  });

  it('goes on where the writer of a snapshot died over it', async () => {
    const log = losing();
    const [{ table: a }, { table: b }] = [await opened(log, 'a'), await opened(log, 'b')];
    await filled(log, a, 12);
    log.put('app.b#dead.1.begin', writeEntry({ kind: 'begin', id: '1', after: log.records.length - 1, nowMs: log.clock.wallMs() }));
    await filled(log, a, 60);
    expect(kindsOf(log)).not.toContain('end');
    await settled(log, 6_000);
    for (let round = 0; round < 4; round += 1) {
      await filled(log, b, 20);
      await settled(log, 6_000);
    }
    expect(kindsOf(log)).toContain('end');
  });

  it('is the present for who reads its own mark, also where that was sent a second time', async () => {
    const log = losing();
    log.fates.push(async (put, under) => { put(`${under}~2`); });
    const { heard } = await opened(log, 'a');
    expect(heard).toEqual([true]);
  });

  it('does not follow one by the next, whatever a character takes', async () => {
    const log = losing(4_000_000);
    const { table } = await opened(log, 'a');
    for (let n = 1; n <= 40; n += 1) await table.create(key(n), claim(n), write('\u20ac'.repeat(10_000)), 'release');
    for (let round = 0; round < 30; round += 1) {
      await settled(log, 6_000);
      await table.read(key(1));
    }
    expect(kindsOf(log).filter((kind) => kind === 'end').length).toBeLessThan(3);
  });

  it('takes no new sessions once none can be written, says why, and goes on when one was', async () => {
    const log = losing();
    const own = log.opened('a');
    let isRefused = true;
    const append: SessionLog['append'] = (at, under, value) => (
      isRefused && value !== undefined && readEntry(value).kind === 'kept' ? Promise.reject(new Error('the disk is full')) : own.append(at, under, value));
    const table = tableOf({ ...own, append }, log.clock);
    await table.start({ context: 'app', instanceId: 'a', receive: () => undefined, listening: () => undefined });
    await filled(log, table, 80);
    await expect(table.create(key(1), claim(1), write('one'), 'release')).rejects.toMatchObject({ code: 'CLUSTER_FULL', cause: new Error('the disk is full') });
    expect(await table.read(key(99))).toMatchObject({ kind: 'record' });
    isRefused = false;
    await settled(log, 6_000);
    await filled(log, table, 2);
    await settled(log, 6_000);
    expect(await table.create(key(1), claim(1), write('one'), 'release')).toBe('created');
  });

  it.each([
    { what: 'refuses everything at once', answer: () => Promise.reject(new Error('there is no connection')) },
    { what: 'does not answer', answer: () => new Promise<void>(() => undefined) },
  ])('has its snapshot finished after a while in which it $what', async ({ answer }) => {
    const log = losing();
    const own = log.opened('a');
    let isAway = true;
    const append: SessionLog['append'] = (at, under, value) => (
      isAway && value !== undefined && readEntry(value).kind === 'kept' ? answer() : own.append(at, under, value));
    const table = tableOf({ ...own, append }, log.clock);
    await table.start({ context: 'app', instanceId: 'a', receive: () => undefined, listening: () => undefined });
    await filled(log, table, 25);
    await settled(log, 2_000);
    expect(kindsOf(log)).not.toContain('kept');
    isAway = false;
    await settled(log, 2_000);
    expect(kindsOf(log).slice(-2)).toEqual(['kept', 'end']);
  });

  it.each([
    { what: 'nothing', answer: () => new Promise<void>(() => undefined) },
    { what: 'that the connection was lost', answer: () => Promise.reject(new Error('connection lost')) },
  ])('has its snapshot finished at once when the log takes the records and says $what: their echoes count', async ({ answer }) => {
    const log = losing();
    const own = log.opened('a');
    const append: SessionLog['append'] = async (at, under, value) => {
      await own.append(at, under, value);
      if (value !== undefined && ['kept', 'end'].includes(readEntry(value).kind)) await answer();
    };
    const table = tableOf({ ...own, append }, log.clock);
    await table.start({ context: 'app', instanceId: 'a', receive: () => undefined, listening: () => undefined });
    await filled(log, table, 28);
    expect(kindsOf(log).filter((kind) => ['begin', 'kept', 'end'].includes(kind))).toEqual(['begin', 'kept', 'end']);
    expect(log.forgotten).toBeGreaterThan(0);
    await settled(log, 10_000);
    expect(kindsOf(log).filter((kind) => kind === 'kept')).toHaveLength(1);
  });

  it('ends no lease because an instance came whose clock is hours ahead', async () => {
    const log = losing(4_000_000);
    const [{ table: a }, { table: b }] = [await opened(log, 'a'), await opened(log, 'b')];
    await a.beat('a.1', 0, 10_000);
    const ahead = log.clock.wallMs() + 24 * 3_600_000;
    log.put('app.b#ahead', writeEntry({ kind: 'barrier', serial: 1 }), ahead);
    expect(await b.lapse('a.1', 20_000)).toBeGreaterThan(0);
    expect(await a.beat('a.1', 1, 10_000)).not.toBe('lapsed');
  });

  it('begins anew with another generation: what is on its way is unknown, what was lost is lost', async () => {
    const log = losing();
    const { table, heard } = await opened(log, 'a');
    await table.create(key(1), claim(1), write('one'), 'keep');
    const before = log.records.length;
    await table.create(key(2), claim(2), write('two'), 'keep');
    log.hold('a');
    const put = expect(table.create(key(3), claim(3), write('three'), 'keep')).rejects.toMatchObject({ code: 'CLUSTER_UNKNOWN_OUTCOME' });
    log.records.splice(before);
    log.generation = 'second';
    log.release('a');
    expect(await table.read(key(2))).toEqual({ kind: 'absent' });
    await put;
    expect(await table.read(key(1))).toMatchObject({ kind: 'record' });
    expect(heard).toEqual([true, false, true]);
  });
});

describe('a snapshot', () => {
  it('does not begin where a snapshot of another generation did', async () => {
    const log = losing();
    const own = log.opened('a');
    let answer: () => void = () => undefined;
    const append: SessionLog['append'] = async (at, under, value) => {
      if (value === undefined || readEntry(value).kind !== 'end') return own.append(at, under, value);
      log.hold('a');
      await own.append(at, under, value);
      return new Promise<void>((resolve) => { answer = resolve; });
    };
    const table = tableOf({ ...own, append }, log.clock);
    await table.start({ context: 'app', instanceId: 'a', receive: () => undefined, listening: () => undefined });
    while (!kindsOf(log).includes('end')) {
      void filled(log, table, 1);
      await settled(log);
    }
    log.generation = 'second';
    log.records = [];
    log.put('somebody.else', '');
    log.release('a');
    answer();
    await settled(log);
    expect(log.forgotten).toBe(0);
  });

  it('brings whoever begins anywhere to the state of who has read all, while others go on', async () => {
    let found = 0;
    for (let seed = 1; seed <= 15; seed += 1) {
      const written = await Written.of(seed);
      const all = new Reading();
      const states = written.records.map((record) => all.take(record).shown);
      for (let from = 1; from < written.records.length; from += 1) {
        const late = new Reading();
        for (const record of written.records.slice(from)) {
          late.take(record);
          if (!late.snapshots.isFound || record.position % 4 > 0) continue;
          found += 1;
          expect([seed, from, record.position, late.shown]).toEqual([seed, from, record.position, states[record.position]]);
        }
      }
    }
    expect(found).toBeGreaterThan(1_000);
  });
});

class Reading {
  readonly reducer = new LogReducer(true);
  readonly snapshots: LogSnapshots;

  constructor(append: SessionLog['append'] = () => Promise.resolve(), clock: Clock = Clock.manual()) {
    const log: SessionLog = { capabilities: { durability: 'crash', gone: 'unknown', rollback: false }, partitions: 1, append, follow: () => () => undefined };
    this.snapshots = new LogSnapshots(log, 6_000, 0, 'app.b#1', clock, this.reducer);
  }

  take(record: LogRecord): this {
    const entry = record.value === undefined ? undefined : readEntry(record.value);
    this.snapshots.pass(record.position);
    this.snapshots.apply(record, entry, 0);
    this.snapshots.note(record, entry);
    return this;
  }

  /** Of what can make no difference any more some have forgotten more than others. */
  get shown(): string {
    const keys = [...this.reducer.state()].map(([at, { n, text, untilMs, touched }]) => `${at} ${n} ${text} ${untilMs} ${touched?.untilMs ?? '-'}`);
    return `${this.reducer.nowMs}: ${keys.sort().join(', ')}`;
  }
}

/** Writers with clocks of their own, some of whose records come late or lose, and one of them that writes snapshots. */
class Written {
  readonly records: LogRecord[] = [];
  readonly #clock = Clock.manual();
  readonly #waiting: { readonly key: string; readonly value: string; readonly timeMs: number }[] = [];

  private constructor(private state: number) {}

  static async of(seed: number): Promise<Written> {
    const written = new Written(seed);
    const writer = new Reading(async (_, at, value) => { written.#send(at, value ?? '', 0); }, written.#clock);
    for (let step = 0; step < 120; step += 1) {
      if (written.#random(3) > 0) written.#act(writer, step);
      written.#land(writer);
      writer.snapshots.writeIfDue();
      await written.#clock.advance(0);
    }
    return written;
  }

  #act({ reducer }: Reading, step: number): void {
    const at = `app.s.${this.#random(4)}`;
    const before = reducer.get(at);
    const nowMs = Math.max(0, reducer.nowMs);
    const n = (before?.n ?? 0) + 1 - (before !== undefined && this.#random(3) === 0 ? 1 : 0);
    const byMs = nowMs + 30_000;
    const entry: LogEntry = this.#random(4) > 0 || before === undefined
      ? { kind: 'put', n, text: `${step}`, era: this.#random(3) === 0 ? n : before?.era ?? n, forMs: this.#random(2) * 200_000 + 1_000, byMs }
      : { kind: 'touch', era: before.era, byMs: Math.min(byMs, reducer.untilMs(at)), forMs: this.#random(300_000) };
    this.#send(logKey(at, `${step}`), writeEntry(entry), nowMs + (this.#random(6) === 0 ? 20_000 : -this.#random(5_000)));
  }

  #send(at: string, value: string, timeMs: number): void { this.#waiting.push({ key: at, value, timeMs }); }

  #land(writer: Reading): void {
    const next = this.#waiting.splice(this.#random(Math.min(9, this.#waiting.length)), 1)[0];
    if (next === undefined) return;
    const record = { key: next.key, value: next.value, timeMs: next.timeMs, position: this.records.length };
    this.records.push(record);
    writer.take(record);
  }

  #random(below: number): number {
    this.state = (Math.imul(this.state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return below <= 0 ? 0 : (this.state >> 8) % below;
  }
}

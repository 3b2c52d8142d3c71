import assert from 'node:assert/strict';
import type { LogRecord, SessionLog } from '@cluster/core/driver';
import { hex, type LogBench, type LogClause } from '../driver-bench.js';
import { longText, ODD_TEXTS } from './odd-texts.js';

const APPENDS = 20;

interface Reader { readonly records: LogRecord[]; readonly end: () => void }

/** Reads a partition; only keys of this clause, whatever else is in the log. */
function reading(log: SessionLog, mark: string, partition = 0, then = () => {}): Reader {
  const records: LogRecord[] = [];
  const take = (record: LogRecord) => {
    if (!record.key.includes(mark)) return;
    records.push(record);
    then();
  };
  return { records, end: log.follow(partition, take) };
}

async function until(bench: LogBench, { records }: Reader, count: number): Promise<void> {
  await bench.time.becomes(`${count} records are read`, () => records.length >= count, bench.limits.signalMs);
}

const keyed = (bench: LogBench, mark: string, n: number | string): string => `${bench.context}.s.${mark}#${n}`;

async function appended(bench: LogBench, log: SessionLog, mark: string, count = APPENDS): Promise<void> {
  for (let n = 0; n < count; n += 1) await log.append(0, keyed(bench, mark, n), `value ${n}`);
}

const shown = ({ key, position, timeMs, value }: LogRecord) => [key, position, timeMs, value];

/** What a driver read twice counts once. */
const distinct = (records: readonly LogRecord[]): LogRecord[] => records.filter(({ position }, place) => records.findIndex((other) => other.position === position) === place);

export const logClauses: readonly LogClause[] = [
  {
    title: 'follow hands over what was appended, in its order, with its key and value',
    async run(bench) {
      const [log, mark] = [await bench.driver(), hex(4)];
      const reader = reading(log, mark);
      await appended(bench, log, mark);
      await until(bench, reader, APPENDS);
      bench.proof.equal(distinct(reader.records).map(({ key, value }) => [key, value]),
        Array.from({ length: APPENDS }, (_, n) => [keyed(bench, mark, n), `value ${n}`]), 'what was read');
    },
  },
  {
    title: 'positions begin with 0 and leave no number out where nothing was removed; they only rise in a log that loses its oldest part',
    async run(bench) {
      const [log, all, mark] = [await bench.driver(), [] as LogRecord[], hex(4)];
      log.follow(0, (record) => { all.push(record); });
      await appended(bench, log, mark);
      const own = () => all.filter(({ key }) => key.includes(mark));
      await bench.time.becomes(`${APPENDS} records are read`, () => own().length >= APPENDS, bench.limits.signalMs);
      const positions = distinct(all).map(({ position }) => position);
      const first = positions.indexOf(own()[0]?.position ?? -1);
      bench.proof.ok(positions.every((position) => Number.isSafeInteger(position) && position >= 0), `whole numbers from 0 up: ${positions.join(' ')}`);
      bench.proof.ok(positions.every((position, place) => position > (positions[place - 1] ?? -1)), `rising: ${positions.join(' ')}`);
      if (log.retainedBytes !== undefined) return;
      // What was there before may have been compacted; what this clause appended was not.
      bench.proof.equal(positions.slice(first), positions.slice(first).map((_, place) => (positions[first] ?? 0) + place), 'the positions');
    },
  },
  {
    title: 'every driver object reads the same records, positions and times, from the first one on, also one that starts later',
    async run(bench) {
      const [log, other] = [await bench.driver(), await bench.driver()];
      const mark = hex(4);
      const readers = [reading(log, mark), reading(other, mark)];
      await Promise.all([appended(bench, log, mark), appended(bench, other, `${mark}.other`)]);
      readers.push(reading(await bench.driver(), mark), reading(log, mark));
      for (const reader of readers) await until(bench, reader, 2 * APPENDS);
      const [first, ...rest] = readers.map(({ records }) => distinct(records).map(shown));
      for (const records of rest) bench.proof.equal(records, first, 'what another reader read');
    },
  },
  {
    title: 'what append has acknowledged is read, in whichever partition',
    async run(bench) {
      const [log, other] = [await bench.driver(), await bench.driver()];
      bench.proof.ok(Number.isInteger(log.partitions) && log.partitions > 0 && log.partitions === other.partitions, `the same number of partitions: ${log.partitions}`);
      for (let partition = 0; partition < log.partitions; partition += 1) {
        const mark = hex(4);
        await log.append(partition, keyed(bench, mark, 0), 'here');
        const reader = reading(other, mark, partition);
        await until(bench, reader, 1);
        bench.proof.equal(distinct(reader.records).map(({ value }) => value), ['here'], `what is read in partition ${partition}`);
      }
    },
  },
  {
    title: 'a record without a value is handed over, too',
    async run(bench) {
      const [log, mark] = [await bench.driver(), hex(4)];
      const reader = reading(log, mark);
      await log.append(0, keyed(bench, mark, 0), '');
      await log.append(0, keyed(bench, mark, 1), undefined);
      await until(bench, reader, 2);
      bench.proof.equal(distinct(reader.records).map(({ value }) => value), ['', undefined], 'the values');
    },
  },
  {
    title: 'values of any text and of the greatest size come back as they were, under keys with # and ~',
    async run(bench) {
      const [log, mark] = [await bench.driver(), hex(4)];
      const reader = reading(log, mark);
      const values = [...ODD_TEXTS, longText(bench.limits.maxValueBytes)];
      for (const [n, value] of values.entries()) await log.append(0, keyed(bench, mark, `${n}~2`), value);
      await until(bench, reader, values.length);
      bench.proof.equal(distinct(reader.records).map(({ key, value }) => [key, value]), values.map((value, n) => [keyed(bench, mark, `${n}~2`), value]), 'what was read');
    },
  },
  {
    title: 'times are those of the log: the same for all, and they pass as time does',
    async run(bench) {
      const [log, other, mark] = [await bench.driver(), await bench.driver(), hex(4)];
      const reader = reading(log, mark);
      await other.append(0, keyed(bench, mark, 0), '');
      await bench.time.wait(4 * bench.paceMs);
      await log.append(0, keyed(bench, mark, 1), '');
      await until(bench, reader, 2);
      const [before, after] = distinct(reader.records).map(({ timeMs }) => timeMs);
      assert.ok(before !== undefined && after !== undefined);
      bench.proof.ok(after - before >= 3 * bench.paceMs, `${after - before} ms between two appends that were ${4 * bench.paceMs} ms apart`);
    },
  },
  {
    title: 'whoever begins to follow after forget reads everything from that position on',
    exempt: ({ forgets }) => (forgets === true ? undefined : 'the log has no forget'),
    async run(bench) {
      const [log, mark] = [await bench.driver(), hex(4)];
      const reader = reading(log, mark);
      await appended(bench, log, mark);
      await until(bench, reader, APPENDS);
      const all = distinct(reader.records);
      const half = all.slice(APPENDS / 2);
      await log.forget?.(0, half[0]?.position ?? NaN);
      const late = reading(await bench.driver(), mark);
      await until(bench, late, half.length);
      bench.proof.equal(distinct(late.records).slice(-half.length).map(shown), half.map(shown), 'what a later reader reads');
    },
  },
  {
    title: 'nothing is handed over after the returned function was called',
    async run(bench) {
      const [log, mark] = [await bench.driver(), hex(4)];
      const [ended, going] = [reading(log, mark), reading(log, mark)];
      await log.append(0, keyed(bench, mark, 0), 'one');
      await until(bench, ended, 1);
      ended.end();
      await log.append(0, keyed(bench, mark, 1), 'two');
      await until(bench, going, 2);
      bench.proof.equal(distinct(ended.records).map(({ value }) => value), ['one'], 'what was read');
    },
  },
  {
    title: 'whoever begins to follow anew while a record is handed over reads all of them, from the first one on',
    async run(bench) {
      const [log, mark] = [await bench.driver(), hex(4)];
      await Promise.all(Array.from({ length: APPENDS }, (_, n) => log.append(0, keyed(bench, mark, n), `value ${n}`)));
      const all = reading(log, mark);
      await until(bench, all, APPENDS);
      // It has nothing in memory: what it reads comes to it at once.
      const other = await bench.driver();
      const begun: Reader[] = [];
      const first = reading(other, mark, 0, () => {
        if (first.records.length !== APPENDS / 2) return;
        first.end();
        begun.push(reading(other, mark));
      });
      await bench.time.becomes('it begins anew', () => begun.length > 0, bench.limits.signalMs);
      const [anew] = begun;
      assert.ok(anew);
      await until(bench, anew, APPENDS);
      bench.proof.equal(distinct(anew.records).map(shown), distinct(all.records).map(shown), 'what was read anew');
    },
  },
  {
    title: 'append made late, after stop, rejects',
    exempt: ({ stops }) => (stops ? undefined : 'the log has no stop'),
    async run(bench) {
      const log = await bench.driver();
      await log.append(0, keyed(bench, hex(4), 0), '');
      await log.stop?.();
      await bench.proof.rejects(Promise.resolve().then(() => log.append(0, keyed(bench, hex(4), 1), '')), 'an append after stop');
    },
  },
];

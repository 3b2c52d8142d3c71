import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { barChart } from '../plot.js';
import type { Kind } from '../redis/applications.js';
import { RedisCounters } from '../redis/counters.js';
import { Fleet, type Measured, type Routing, type Use } from '../redis/fleet.js';
import { median, quartiles, Report } from '../report.js';
import { startPlace } from '../stores.js';

const ROUNDS = 5;
const CLIENTS = [1, 64] as const;
/** Requests of each use before the first round, as a multiple of a cell's: with fewer V8's compiler is what is measured. */
const WARM = 3;
const SIZES = [
  { name: 'small', bytes: 0, requests: 4_000 }, { name: '4 KB', bytes: 4_096, requests: 4_000 }, { name: '64 KB', bytes: 65_536, requests: 600 },
] as const;
const PLACES = [
  { name: 'one process', processes: 1, routing: 'sticky' }, { name: 'two processes, sticky', processes: 2, routing: 'sticky' },
  { name: 'two processes, random', processes: 2, routing: 'random' },
] as const satisfies readonly { name: string; processes: number; routing: Routing }[];

/** Each application with the same one without sessions. */
const KINDS = {
  'node: cluster': 'node', 'node: cluster, not reentrant': 'node', 'express: cluster': 'express', 'express: cluster, not reentrant': 'express',
  'express: express-session': 'express',
  'fastify: @fastify/session': 'fastify', 'koa: koa-session': 'koa',
} as const satisfies Partial<Record<Kind, Kind>>;
const BARE = new Set<Kind>(Object.values(KINDS));
const WITH_SESSIONS = Object.keys(KINDS) as (keyof typeof KINDS)[];
/** What the option changes shows in one process. */
const inTwo = (kind: Kind) => !kind.endsWith('not reentrant');

type Place = typeof PLACES[number];
type Size = typeof SIZES[number];

interface Cell { readonly place: Place; readonly kind: Kind; readonly use: Use; readonly clients: number; readonly rounds: Measured[] }

/** Everything that was measured over sessions of one size. */
class Sheet {
  readonly cells: Cell[] = [];

  constructor(readonly size: Size) {
    for (const place of PLACES) {
      const kinds = place.processes === 1 ? [...BARE, ...WITH_SESSIONS] : WITH_SESSIONS.filter(inTwo);
      const uses: Use[] = ['read', 'write', 'mixed', ...(size.bytes > 10_000 && place.processes === 1 ? ['items' as const] : [])];
      for (const kind of kinds) {
        for (const use of uses) {
          if (use !== 'items' || !BARE.has(kind)) for (const clients of CLIENTS) this.cells.push({ place, kind, use, clients, rounds: [] });
        }
      }
    }
  }

  rounds(place: Place, kind: Kind, use: Use, clients: number): readonly Measured[] {
    return this.cells.find((cell) => cell.place === place && cell.kind === kind && cell.use === use && cell.clients === clients)?.rounds ?? [];
  }

  median(what: keyof Measured, place: Place, kind: Kind, use: Use, clients = 64): number {
    return median(this.rounds(place, kind, use, clients).map((round) => round[what]));
  }

  /** CPU time over the same framework without sessions in one process, each round against its own. */
  overUs(place: Place, kind: keyof typeof KINDS, use: Use, clients = 64): number[] {
    const bare = this.rounds(PLACES[0], KINDS[kind], use === 'items' ? 'read' : use, clients);
    return this.rounds(place, kind, use, clients).map(({ cpuUs }, round) => cpuUs - (bare[round]?.cpuUs ?? NaN));
  }
}

/** Fills a sheet: the same cells in every round, so that what disturbs the machine disturbs all of them. */
async function measure(sheet: Sheet, url: string, count: number): Promise<void> {
  const redis = new RedisCounters(url);
  const fleets = new Map<string, Fleet>();
  const nameOf = ({ place, kind }: Cell) => `${kind}, ${place.name}`;
  try {
    for (const cell of sheet.cells) {
      const name = nameOf(cell);
      if (fleets.has(name)) continue;
      const setting = { url, prefix: `bench${fleets.size}-${sheet.size.bytes}:`, bytes: sheet.size.bytes };
      const fleet = await Fleet.start(cell.kind, setting, cell.place.processes, cell.place.routing);
      fleets.set(name, fleet);
      if (!BARE.has(cell.kind)) await fleet.fill();
      for (const use of ['read', 'write', 'mixed'] as const) await fleet.run(use, 64, sheet.size.requests * WARM);
    }
    for (let round = 0; round < count; round += 1) {
      for (const cell of sheet.cells) {
        const requests = cell.clients === 1 ? sheet.size.requests / 4 : sheet.size.requests;
        const measured = await fleets.get(nameOf(cell))?.measure(cell.use, cell.clients, requests, redis);
        if (measured !== undefined) cell.rounds.push(measured);
      }
    }
    for (const fleet of fleets.values()) await fleet.check();
  } finally {
    redis.stop();
    await Promise.all([...fleets.values()].map((fleet) => fleet.stop()));
  }
}

function tables(sheet: Sheet, report: Report): void {
  for (const place of PLACES) {
    for (const clients of CLIENTS) {
      report.line(`### ${sheet.size.name}, ${place.name}, ${clients === 1 ? 'one connection' : `${clients} connections`}`);
      report.table(['', 'requests/s', 'quartiles', 'CPU µs over bare', 'quartiles', 'Redis calls', 'bytes to and from Redis', 'p50 ms', 'p99 ms'],
        sheet.cells.filter((cell) => cell.place === place && cell.clients === clients).map(({ kind, use, rounds }) => {
          const of = (what: keyof Measured) => rounds.map((round) => round[what]);
          const over = BARE.has(kind) ? undefined : sheet.overUs(place, kind as keyof typeof KINDS, use, clients);
          return [
            `${kind}, ${use}`, median(of('perSecond')).toFixed(0), quartiles(of('perSecond'), 0),
            ...(over === undefined ? [`(${median(of('cpuUs')).toFixed(0)})`, quartiles(of('cpuUs'), 0)] : [median(over).toFixed(1), quartiles(over, 1)]),
            median(of('calls')).toFixed(2), median(of('bytes')).toFixed(0), median(of('p50Ms')).toFixed(2), median(of('p99Ms')).toFixed(2),
          ];
        }));
    }
  }
}

/** What was promised, each as a row of what was found. */
function promises(sheets: readonly Sheet[], report: Report): void {
  const [small, , large] = sheets as [Sheet, Sheet, Sheet];
  const [one, , random] = PLACES;
  const over = (kind: keyof typeof KINDS, use: Use) => median(small.overUs(one, kind, use));
  const ratio = (sheet: Sheet, place: Place, use: Use) =>
    sheet.median('perSecond', place, 'express: cluster', use) / sheet.median('perSecond', place, 'express: express-session', use);
  const uses = ['read', 'write'] as const;
  report.table(['', 'found', 'promised'], [
    ...uses.flatMap((use) => (['node: cluster', 'node: cluster, not reentrant'] as const).map((kind) =>
      [`${kind}, held, ${use}: CPU µs over bare`, over(kind, use).toFixed(1), report.bound(over(kind, use), use === 'read' ? 15 : 30, 0)])),
    ...uses.flatMap((use) => (['express: cluster', 'express: cluster, not reentrant'] as const).map((kind) => {
      const share = over(kind, use) / over('express: express-session', use);
      return [`${kind}, held, ${use}: CPU over bare as a share of express-session's`, share.toFixed(3), report.bound(share, 1 / 6, 3)];
    })),
    ...uses.map((use) => [`64 KB on Express 5, ${use}: requests/s as a multiple of express-session's`, ratio(large, one, use).toFixed(1), report.atLeast(ratio(large, one, use), 30)]),
    ...uses.map((use) => [`Express 5, two processes, random, ${use}: requests/s as a multiple of express-session's`, ratio(small, random, use).toFixed(2), report.atLeast(ratio(small, random, use), use === 'read' ? 1 : 0.9)]),
  ]);
}

/** Writes the plots, and names them in the report. */
function plots(sheets: readonly Sheet[], report: Report): void {
  const folder = join(import.meta.dirname, '..', '..', 'docs', 'benchmarks');
  mkdirSync(folder, { recursive: true });
  const groups = sheets.flatMap(({ size }) => (['read', 'write'] as const).map((use) => ({ size, use })));
  const chart = (file: string, title: string, unit: string, value: (sheet: Sheet, kind: keyof typeof KINDS, use: Use) => number) => {
    const bars = WITH_SESSIONS.filter((kind) => file !== 'redis-random.svg' || inTwo(kind)).map((kind) => ({ name: kind, values: sheets.flatMap((sheet) => (['read', 'write'] as const).map((use) => value(sheet, kind, use))) }));
    report.line(`![${title}](benchmarks/${file})`);
    report.line();
    writeFileSync(join(folder, file), barChart(title, unit, groups.map(({ size, use }) => `${size.name}, ${use}`), bars));
  };
  for (const [file, place] of [['redis-one.svg', PLACES[0]], ['redis-random.svg', PLACES[2]]] as const) {
    chart(file, `Requests per second, ${place.name}, 64 connections`, 'requests/s', (sheet, kind, use) => sheet.median('perSecond', place, kind, use));
  }
  chart('redis-cpu.svg', 'CPU time per request over the same framework without sessions, one process', 'µs',
    (sheet, kind, use) => Math.max(1, median(sheet.overUs(PLACES[0], kind, use))));
}

/** Sessions on Redis under load, beside what people use today. */
export async function redis([count = String(ROUNDS)]: readonly string[], writes: boolean): Promise<boolean> {
  const report = new Report('redis', `${count} interleaved rounds, each process first warmed by 36,000 requests (64 KB: 5,400); 4,000 requests per cell (64 KB: 600), `
    + 'a quarter of that over one connection, after another quarter that is not measured; '
    + '64 clients with 4 sessions each; one Redis without persistence on the same machine');
  const sheets: Sheet[] = [];
  const server = await startPlace('redis');
  try {
    for (const size of SIZES) {
      const sheet = new Sheet(size);
      await measure(sheet, server.address, Number(count));
      tables(sheet, report);
      sheets.push(sheet);
    }
  } finally {
    await server.stop();
  }
  promises(sheets, report);
  report.line('Every answer was compared with what its session must contain.');
  if (writes) {
    plots(sheets, report);
    report.write();
  }
  return report.met;
}

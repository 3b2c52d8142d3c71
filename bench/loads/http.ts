import { Application } from '../http/application.js';
import type { Kind, Sessions } from '../http/applications.js';
import { median, Report, spread } from '../report.js';
import { isStore, startPlace, type StoreName } from '../stores.js';

const WARM = 3;
/** Of the store in the process, and of a server: there requests wait for the server, which has the same processors. */
const SIZES = { own: { rounds: 15, requests: 4_000 }, server: { rounds: 5, requests: 2_000 } };

interface Size { readonly rounds: number; readonly requests: number }
interface Cell { readonly name: string; readonly kind: Kind; readonly method: 'GET' | 'POST'; readonly path: string; readonly cookie: boolean; readonly over: string | undefined; readonly most?: number }

/** µs over bare that are promised of held sessions. */
interface Bounds { readonly read?: number; readonly write?: number }
const BOUNDS: Partial<Record<StoreName, Bounds>> = { memory: { read: 15, write: 25 }, redis: { read: 15, write: 30 }, nats: { write: 45 } };

const cell = (name: string, kind: Kind, method: 'GET' | 'POST', over?: string, most?: number, { path = '/', cookie = over !== undefined } = {}): Cell =>
  ({ name, kind, method, path, cookie, over, ...(most === undefined ? {} : { most }) });

const bare = [cell('bare GET', 'node', 'GET'), cell('bare POST', 'node', 'POST')];
const untouched = [
  cell('no cookie, not looked at', 'node-held', 'GET', 'bare GET', undefined, { path: '/untouched', cookie: false }),
  cell('cookie, not looked at', 'node-held', 'GET', 'bare GET', undefined, { path: '/untouched' }),
];
const used = ({ read, write }: Bounds): readonly Cell[] => [
  cell('read, held', 'node-held', 'GET', 'bare GET', read),
  cell('write, held', 'node-held', 'POST', 'bare POST', write),
  cell('read, released', 'node-released', 'GET', 'bare GET'),
  cell('write, released', 'node-released', 'POST', 'bare POST'),
];

const EXPRESS: readonly Cell[] = [
  cell('bare GET on Express', 'express', 'GET'),
  cell('bare POST on Express', 'express', 'POST'),
  cell('express-session, read', 'express-session', 'GET', 'bare GET on Express'),
  cell('express-session, write', 'express-session', 'POST', 'bare POST on Express'),
  cell('cluster, signed cookie, held, read', 'express-held-signed', 'GET', 'bare GET on Express'),
  cell('cluster, signed cookie, held, write', 'express-held-signed', 'POST', 'bare POST on Express'),
  cell('cluster, defaults, held, read', 'express-held', 'GET', 'bare GET on Express'),
  cell('cluster, defaults, held, write', 'express-held', 'POST', 'bare POST on Express'),
];

/** The same cells in every round, so that what disturbs the machine disturbs all of them. */
async function rounds(cells: readonly Cell[], { rounds: count, requests }: Size, where: Sessions): Promise<Map<string, number[]>> {
  const taken = new Map<string, number[]>(cells.map(({ name }) => [name, []]));
  const applications = new Map<Kind, Application>();
  try {
    for (const { kind } of cells) if (!applications.has(kind)) applications.set(kind, await Application.start(kind, where));
    for (const { kind, cookie } of cells) {
      const application = applications.get(kind);
      if (cookie && application?.written === 0) await application.fill();
    }
    for (let round = -WARM; round < count; round += 1) {
      for (const { name, kind, method, path, cookie } of cells) {
        const us = await applications.get(kind)?.measure(method, path, cookie, requests);
        if (round >= 0 && us !== undefined) taken.get(name)?.push(us);
      }
    }
    for (const application of applications.values()) await application.check();
    return taken;
  } finally {
    await Promise.all([...applications.values()].map((application) => application.stop()));
  }
}

/** Of the rounds, each against the bare server in the same round. */
function overOf({ name, over }: Cell, taken: ReadonlyMap<string, readonly number[]>): number[] {
  const bare = taken.get(over ?? '') ?? [];
  return (taken.get(name) ?? []).map((us, round) => us - (bare[round] ?? 0));
}

function rowsOf(cells: readonly Cell[], taken: ReadonlyMap<string, readonly number[]>, report: Report): string[][] {
  return cells.map((each) => {
    const us = taken.get(each.name) ?? [];
    const over = overOf(each, taken);
    return [each.name, median(us).toFixed(1), ...(each.over === undefined ? ['', '', ''] : [
      median(over).toFixed(1), spread(over), each.most === undefined ? '' : report.bound(median(over), each.most, 0),
    ])];
  });
}

const head = ['', 'µs per request', 'over bare', 'spread', 'bound'] as const;

/** CPU time per request of the server process over the same server without sessions. */
export async function http([first = 'memory', second]: readonly string[], writes: boolean): Promise<boolean> {
  const [store, wanted] = isStore(first) ? [first, second] as const : ['memory', first] as const;
  const usual = SIZES[store === 'memory' ? 'own' : 'server'];
  const size = { ...usual, rounds: Number(wanted ?? usual.rounds) };
  const report = new Report(store === 'memory' ? 'http' : `http ${store}`, `${size.rounds} interleaved rounds of ${size.requests} requests per row after ${WARM} to warm up; 16 connections, 256 sessions of 1 KB, `
    + `${store} store, affinity 'keep' where it says held; CPU time of the process that serves, the client runs in another one`);
  const place = await startPlace(store);
  const where = { store, address: place.address };
  const cells = [...bare, ...(store === 'memory' ? untouched : []), ...used(BOUNDS[store] ?? {})];
  try {
    report.table(head, rowsOf(cells, await rounds(cells, size, where), report));
    if (store === 'memory') await onExpress(report, size, where);
  } finally {
    await place.stop();
  }
  report.line('Every answer was compared with what its session must contain, and at the end the sum of all counters with the acknowledged writes: equal.');
  if (writes) report.write();
  return report.met;
}

/** The same beside express-session. */
async function onExpress(report: Report, size: Size, where: Sessions): Promise<void> {
  const taken = await rounds(EXPRESS, size, where);
  report.table(head, rowsOf(EXPRESS, taken, report));
  const over = (name: string) => median(overOf(EXPRESS.find((each) => each.name === name) as Cell, taken));
  for (const settings of ['signed cookie', 'defaults']) {
    const ratio = (use: string) => (over(`cluster, ${settings}, held, ${use}`) / over(`express-session, ${use}`)).toFixed(2);
    report.line(`Overhead of cluster, ${settings}, as a share of express-session's: read ${ratio('read')}, write ${ratio('write')}.`);
  }
}

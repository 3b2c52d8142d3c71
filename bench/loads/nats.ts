import { Report } from '../report.js';
import { startPlace } from '../stores.js';
import { cell, head, rounds, rowsOf, type Cell } from './http.js';

const ROUNDS = 9;

const CELLS: readonly Cell[] = [
  cell('bare GET', 'node', 'GET'),
  cell('bare POST', 'node', 'POST'),
  cell('read, held', 'node-nats-held', 'GET', 'bare GET'),
  cell('write, held', 'node-nats-held', 'POST', 'bare POST', 45),
  cell('read, released', 'node-nats-released', 'GET', 'bare GET'),
  cell('write, released', 'node-nats-released', 'POST', 'bare POST'),
];

/** The same as `http` over a NATS server, on node:http. */
export async function nats([count = String(ROUNDS)]: readonly string[], writes: boolean): Promise<boolean> {
  const report = new Report('nats', `${count} interleaved rounds of 4,000 requests per row after 3 to warm up; 16 connections, 256 sessions of 1 KB, one NATS server, `
    + "affinity 'keep' where it says held; CPU time of the application's process, the client and NATS run in others");
  const place = await startPlace('nats');
  try {
    report.table(head, rowsOf(CELLS, await rounds(CELLS, Number(count), place.address), report));
  } finally {
    await place.stop();
  }
  report.line('Every answer was compared with what its session must contain.');
  if (writes) report.write();
  return report.met;
}

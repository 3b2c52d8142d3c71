// npm run simulate: runs the simulation's seeds, or one with its trace.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { historyLines } from '@cluster/conformance';
import { mutations } from './mutations.js';
import { huntMutation } from './hunt.js';
import { simulate } from './simulate.js';
import { describeTally, Tally, type Summary } from './tally.js';

const SHOWN = 20;
const USAGE = `npm run simulate -- [--seeds N] [--from SEED] [--requests N] [--workers N]   runs N seeds
npm run simulate -- --seed SEED [--history FILE]                             replays one with its trace
npm run simulate -- --mutations                                              looks for each mutation`;

function given() {
  try {
    return parseArgs({ options: {
      seeds: { type: 'string', default: '200' }, from: { type: 'string', default: '1' }, requests: { type: 'string', default: '500' },
      workers: { type: 'string', default: String(availableParallelism()) }, seed: { type: 'string' },
      mutations: { type: 'boolean', default: false }, mutation: { type: 'string' }, history: { type: 'string' }, part: { type: 'string' },
    } }).values;
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
    process.exit(1);
  }
}
const values = given();
const requests = Number(values.requests);
const from = Number(values.from);
const seeds = Number(values.seeds);

/** Runs every n-th seed, in this process. */
async function runPart(first: number, step: number): Promise<Tally> {
  const tally = new Tally();
  for (let seed = from + first; seed < from + seeds; seed += step) tally.add(await simulate(seed, { requests }));
  return tally;
}

async function runInWorkers(workers: number): Promise<Tally> {
  const total = new Tally();
  await Promise.all(Array.from({ length: workers }, async (_, part) => {
    const child = fork(new URL(import.meta.url).pathname, [...process.argv.slice(2), '--part', `${part}/${workers}`]);
    child.on('message', (summary) => { total.join(summary as Summary); }); // sent by the line below that has process.send
    const [code] = await once(child, 'exit') as [number | null];
    if (code !== 0) throw new Error(`a worker ended with ${code ?? 'a signal'}`);
  }));
  return total;
}

if (values.seed !== undefined) {
  const mutated = mutations.find(({ name }) => name === values.mutation);
  const change = mutated?.change === undefined ? {} : { change: mutated.change };
  const outcome = await simulate(Number(values.seed), {
    requests, print: (line) => { console.log(line); }, ...change, ...(mutated && { mutation: mutated.mutation, requests: mutated.requests }),
  });
  if (values.history !== undefined) writeFileSync(values.history, historyLines(outcome.checked));
  for (const { check, message } of outcome.violations) console.log(`\n${check}: ${message}`);
  process.exitCode = outcome.violations.length > 0 ? 1 : 0;
} else if (values.part !== undefined) {
  const [part = 0, of = 1] = values.part.split('/').map(Number);
  process.send?.((await runPart(part, of)).summary);
} else if (values.mutations) {
  for (const mutation of mutations) {
    const found = await huntMutation(mutation, from, seeds);
    console.log(`${mutation.name}: ${found === undefined ? `not found within ${seeds} seeds` : `found after ${found.seeds} seeds, ${found.check}`}`);
    if (found === undefined) process.exitCode = 1;
  }
} else {
  const start = performance.now();
  const workers = Math.max(1, Number(values.workers));
  const tally = workers === 1 ? await runPart(0, 1) : await runInWorkers(workers);
  const { violations } = tally.summary;
  for (const { seed, check, message } of violations.slice(0, SHOWN)) console.log(`seed ${seed}, ${check}: ${message}\n`);
  console.log(describeTally(tally.summary, (performance.now() - start) / 1000));
  if (violations.length > 0) process.exitCode = 1;
}

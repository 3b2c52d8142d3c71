// npm run simulate -- [--seeds N] [--from SEED] [--requests N] [--seed SEED]: see README.md.
import { simulate } from './simulate.js';

const args = process.argv.slice(2);
const option = (name: string, otherwise: number): number => {
  const place = args.indexOf(`--${name}`);
  return place < 0 ? otherwise : Number(args[place + 1]);
};
const seed = option('seed', -1);
const requests = option('requests', 500);
if (seed >= 0) {
  const outcome = await simulate(seed, { requests, print: (line) => { console.log(line); } });
  for (const { check, message } of outcome.violations) console.log(`\n${check}: ${message}`);
} else {
  const start = performance.now();
  const tally: Record<string, number> = {};
  const faults: Record<string, number> = {};
  let total = 0;
  let events = 0;
  for (let each = option('from', 1); each < option('from', 1) + option('seeds', 20); each += 1) {
    const outcome = await simulate(each, { requests });
    total += outcome.requests;
    events += outcome.storeEvents;
    for (const [kind, count] of Object.entries(outcome.faults)) faults[kind] = (faults[kind] ?? 0) + count;
    for (const { check, message } of outcome.violations.slice(0, 3)) {
      tally[check] = (tally[check] ?? 0) + 1;
      console.log(`seed ${each} ${check}: ${message.slice(0, 1500)}`);
    }
  }
  console.log({ total, events, seconds: (performance.now() - start) / 1000, tally, faults });
}

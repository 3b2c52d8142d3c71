import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProcessClause } from './clauses.js';
import type { Life } from './life.js';
import type { ProcessBench } from './process-bench.js';
import type { KnownSession } from './recorder.js';
import { DeadlyWay, Turn, type Way } from './turn.js';

const KILLS = 6;
const MOST_PAUSE_MS = 400;
/** Of the calls that are no commit. */
const SOME_STEPS = 6;
const MORE_THAN_ANY = 1_000_000;

const random: ProcessClause = {
  title: 'processes that are killed at any moment and started again lose no acknowledged change',
  async run(bench) {
    const { instances, random: chance } = bench;
    await bench.underLoad(async () => {
      for (let kill = 0; kill < KILLS; kill += 1) {
        await sleep(chance.between(0, MOST_PAUSE_MS));
        const index = Math.floor(chance.between(0, instances.count));
        await (await instances.at(index)).kill();
        await sleep(chance.between(0, MOST_PAUSE_MS));
        await instances.at(index);
      }
    });
  },
};

/** Finds the session on another instance, from the death of its holder on. */
async function takenOver(bench: ProcessBench, by: Life, known: KnownSession, sinceMs: number, withinMs: number): Promise<Turn | undefined> {
  const turn = await bench.had(by, known, withinMs);
  const tookMs = performance.now() - sinceMs;
  if (turn !== undefined || !known.isOver) bench.proof.ok(turn !== undefined && tookMs <= withinMs, `${known.name} is had again ${Math.round(tookMs)} ms after its holder was killed; the bound is ${withinMs}`);
  return turn;
}

const takeOver: ProcessClause = {
  title: 'what a killed process had, in use, idle, or while somebody waited for it, is had again in time',
  async run(bench) {
    const { instances, recorder } = bench;
    const [holder, other] = await instances.all();
    if (holder === undefined || other === undefined) return;
    const [used, idle, awaited] = [await bench.added(holder), await bench.added(holder), await bench.added(holder)];
    await (await bench.had(holder, idle, 0))?.send();
    await bench.had(holder, used, 0);
    const before = await bench.had(holder, awaited, 0);
    const waiting = Turn.find(recorder, other, awaited, 'exclusive');
    await before?.send(before.change('a'), true);
    await sleep(100);
    await holder.kill();
    const sinceMs = performance.now();
    const withinMs = bench.takeOverMs(other);
    const turns = await Promise.all([
      ...[used, idle].map((known) => takenOver(bench, other, known, sinceMs, withinMs)),
      waiting.then((turn) => turn ?? takenOver(bench, other, awaited, sinceMs, withinMs)),
    ]);
    bench.proof.ok(performance.now() - sinceMs <= withinMs, `they are had again within ${withinMs} ms`);
    for (const turn of turns) await turn?.send(turn.change('b'));
    await bench.check();
  },
};

type Request = (life: Life, known: KnownSession, way: Way, bench: ProcessBench) => Promise<unknown>;

/** One request that dies, or not, on an instance; what is left of it for another one. Resolves to how many steps it had if it survived. */
async function dieAt(bench: ProcessBench, index: number, witness: Life, step: number, request: Request): Promise<number | undefined> {
  const life = await bench.instances.at(index);
  const known = await bench.added(witness);
  const way = new DeadlyWay(life, step);
  await request(life, known, way, bench);
  if (way.steps !== undefined) return way.steps;
  await life.ended;
  const turn = await takenOver(bench, witness, known, performance.now(), bench.takeOverMs(witness));
  await turn?.send(turn.change('a'));
  return undefined;
}

/** The process dies at each step of the request, or at some of them. */
const atEachStep = (title: string, most: number, request: Request): ProcessClause => ({
  title,
  async run(bench) {
    const [witness] = await bench.instances.all();
    if (witness === undefined) return;
    const all = await dieAt(bench, 1, witness, MORE_THAN_ANY, request) ?? 0;
    bench.proof.ok(all >= 2, 'a call to the store has a begin and an end');
    // The last step or two may come or not.
    const steps = all <= most ? Array.from({ length: all }, (_, index) => index + 1)
      : [...new Set(Array.from({ length: most }, () => Math.ceil(bench.random.between(0, all))))];
    await Promise.all([1, 2].map(async (index) => {
      for (let step = steps.shift(); step !== undefined; step = steps.shift()) await dieAt(bench, index, witness, step, request);
    }));
    await bench.check();
  },
});

export const killClauses: readonly ProcessClause[] = [
  takeOver,
  atEachStep('SIGKILL at each step of a commit leaves the state before it or after it', MORE_THAN_ANY, async (life, known, way, bench) => {
    const turn = await bench.had(life, known, bench.settings.lockTimeoutMs);
    await turn?.send(turn.change('a', 'b'), false, way);
  }),
  atEachStep('SIGKILL at steps of a find leaves a session that others can have', SOME_STEPS, async (life, known, way, { recorder }) => {
    const turn = await Turn.find(recorder, life, known, 'exclusive', way);
    await turn?.send();
  }),
  atEachStep('SIGKILL at steps of an id change leaves the session under one id, or under none', SOME_STEPS, async (life, known, way, bench) => {
    const turn = await bench.had(life, known, bench.settings.lockTimeoutMs);
    if (turn !== undefined && await turn.changeId(turn.change('a'), way)) await turn.send();
  }),
  atEachStep('SIGKILL at steps of a removal leaves a session that is there for all, or for none', SOME_STEPS, async (life, known, way, { recorder }) => {
    await Turn.remove(recorder, life, known, way);
  }),
  random,
];

import { setTimeout as sleep } from 'node:timers/promises';
import type { Clause } from '../clause.js';
import { disturbed, type Disturbance } from './disturbance.js';
import type { ProcessBench } from './process-bench.js';
import { Turn } from './turn.js';

/** Something that can happen to a store, as its own tests know how. */
export interface StoreFault extends Disturbance {
  /** Completes "while …": `the disk is full`. */
  readonly title: string;
  /** At least one request must fail by it, saying this. */
  readonly says?: RegExp;
  /** Told how many of the changes that were acknowledged after `lag`, to sessions that nobody held, are lost. */
  lost?(changes: { readonly acknowledged: number; readonly lost: number }): void;
  /** Why it cannot be tried here. */
  readonly skipped?: string | undefined;
}

/** What decides which clauses a store is held to. */
export interface ProcessSubject {
  readonly hasServer: boolean;
  readonly silentTakeOverMs: number | undefined;
}

export type ProcessClause = Clause<ProcessSubject, ProcessBench>;

const CALM_MS = 2_500;
/** A machine that stands still for a second fails requests as well, but not each time. */
const TRIES = 3;

export const calmClause: ProcessClause = {
  title: 'while nothing goes wrong every request of every process is served, and what they see is one history',
  async run(bench) {
    const { counts, said } = bench.recorder;
    let unserved = 0;
    for (let attempt = 1; attempt <= TRIES; attempt += 1) {
      const before = counts.unserved;
      await bench.underLoad(() => sleep(CALM_MS));
      unserved = counts.unserved - before;
      if (unserved === 0) break;
    }
    bench.proof.ok(unserved === 0, `every request is served; ${TRIES} times some were told: ${[...said].join('; ')}`);
  },
};

/** One clause per fault that a harness names. */
export const faultClauseOf = (fault: StoreFault): ProcessClause => ({
  title: `while ${fault.title} requests fail in time, no acknowledged change is lost${fault.mayLose === true || fault.lag !== undefined ? ' before or after' : ''}, and it goes on afterwards`,
  exempt: () => fault.skipped,
  async run(bench) {
    const { recorder } = bench;
    const { says } = fault;
    // Who has a session may wait until the fault is over, and be told nothing; who begins one is told within storeTimeoutMs.
    await disturbed(bench, fault, says && ((life) => Turn.create(recorder, life)));
    if (says !== undefined) bench.proof.ok([...recorder.said].some((text) => says.test(text)), `a request is told ${String(says)}; they were told: ${[...recorder.said].join('; ')}`);
  },
});

export const stopClause: ProcessClause = {
  title: 'instances that are stopped free what they had, and nothing keeps their processes alive',
  async run(bench) {
    const lives = await bench.instances.all();
    const withinMs = bench.settings.lockTimeoutMs + 2 * bench.settings.storeTimeoutMs;
    const lasting: string[] = [];
    await bench.underLoad(async () => {
      for (const index of lives.keys()) {
        const life = await bench.instances.at(index);
        if (!await life.stop(withinMs)) lasting.push(life.instanceId);
        await sleep(100);
        await bench.instances.at(index);
      }
    });
    lasting.push(...await bench.instances.stop(withinMs));
    bench.proof.equal(lasting, [], 'processes that did not end by themselves');
  },
};

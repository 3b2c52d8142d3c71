import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Life } from './life.js';
import type { ProcessBench } from './process-bench.js';
import type { Turn } from './turn.js';

/** Something that goes wrong with a store, and ends. */
export interface Disturbance {
  begin(): Promise<void> | void;
  /** Called a while before `begin`: from now on what the store acknowledges is what it will lose, since a replica lags. */
  lag?(): Promise<void> | void;
  /** Resolves when the store can be used again. */
  end(): Promise<void> | void;
  /** For how long; default: one and a half times the longer one of `storeTimeoutMs` and `leaseMs`. */
  readonly lastsMs?: number;
  /** What was acknowledged in its last moments may be lost, as the store declares: the history begins anew after it. */
  readonly mayLose?: boolean;
}

/** Requests at work on each of the instances, so many; of those that clients send none may be just then at the step that matters. */
export async function atWork(bench: ProcessBench, lives: readonly Life[], each: number): Promise<Turn[]> {
  const turns = await Promise.all(lives.flatMap((life) => Array.from({ length: each }, async () =>
    bench.had(life, await bench.added(life), bench.settings.lockTimeoutMs))));
  return turns.filter((turn) => turn !== undefined);
}

/** All of them at once. */
export const sendAll = (turns: readonly Turn[]): Promise<boolean[]> => Promise.all(turns.map((turn) => turn.send(turn.change('a'))));

/** It happens while clients send requests, `meanwhile` when it has begun; every instance answers again soon after its end. */
export async function disturbed(bench: ProcessBench, disturbance: Disturbance, meanwhile?: (life: Life) => Promise<unknown>): Promise<void> {
  const { storeTimeoutMs, leaseMs } = bench.settings;
  const longMs = 1.5 * Math.max(storeTimeoutMs, leaseMs);
  const happens = async () => {
    await sleep(longMs / 3);
    if (disturbance.lag !== undefined) {
      await disturbance.lag();
      await sleep(longMs / 3);
    }
    const turns = await atWork(bench, bench.instances.serving, 1);
    await disturbance.begin();
    const sent = Promise.all([sendAll(turns), ...bench.instances.serving.map((life) => meanwhile?.(life))]);
    try {
      await sleep(disturbance.lastsMs ?? longMs);
    } finally {
      await disturbance.end();
    }
    await sent;
    await bench.answerAgain(bench.instances.serving, performance.now());
    await sleep(longMs / 3);
  };
  await (disturbance.mayLose === true || disturbance.lag !== undefined ? bench.underLoadLosing(happens) : bench.underLoad(happens));
}

import { AsyncLocalStorage } from 'node:async_hooks';

interface Walk { taken: number; readonly last: number }

const walks = new AsyncLocalStorage<Walk>();

/** A place between two effects of a request: the process dies here if it was told so. Elsewhere it does nothing. */
export function step(): void {
  const walk = walks.getStore();
  if (walk === undefined) return;
  walk.taken += 1;
  if (walk.taken === walk.last) process.kill(process.pid, 'SIGKILL');
}

/** Kills the process at the given step of `work`, counted from 1; resolves to how many there were if it has fewer. */
export async function dyingAt(last: number, work: () => unknown): Promise<{ readonly steps: number; readonly value: unknown }> {
  const walk: Walk = { taken: 0, last };
  const value = await walks.run(walk, work);
  return { steps: walk.taken, value };
}

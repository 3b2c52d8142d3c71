import type { Clock } from '../clock.js';
import { ClusterError } from '../errors.js';
import { shortName } from '../session-id.js';
import type { Asking } from './acquisition.js';
import type { Slot } from './ownership.js';
import type { LocalWaiter } from './request-queue.js';

/**
 * Takes a place in the queue of a slot that is in use, until it is given on; `waits` is called once it has it.
 * @throws ClusterError CLUSTER_LOCKED at the deadline, CLUSTER_STOPPED; or the abort reason
 */
export async function waitForTurn(clock: Clock, slot: Slot, asking: Asking, waits: () => void): Promise<void> {
  if (asking.deadlineMs <= clock.monotonicMs()) throw lockedHere(clock, slot, asking);
  await new Promise<void>((resolve, reject) => {
    const finish = () => { cancel(); asking.signal?.removeEventListener('abort', aborted); };
    const refuse = (error: unknown) => { finish(); slot.queue.drop(waiter); reject(error); };
    const aborted = () => { refuse(asking.signal?.reason); };
    const waiter: LocalWaiter = { sinceMs: asking.arrivedMs, isShared: asking.isShared === true, admit: () => { finish(); resolve(); }, refuse };
    const cancel = clock.timer(() => { refuse(lockedHere(clock, slot, asking)); }, asking.deadlineMs - clock.monotonicMs(), true);
    asking.signal?.addEventListener('abort', aborted, { once: true });
    slot.queue.add(waiter);
    waits();
  });
}

function lockedHere(clock: Clock, slot: Slot, asking: Asking): ClusterError {
  const now = clock.monotonicMs();
  const who = slot.label === undefined ? 'another request' : `'${slot.label}'`;
  return new ClusterError('CLUSTER_LOCKED',
    `session ${shortName(slot.key)} is in use by ${who} on this instance since ${Math.round(now - slot.busySinceMs)} ms; `
    + `waited ${Math.round(now - asking.arrivedMs)} ms; retry, or let that request end or release it earlier`);
}

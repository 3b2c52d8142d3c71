import { ClusterError, type LockHolder } from '../errors.js';
import { shortName } from '../session-id.js';
import type { Asking } from './acquisition.js';
import type { Engine } from './engine.js';
import { instanceOf } from './messages.js';
import type { Slot } from './ownership.js';
import type { LocalWaiter } from './request-queue.js';
import { Sharing } from './sharing.js';

/** A wait that lasts longer is told. */
export const LONG_WAIT_MS = 1_000;
// Whoever waits asks the holder again every 200 ms. One that has been silent for longer may be dead: nobody is sent there.
const STILL_THERE_MS = 1_000;

/** Who uses the session of a slot on this instance, and for how long. */
export function useOf({ user, label, busySinceMs }: Slot, now: number): { readonly label: string | undefined; readonly heldMs: number } {
  return { label: user === undefined ? label : user.label, heldMs: Math.max(0, Math.round(now - (user?.sinceMs ?? busySinceMs))) };
}

/** Who has the session of a slot for which requests wait; undefined: nobody, or this instance does not know it yet. */
export function holderOf(engine: Engine, slot: Slot): LockHolder | undefined {
  const now = engine.now();
  if (slot.held !== undefined) {
    if (!slot.busy || slot.usedBy === 'nobody') return undefined;
    return { instanceId: engine.instanceId, isHere: true, ...useOf(slot, now), publicUrl: engine.settings.publicUrl };
  }
  if (slot.holder === undefined) return undefined;
  const { claim, says } = slot.holder;
  return {
    instanceId: claim.incarnation === '' ? undefined : instanceOf(claim.incarnation), isHere: false,
    label: says?.label, heldMs: says === undefined ? undefined : Math.round(now - says.sinceMs),
    publicUrl: says !== undefined && now - says.heardMs < STILL_THERE_MS ? says.publicUrl : undefined,
  };
}

/** The error of a request that waits no longer, or goes to another instance. */
export function locked(engine: Engine, slot: Slot, asking: Asking, redirectTo?: string): ClusterError {
  const holder = holderOf(engine, slot);
  const incarnation = slot.holder?.claim.incarnation ?? '';
  const { isHere, label, heldMs } = holder ?? { isHere: true, label: slot.label, heldMs: undefined };
  const who = isHere
    ? `in use by ${label === undefined ? 'another request' : `'${label}'`} on this instance`
    : `locked by ${incarnation === '' ? 'another instance' : `instance ${incarnation}`}${label === undefined ? '' : ` for '${label}'`}`;
  return new ClusterError('CLUSTER_LOCKED',
    `session ${shortName(slot.key)} is ${who}${heldMs === undefined ? '' : ` since ${heldMs} ms`}; waited ${Math.round(engine.now() - asking.arrivedMs)} ms; `
    + (redirectTo === undefined ? 'retry, or let the request that has it end or release it earlier' : `repeat the request at ${redirectTo}`),
    { holder, redirectTo });
}

/**
 * Whether the request gets in as soon as the store has answered, since no request keeps it out: those that share the session
 * let each other in, and what the engine does by itself ends by itself.
 */
function needsNoPatience({ user, usedBy, queue }: Slot, { kind }: Asking, waiter?: LocalWaiter): boolean {
  const isShared = kind === 'shared';
  if (isShared ? !queue.isSharedBefore(waiter) : queue.oldestLocal !== waiter) return false;
  return usedBy === 'nobody' || (isShared && (user === undefined ? usedBy === 'shared' : user instanceof Sharing && user.isEnding));
}

/**
 * Takes a place in the queue of a slot that is in use, until it is given on.
 * @throws ClusterError CLUSTER_LOCKED at the deadline or as `onLocked` says, CLUSTER_STOPPED; or the abort reason
 */
export async function waitForTurn(engine: Engine, slot: Slot, asking: Asking): Promise<void> {
  let isPatient = !needsNoPatience(slot, asking);
  if (isPatient && asking.deadlineMs <= engine.now()) throw locked(engine, slot, asking);
  if (isPatient) asking.patience?.meet(slot, asking);
  await new Promise<void>((resolve, reject) => {
    let cancel = () => { /* set below */ };
    const finish = () => { cancel(); asking.signal?.removeEventListener('abort', aborted); };
    const refuse = (error: unknown) => { finish(); slot.queue.drop(waiter); reject(error); };
    const aborted = () => { refuse(asking.signal?.reason); };
    const waitOn = (ms: number) => {
      const leftMs = asking.deadlineMs + (isPatient ? 0 : engine.settings.storeTimeoutMs) - engine.now();
      // Decided here, since a timer may fire a little early.
      const isLast = leftMs <= ms;
      cancel = engine.clock.timer(() => {
        if (isLast) { refuse(locked(engine, slot, asking)); return; }
        waitOn(LONG_WAIT_MS);
        heard();
      }, Math.max(0, isLast ? leftMs : ms), true);
    };
    const heard = () => {
      if (!isPatient) {
        if (needsNoPatience(slot, asking, waiter)) return;
        isPatient = true;
        cancel();
        waitOn(LONG_WAIT_MS);
      }
      try { asking.patience?.meet(slot, asking); } catch (error) { refuse(error); }
    };
    const waiter: LocalWaiter = { sinceMs: asking.arrivedMs, isShared: asking.kind === 'shared', admit: () => { finish(); resolve(); }, refuse, heard };
    waitOn(Math.max(0, asking.arrivedMs + LONG_WAIT_MS - engine.now()));
    asking.signal?.addEventListener('abort', aborted, { once: true });
    slot.queue.add(waiter);
    engine.holdLimit.watch(slot);
  });
}

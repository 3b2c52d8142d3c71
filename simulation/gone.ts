import type { Cluster } from './cluster.js';
import type { KnownSession } from './recorder.js';

/** What the clocks of processes may differ, and a little more. */
const SPARE = 0.01;

export function markGone(cluster: Cluster, known: KnownSession, idIndex: number): void {
  known.goneNs[idIndex] ??= cluster.recorder.now();
  if (idIndex === known.ids.length - 1) known.isOver = true;
}

/** Work on a session: as long as it lasts, the session is in use. */
export async function using<T>({ world }: Cluster, known: KnownSession, work: () => Promise<T>): Promise<T> {
  known.running += 1;
  try {
    return await work();
  } finally {
    known.running -= 1;
    known.usedUntilMs = world.nowMs;
  }
}

/** Whether what is promised of times holds: nothing goes wrong, and there is one clock that dates. */
const isTimed = ({ plan }: Cluster): boolean => plan.workload === 'expiry' && plan.isCalm && plan.hasClock;

/** What is not there must have been removed, or be old enough. */
export function noteAbsent(cluster: Cluster, known: KnownSession, idIndex: number, callNs: number, label: string): void {
  const { recorder, world, plan: { options: { idleTimeoutMs, absoluteTimeoutMs }, rateSpread } } = cluster;
  const isLatest = idIndex === known.ids.length - 1;
  if (isLatest && known.isRemovalAsked && known.removedNs === undefined) {
    // Until its removal is confirmed the holder's memory may show it; but nothing is stored any more.
    known.endedNs ??= recorder.now();
    known.isOver = true;
    return;
  }
  // A minute after an id change the store says no more that it was one.
  if (isLatest && known.openMoves === 0) recorder.add({ client: label, call_ns: callNs, return_ns: recorder.now(), key: known.name, op: 'read', value: null, result: 'ok' });
  const idleMs = world.nowMs - known.usedMs;
  const isOld = absoluteTimeoutMs > 0 && world.nowMs - known.bornMs >= absoluteTimeoutMs * (1 - rateSpread - SPARE);
  if (isTimed(cluster) && !known.isRemovalAsked && !known.isOver && !isOld && idleMs < idleTimeoutMs * (1 - rateSpread - SPARE)) {
    recorder.violation('expiry', `${label}: ${known.name} is gone ${idleMs.toFixed(1)} ms after its last use, idle time-out is ${idleTimeoutMs}`);
  }
  markGone(cluster, known, idIndex);
}

/** What is there must have been used, and not be too old. */
export function noteFound(cluster: Cluster, known: KnownSession, calledMs: number, label: string): void {
  const { recorder, plan: { options: { idleTimeoutMs, absoluteTimeoutMs, storeTimeoutMs }, rateSpread, weather } } = cluster;
  if (!isTimed(cluster)) return;
  const rate = 1 + rateSpread + SPARE;
  // A use is reported within the touch window, and by a batch within a second.
  const lateMs = idleTimeoutMs * 0.1 + 1_000 + storeTimeoutMs + weather.lateMs;
  const idleMs = known.running > 1 ? 0 : calledMs - known.usedUntilMs;
  if (idleMs > (idleTimeoutMs + lateMs) * rate) {
    recorder.violation('expiry', `${label}: ${known.name} is still there ${idleMs.toFixed(1)} ms after its last use, idle time-out is ${idleTimeoutMs}`);
  }
  if (absoluteTimeoutMs > 0 && calledMs - known.bornByMs > absoluteTimeoutMs * rate) {
    recorder.violation('expiry', `${label}: ${known.name} is still there ${(calledMs - known.bornByMs).toFixed(1)} ms after it was made, absolute time-out is ${absoluteTimeoutMs}`);
  }
}

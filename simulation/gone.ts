import type { Cluster } from './cluster.js';
import type { KnownSession } from './recorder.js';

export function markGone(cluster: Cluster, known: KnownSession, idIndex: number): void {
  known.goneNs[idIndex] ??= cluster.recorder.now();
  if (idIndex === known.ids.length - 1) known.isOver = true;
}

/** What is not there must have been removed, or be old enough. */
export function noteAbsent(cluster: Cluster, known: KnownSession, idIndex: number, callNs: number, label: string): void {
  const { plan, recorder, world } = cluster;
  const isLatest = idIndex === known.ids.length - 1;
  if (isLatest && known.isRemovalAsked && known.removedNs === undefined) {
    // Until its removal is confirmed the holder's memory may show it; but nothing is stored any more.
    known.endedNs ??= recorder.now();
    known.isOver = true;
    return;
  }
  if (isLatest) recorder.add({ client: label, call_ns: callNs, return_ns: recorder.now(), key: known.name, op: 'read', value: null, result: 'ok' });
  const isEarly = world.nowMs < known.usedMs + plan.options.idleTimeoutMs;
  if (plan.workload === 'expiry' && isEarly && !known.isRemovalAsked && plan.episodeEveryMs === Infinity) {
    recorder.violation('expiry', `${label}: ${known.name} is gone ${(world.nowMs - known.usedMs).toFixed(1)} ms after its last use, idle time-out is ${plan.options.idleTimeoutMs}`);
  }
  markGone(cluster, known, idIndex);
}

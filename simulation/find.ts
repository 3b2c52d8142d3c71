import { ClusterError, type Session } from '@cluster/core';
import { Bound } from './bound.js';
import type { Target } from './browser.js';
import type { Cluster, Life } from './cluster.js';
import type { Access, Face } from './face.js';
import { markGone, noteAbsent, noteFound } from './gone.js';
import type { Operation } from './recorder.js';

/** What no find may end with but these, wherever it stood; and no send. */
const FIND_CODES: ReadonlySet<string> = new Set(['CLUSTER_LOCKED', 'CLUSTER_QUEUE_FULL', 'CLUSTER_MOVED', 'CLUSTER_UNAVAILABLE', 'CLUSTER_STOPPED']);
const SEND_CODES: ReadonlySet<string> = new Set([
  'CLUSTER_LOCKED', 'CLUSTER_QUEUE_FULL', 'CLUSTER_CONFLICT', 'CLUSTER_FENCED', 'CLUSTER_UNKNOWN_OUTCOME', 'CLUSTER_UNAVAILABLE', 'CLUSTER_SESSION_ENDED', 'CLUSTER_STOPPED',
]);

export const codeOf = (error: unknown): string => (ClusterError.is(error) ? error.code : 'no ClusterError');

/** A request on its process, and the session that it asks for. */
export interface Asker { readonly cluster: Cluster; readonly life: Life; readonly face: Face; readonly target: Target }

/** A session that a request has found. */
export interface Found extends Asker {
  readonly session: Session;
  readonly access: Access;
  readonly calledMs: number;
  readonly calledNs: number;
  readonly foundNs: number;
  readonly incarnation: string | undefined;
}

/** Undefined: there is none, or it could not be had. */
export async function findFor(asker: Asker, access: Access, mustBeHad = false): Promise<Found | undefined> {
  const { cluster, life, face, target: { known, idIndex } } = asker;
  const { recorder, world, plan } = cluster;
  const { incarnation } = life;
  const name = `${known.name}.${idIndex}`;
  const calledNs = recorder.now();
  const calledMs = world.nowMs;
  world.trace?.(life.process.name, `${face.label}: find ${name} ${access}`);
  // An application behind HTTP may begin another session before it is known that there is none.
  const bound = new Bound(cluster, life, `${face.label}: find`, plan.face === 'http' ? 2 : 1);
  let session: Session | undefined;
  try {
    session = await face.find(known.ids[idIndex], access);
  } catch (error) {
    bound.end();
    world.trace?.(life.process.name, `${face.label}: ${codeOf(error)}`);
    if (!FIND_CODES.has(codeOf(error))) recorder.violation('error', `${face.label}: find ended with ${String(error)}`);
    if (mustBeHad && codeOf(error) !== 'CLUSTER_MOVED') recorder.violation('liveness', `${face.label}: ${known.name} cannot be had: ${String(error)}`);
    if (codeOf(error) === 'CLUSTER_MOVED') markGone(cluster, known, idIndex);
    return undefined;
  }
  bound.end();
  if (session === undefined) {
    world.trace?.(life.process.name, `${face.label}: ${name} is absent`);
    noteAbsent(cluster, known, idIndex, calledNs, face.label);
    return undefined;
  }
  const goneNs = known.goneNs[idIndex];
  if (goneNs !== undefined && goneNs < calledNs && plan.workload !== 'rollback') recorder.violation('back', `${face.label}: ${name} was gone, and is found again`);
  noteFound(cluster, known, calledMs, face.label);
  known.usedMs = Math.max(known.usedMs, calledMs);
  return { ...asker, session, access, calledMs, calledNs, foundNs: recorder.now(), incarnation };
}

/** Whether a change of the session may be refused at once, since somebody may have ended the handle. */
export function mayHaveEnded({ cluster: { plan, recorder }, face, target: { known, idIndex } }: Asker): boolean {
  return known.isRemovalAsked || known.goneNs[idIndex] !== undefined || plan.workload === 'expiry' || plan.workload === 'rollback' || recorder.cutOffs.has(face.label);
}

/** Records that publishing failed, and whether it may have. */
export function noteFailure(asker: Asker, access: Access | 'new', incarnation: string | undefined, operation: Operation | undefined, what: string, error: unknown): void {
  const { cluster: { recorder, world, plan }, cluster, life, face } = asker;
  const code = codeOf(error);
  world.trace?.(life.process.name, `${face.label}: ${what} ended with ${String(error)}`);
  // A log that keeps less than its traffic needs for a snapshot takes no new sessions meanwhile.
  const isFull = code === 'CLUSTER_FULL' && access === 'new' && plan.retainedBytes !== undefined;
  if (!SEND_CODES.has(code) && !isFull) recorder.violation('error', `${face.label}: ${what} ended with ${String(error)}`);
  if (operation !== undefined) {
    operation.return_ns = recorder.now();
    operation.result = code === 'CLUSTER_UNKNOWN_OUTCOME' ? 'unknown' : 'refused';
  }
  const isLost = code === 'CLUSTER_FENCED' && access !== 'snapshot' && plan.workload !== 'rollback' && plan.workload !== 'expiry';
  if (isLost && cluster.hasEnded(incarnation) === false && !life.isRetired && !recorder.cutOffs.has(face.label)) {
    recorder.violation('lock', `${face.label}: it lost the lock of ${asker.target.known.name}, and its instance has its lease`);
  }
}

/** A change was acknowledged: the session must have been there. */
export function noteChanged({ cluster: { recorder, plan }, face, target: { known, idIndex } }: Asker, calledNs: number): void {
  const endedNs = known.endedNs ?? known.goneNs[idIndex] ?? Infinity;
  if (endedNs >= calledNs || plan.workload === 'rollback' || recorder.conflicts.get(face.label) === 'dropped') return;
  recorder.violation('back', `${face.label}: a change of ${known.name}.${idIndex} was acknowledged after it was gone`);
}

/** The session has a new id; the old one is gone. */
export function noteMoved({ cluster, life, face, target: { known, idIndex } }: Asker, session: Session, next: number): Target {
  if (known.ids.length !== next) cluster.recorder.violation('id', `${face.label}: two id changes of ${known.name} succeeded at once`);
  known.ids.push(session.id);
  markGone(cluster, known, idIndex);
  cluster.world.trace?.(life.process.name, `${face.label}: is ${known.name}.${next}`);
  return { known, idIndex: next };
}

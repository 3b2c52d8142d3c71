import type { Removed } from '../drivers/session-table.js';
import { ClusterError } from '../errors.js';
import { shortName } from '../session-id.js';
import { applied } from './conflict.js';
import type { Engine } from './engine.js';
import type { Turn } from './turn.js';
import type { Moved, Turns } from './turns.js';

/**
 * Moves a session to a fresh key: create the new record, then turn the old one into a tombstone. Until the second step is
 * known to have happened nobody may learn the new id, so that two ids never reach one session.
 * The turn's own change goes into the new record. Resolves to where the new one is held.
 */
export async function moveSession(engine: Engine, turns: Turns, turn: Turn, newKey: string, deadlineMs: number): Promise<Moved> {
  let change = turn.state.changes();
  if (turn.access === 'snapshot') {
    const promoted = await turns.promote(turn, change);
    if (promoted === undefined) throw new ClusterError('CLUSTER_SESSION_ENDED', `session ${shortName(turn.key)} is gone; start a new one`);
    change = promoted.change;
  }
  const { place } = turn;
  if (place === undefined || place.slot.held !== place.held) {
    // While it waited for others that publish first.
    if (turn.isRemoved) throw notMoved(turn.key, { kind: 'fenced', gone: 'removed' });
    throw new ClusterError('CLUSTER_FENCED', `session ${shortName(turn.key)}: this instance lost the lock while the request ran; the id was not changed; retry the request`);
  }
  const { slot, held } = place;
  const content = change === undefined ? held.copy.attributes : applied(held.copy.attributes, change);
  const next = await turns.records.create(newKey, content, turns.lifetimes.ofContent(0, content), deadlineMs, true, 'moved');
  // Others may see the tombstone before this instance is told.
  slot.committing = true;
  let isBehind = false;
  try {
    const answer = await turns.records.remove(turn.key, held.claim.grant, held.copy.stamp, 'moved', deadlineMs);
    if (answer.kind !== 'removed') {
      isBehind = answer.kind === 'behind';
      await turns.records.remove(newKey, next.held.claim.grant, undefined, 'removed', deadlineMs).catch((cause: unknown) => {
        engine.events.emit('warning', { message: `session ${shortName(newKey)}, which nobody knows, could not be removed; it expires`, cause });
      });
      throw notMoved(turn.key, answer);
    }
  } catch (error) {
    next.slot.forget();
    engine.leave(next.slot);
    if (slot.held === held) {
      // What the store has is granted anew before anybody uses it; if it merely rolled back, this instance's content is written back.
      if (isBehind) held.suspect = true;
      else slot.forget();
    }
    throw error;
  } finally {
    slot.committing = false;
  }
  slot.forget();
  return { ...next, content };
}

function notMoved(key: string, answer: Exclude<Removed, { kind: 'removed' }>): ClusterError {
  const session = `session ${shortName(key)}`;
  if (answer.kind === 'behind') return new ClusterError('CLUSTER_FENCED', `${session}: the store has another content than this instance; the id was not changed; retry the request`);
  if (answer.gone === undefined) return new ClusterError('CLUSTER_FENCED', `${session}: this instance lost the lock; the id was not changed; retry the request`);
  return new ClusterError('CLUSTER_SESSION_ENDED', `${session}: it was ${answer.gone} meanwhile; the id was not changed`);
}

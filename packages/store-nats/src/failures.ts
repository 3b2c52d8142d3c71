import { ErrorCode, type ApiError, type Msg } from 'nats';
import { ClusterError } from '@cluster/core';

const NOBODY = Number(ErrorCode.NoResponders);
/** JetStream's numbers for a stream without a leader, and for a cluster of which too few servers have been heard of. */
const PASSING: readonly unknown[] = ['nobody', 10008, 10005];
/** Another put to that key is being replicated. */
export const IN_PROGRESS = 10164;
const CONFLICTS: readonly unknown[] = [10071, IN_PROGRESS];
/** The store of the leader failed in the middle of it. */
const STORE_FAILED = 10077;

/** NATS did not do what it was asked, and certainly changed nothing. */
export class Refusal extends ClusterError {
  /** @param reason the number that JetStream has for it, or why it was not even asked */
  constructor(readonly reason: number | 'nobody' | 'denied' | 'lost', message: string) {
    super('CLUSTER_UNAVAILABLE', `${message}; nothing was changed`);
  }
}

/** No answer came: what was asked may have been done. */
export class Unanswered extends Error {}

/** What was asked more than once is refused as a conflict, perhaps since another copy of it was taken. */
export class Doubted extends Unanswered {
  constructor() { super('NATS: it was asked more than once, and another change is there by now'); }
}

/** The number that JetStream has for why it refused, or that nobody is there; undefined if it did not refuse. */
export const reasonOf = (error: unknown): Refusal['reason'] | undefined => (error instanceof Refusal ? error.reason : undefined);

export const isConflict = (error: unknown): boolean => CONFLICTS.includes(reasonOf(error));

/** Nobody leads at the moment. */
export const isPassing = (error: unknown): boolean => PASSING.includes(reasonOf(error));

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

export const unavailable = (message: string, cause?: unknown) => new ClusterError('CLUSTER_UNAVAILABLE', message, { cause });

export const denied = (what: string) =>
  new Refusal('denied', `NATS denies a right that the store needs: ${what}. Give the user the rights listed in docs/stores/nats.md`);

/** What was answered in JSON. @throws Refusal, or Unanswered if it may have been done all the same */
export function contentOf(message: Msg): unknown {
  if (message.data.length === 0 && message.headers?.code === NOBODY) {
    throw new Refusal('nobody', 'nobody answers for the sessions in NATS: their stream has no leader at the moment, or JetStream is off');
  }
  const content = message.json<{ readonly error?: ApiError }>();
  if (content.error === undefined) return content;
  const { err_code: number, description } = content.error;
  // A bucket that is full is found out before anything is stored.
  if (number === STORE_FAILED && !description.startsWith('maximum')) throw new Unanswered(`NATS could not store it: ${description}`);
  throw new Refusal(number ?? 0, `NATS refused: ${description}`);
}

/** Why the client did not even send it; of whichever copy of the client the error is. */
export function unsent(cause: unknown, bytes: number, maxPayload: number | undefined): ClusterError {
  const isTooLarge = cause instanceof Error && 'code' in cause && cause.code === ErrorCode.MaxPayloadExceeded;
  if (!isTooLarge) return new Refusal('lost', `NATS cannot be asked: ${messageOf(cause)}`);
  const limit = maxPayload === undefined ? '' : ` of ${maxPayload}`;
  return new ClusterError('CLUSTER_TOO_LARGE',
    `the record of ${bytes} bytes is larger than the server's max_payload${limit}; raise that, or lower maxRecordBytes`, { cause });
}

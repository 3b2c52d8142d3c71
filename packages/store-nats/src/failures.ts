import { ErrorCode, type ApiError, type Msg } from 'nats';
import { ClusterError } from '@cluster/core';

const NOBODY = Number(ErrorCode.NoResponders);
/** JetStream's number for "system temporarily unavailable": a stream without a leader. */
const NO_LEADER = 10008;
/** Another put to that key is being replicated. */
export const IN_PROGRESS = 10164;
const CONFLICTS: readonly unknown[] = [10071, IN_PROGRESS];
/** The store of the leader failed in the middle of it. */
const STORE_FAILED = 10077;
/** No replicas outside of a cluster, not enabled for the account or at all, its limits, memory, disk, and subjects that another stream has. */
const LASTING: readonly unknown[] = ['denied', 'off', 10074, 10035, 10039, 10076, 10002, 10028, 10047, 10065];

/** NATS did not do what it was asked, and certainly changed nothing. */
export class Refusal extends ClusterError {
  /** Of so many that were sent, others of which may have been done. */
  copies = 1;

  /** @param reason the number that JetStream has for it, or why it was not even asked */
  constructor(readonly reason: number | 'nobody' | 'denied' | 'off' | 'lost', message: string) {
    super('CLUSTER_UNAVAILABLE', `${message}; nothing was changed`);
  }
}

/** No answer came: what was asked may have been done. */
export class Unanswered extends Error {}

/** The number that JetStream has for why it refused, or that nobody is there; undefined if it did not refuse. */
export const reasonOf = (error: unknown): Refusal['reason'] | undefined => (error instanceof Refusal ? error.reason : undefined);

export const isConflict = (error: unknown): error is Refusal => CONFLICTS.includes(reasonOf(error));

/** Nobody leads the stream at the moment. */
export const isLeaderless = (error: unknown): boolean => error instanceof Refusal && [NO_LEADER, 'nobody'].includes(error.reason);

/** Whether it may go otherwise the next time. */
export const isPassing = (error: unknown): boolean => error instanceof Unanswered || (error instanceof Refusal && !LASTING.includes(error.reason));

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

export const denied = (what: string) => new Refusal('denied', `NATS denies a right that the store needs: ${what}. Give the user the rights listed in docs/stores/nats.md`);

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

/** What the client did not even send. */
export function unsent(error: unknown): ClusterError {
  // Of whichever copy of the client.
  const isTooLarge = error instanceof Error && 'code' in error && error.code === ErrorCode.MaxPayloadExceeded;
  if (!isTooLarge) return new Refusal('lost', `NATS cannot be asked: ${messageOf(error)}`);
  return new ClusterError('CLUSTER_TOO_LARGE', "the record is larger than the server's max_payload; raise that, or lower maxRecordBytes", { cause: error });
}

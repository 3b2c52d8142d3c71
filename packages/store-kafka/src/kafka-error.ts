import { setTimeout as pause } from 'node:timers/promises';
import { ClusterError } from '@cluster/core';

const AGAIN_MS = 200;

/** What the broker says of a batch of which it has stored nothing. */
const REFUSALS: Readonly<Record<string, string>> = {
  MESSAGE_TOO_LARGE: "it is larger than the topic's max.message.bytes",
  RECORD_LIST_TOO_LARGE: "it is larger than the topic's segment.bytes",
  TOPIC_AUTHORIZATION_FAILED: 'the user may not use the topic; it needs Read, Write, Describe and DescribeConfigs there',
  GROUP_AUTHORIZATION_FAILED: 'the user may not read in groups; it needs Read on those whose names begin with that of the topic',
  CLUSTER_AUTHORIZATION_FAILED: 'the user may not do this in the cluster',
  SASL_AUTHENTICATION_FAILED: 'the user is not known, or the password is wrong',
  INVALID_RECORD: 'it does not take this record',
  POLICY_VIOLATION: 'a policy of the broker forbids it',
};

interface Failure { readonly type?: unknown; readonly name?: unknown; readonly message?: unknown; readonly cause?: unknown; readonly originalError?: unknown }

/** kafkajs wraps errors in others: what it says when it tries no more, and what was the matter. */
function* chainOf(error: unknown): Generator<Failure> {
  let at = error;
  for (let depth = 0; typeof at === 'object' && at !== null && depth < 8; depth += 1) {
    const failure: Failure = at; // every field is unknown, and optional
    yield failure;
    at = failure.cause ?? failure.originalError;
  }
}

/** The broker's name for what is wrong, such as `NOT_LEADER_FOR_PARTITION`; undefined: it did not say anything. */
export function typeOf(error: unknown): string | undefined {
  for (const { type, name } of chainOf(error)) {
    if (typeof type === 'string') return type;
    if (name === 'KafkaJSSASLAuthenticationError') return 'SASL_AUTHENTICATION_FAILED';
  }
  return undefined;
}

/** kafkajs keeps to itself what a broker said when it was asked who looks after a group. */
export const isWithoutCoordinator = (error: unknown): boolean => [...chainOf(error)].some(({ name }) => name === 'KafkaJSGroupCoordinatorNotFound');

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Tries again for so long what may be possible soon: a broker that was just started, or one of several that stands still. */
export async function insist<T>(failure: string, withinMs: number, attempt: () => Promise<T>): Promise<T> {
  const endMs = performance.now() + withinMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (ClusterError.is(error)) throw error;
      if (performance.now() > endMs) throw new ClusterError('CLUSTER_UNAVAILABLE', `Kafka: ${failure}: ${messageOf(error)}`, { cause: error });
      await pause(AGAIN_MS);
    }
  }
}

/** Undefined: the broker may have done it, or will do it later. */
export function refusalOf(error: unknown, topic: string): ClusterError | undefined {
  if (ClusterError.is(error)) return error;
  const reason = REFUSALS[typeOf(error) ?? ''];
  if (reason === undefined) return undefined;
  return new ClusterError('CLUSTER_UNAVAILABLE', `Kafka refused (topic '${topic}'): ${reason}; nothing was changed`, { cause: error });
}

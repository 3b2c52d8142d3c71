import { ClusterError } from '@cluster/core';

interface Failure { readonly message?: string; readonly code?: unknown; readonly classId?: number; readonly methodId?: number }

const failureOf = (error: unknown): Failure => (typeof error === 'object' && error !== null ? error : { message: String(error) });

/** Where several addresses were tried Node says no more than a code. */
export const messageOf = (error: unknown): string => failureOf(error).message || String(failureOf(error).code);

export const unavailable = (what: string, cause?: unknown) => new ClusterError('CLUSTER_UNAVAILABLE', `RabbitMQ: ${what}`, cause === undefined ? {} : { cause });

/** By AMQP's numbers, of the answer and of what was asked. */
const REFUSED: Readonly<Record<string, string>> = {
  '403 50.10': 'the user needs the right to configure the stream',
  '403 60.20': 'the user needs the right to read the stream',
  '403 60.40': 'the user needs the right to write to the default exchange, amq.default',
};

/** By RabbitMQ's words for it: of a stream that is there, and of one that is to be made. */
const REFUSED_ARGUMENTS: Readonly<Record<string, string>> = {
  'inequivalent arg': 'give the options that the stream was made with, or name another one',
  'Exceeded max value': 'give a lower maxBytes',
};

/** What to do about what a broker refuses, and will refuse again. */
export function adviceAbout(error: unknown): string | undefined {
  const { code, classId, methodId } = failureOf(error);
  const text = messageOf(error);
  if (text.includes('Handshake terminated by server: 403')) return 'the user is not known, or the password is wrong';
  // All that amqplib says of a vhost that the broker refuses.
  if (text.includes('ConnectionOpenOk')) return 'the vhost of the URL is not there, or the user has no right to it';
  if (text.includes('certificate')) return "give the certificate of the authority that signed the broker's as socket.ca";
  const numbers = `${String(code)} ${classId}.${methodId}`;
  if (numbers === '406 50.10') return Object.entries(REFUSED_ARGUMENTS).find(([words]) => text.includes(words))?.[1];
  return REFUSED[numbers];
}

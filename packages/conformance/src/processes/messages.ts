import type { OptionalMethod, StoreCalls } from './remote-store.js';

/** What can be sent to another process. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** The first message to a worker. */
export interface Beginning {
  readonly kind: 'begin';
  readonly module: string;
  readonly context: string;
  readonly instanceId: string;
  readonly config: Json | undefined;
}

export type Request =
  | Beginning
  | { readonly kind: 'call'; readonly n: number; readonly method: keyof StoreCalls; readonly args: readonly unknown[] }
  | { readonly kind: 'stop' };

/** An error without its class, which does not survive the way. */
export interface Failure {
  readonly name: string;
  readonly message: string;
  readonly code: string | undefined;
}

export type Reply =
  | { readonly kind: 'begun'; readonly lacks: readonly OptionalMethod[] }
  | { readonly kind: 'failed'; readonly failure: Failure }
  | { readonly kind: 'answer'; readonly n: number; readonly value: unknown }
  | { readonly kind: 'rejected'; readonly n: number; readonly failure: Failure }
  | { readonly kind: 'stopped' };

export function failureOf(error: unknown): Failure {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error), code: undefined };
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  const because = error.cause === undefined ? '' : ` (cause: ${failureOf(error.cause).message})`;
  return { name: error.name, message: `${error.message}${because}`, code };
}

/** An error as it can be thrown on the other side. */
export const thrown = ({ name, message, code }: Failure): Error => Object.assign(new Error(message), { name, code });

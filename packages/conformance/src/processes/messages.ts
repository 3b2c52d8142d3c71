/** What can be sent to another process. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** What a process with a store in it is told first. */
export interface Beginning {
  /** URL of the module that exports `createStore`. */
  readonly module: string;
  readonly context: string;
  readonly instanceId: string;
  readonly config: Json | undefined;
}

/** A call of the parent, answered by a reply of the same number. */
export interface Call {
  readonly n: number;
  readonly method: string;
  readonly args: readonly unknown[];
}

/** An error without its class, which does not survive the way. */
export interface Failure {
  readonly name: string;
  readonly message: string;
  readonly code: string | undefined;
}

export type Reply =
  | { readonly n: number; readonly value: unknown }
  | { readonly n: number; readonly failure: Failure }
  /** What the child says by itself. */
  | { readonly notice: unknown };

export function failureOf(error: unknown): Failure {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error), code: undefined };
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  const because = error.cause === undefined ? '' : ` (cause: ${failureOf(error.cause).message})`;
  return { name: error.name, message: `${error.message}${because}`, code };
}

/** An error as it can be thrown on the other side. */
export const thrown = ({ name, message, code }: Failure): Error => Object.assign(new Error(message), { name, code });

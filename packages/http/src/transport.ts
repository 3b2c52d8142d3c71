import type { IncomingMessage, ServerResponse } from 'node:http';
import { ClusterError } from '@cluster/core';
import { warn } from './warnings.js';

/** What a request says about its session. `sentS`: when the client got the id, in seconds since 1970, if it has an age. */
export interface Found { readonly id: string; readonly sentS: number | undefined }

/** How long the client may keep the id, in ms, as its session says; null: for its own session; undefined: as the options say. */
export type OwnAge = number | null | undefined;

/** How the id of a session travels. */
export interface Transport {
  /** Undefined: the request names no session that could be one of ours. */
  read(req: IncomingMessage): Found | undefined;
  /** Whether a client that got the id at this time should get it again. */
  isDue(sentS: number | undefined, own: OwnAge): boolean;
  /** Adds what tells the client the id; the headers are about to leave. */
  write(req: IncomingMessage, res: ServerResponse, id: string, own: OwnAge): void;
  /** Adds what makes the client forget the id; the headers are about to leave. */
  clear(req: IncomingMessage, res: ServerResponse): void;
  /** What a client that was told the id sends: a Cookie header; else the id. */
  sentBack(id: string, own: OwnAge): string;
}

/** How the id travels, in place of a cookie: three functions that answer at once. */
export interface TransportOptions {
  /** The id that the request carries; undefined: none. What cannot be an id counts as none, with one warning. */
  read(req: IncomingMessage): string | readonly string[] | undefined;
  /** Sets the headers that tell the client its new id. Called when they are about to leave and the session is stored. */
  write(res: ServerResponse, id: string): void;
  /** Sets the headers that tell the client that its session was ended. */
  clear(res: ServerResponse): void;
}

/** What they return is looked at: a promise is none that the type forbids. */
type Functions = { readonly [K in keyof TransportOptions]: (...args: Parameters<TransportOptions[K]>) => unknown };

/** As core takes ids. */
export const ID = /^[\w-]{1,512}$/;

/** An id by the functions of the application. */
export class OwnTransport implements Transport {
  constructor(private readonly own: Functions) {}

  /** @throws ClusterError CLUSTER_BAD_OPTION if the function throws or is asynchronous */
  read(req: IncomingMessage): Found | undefined {
    const id: unknown = answerOf('read', () => this.own.read(req));
    if (typeof id === 'string' && ID.test(id)) return { id, sentS: undefined };
    if (id !== undefined && id !== null) warn('MALFORMED_ID');
    return undefined;
  }

  isDue(): boolean { return false; }

  sentBack(id: string): string { return id; }

  /** @throws ClusterError CLUSTER_BAD_OPTION if the function throws or is asynchronous */
  write(_req: IncomingMessage, res: ServerResponse, id: string): void {
    answerOf('write', () => this.own.write(res, id));
  }

  /** @throws ClusterError CLUSTER_BAD_OPTION if the function throws or is asynchronous */
  clear(_req: IncomingMessage, res: ServerResponse): void {
    answerOf('clear', () => this.own.clear(res));
  }
}

/** What a function of the application answers. Its own error may tell an id, so it is the cause and no part of the text. */
function answerOf(name: keyof TransportOptions, call: () => unknown): unknown {
  let answer;
  try {
    answer = call();
  } catch (cause) {
    const found = cause instanceof Error ? `a ${cause.name}` : typeof cause;
    throw new ClusterError('CLUSTER_BAD_OPTION', `session: transport.${name}: expected it to answer, found that it throws ${found}; see the cause of this error`, { cause });
  }
  if (!(answer instanceof Promise)) return answer;
  answer.catch(() => undefined);
  throw new ClusterError('CLUSTER_BAD_OPTION', `session: transport.${name}: expected it to answer at once, found a promise`);
}

import { ClusterStoreBase, type Entry, type Found, type SessionMap } from '@cluster/core/driver';
import { MemoryStore } from '@cluster/core';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import connect from 'connect';
import express from 'express';
// The same package in its version 4; its typings are those of 5, which agree on what is used here.
import express4 from 'express4';
import { session, type SessionMiddleware, type SessionOptions } from '@cluster/http';
import { forgetWarnings } from '../../src/warnings.js';

declare module '@cluster/core' {
  interface SessionData { user: string; count: number; cart: string[]; note: string; csrf: string }
}

/** A request that has passed `session`. */
export interface SessionRequest extends IncomingMessage, Express.Request {}
export type Handler = (req: SessionRequest, res: ServerResponse) => unknown;

const running = new Set<SessionMiddleware>();

type Options = Omit<Extract<SessionOptions, { store: unknown }>, 'store'>;

/** The session layers of two instances that share their sessions. */
export function instances(options: Options = {}): [SessionMiddleware, SessionMiddleware] {
  const store = new MemoryStore();
  return [one({ ...options, store }), one({ ...options, store: new MemoryStore({ shareWith: store }) })];
}

export function one(options: SessionOptions): SessionMiddleware {
  const sessions = session(options);
  running.add(sessions);
  return sessions;
}

export const instance = (options: Options = {}): SessionMiddleware => one({ ...options, store: new MemoryStore() });

export async function stopAll(): Promise<void> {
  await Promise.all([...running].map((sessions) => sessions.stop()));
  running.clear();
}

// Each of them hands on the request that `session` has extended.
const extended = (handler: Handler) => handler as (req: IncomingMessage, res: ServerResponse) => unknown;

/** The same handler under each of the hosts. */
export const hosts: Record<string, (sessions: SessionMiddleware, handler: Handler) => RequestListener> = {
  'Express 5': (sessions, handler) => express().use(sessions).use(extended(handler)),
  'Express 4': (sessions, handler) => express4().use(sessions).use(extended(handler)),
  Connect: (sessions, handler) => connect().use(sessions).use(extended(handler)),
  'node:http': (sessions, handler) => (req, res) => {
    void sessions.open(req, res).then((found) => found && extended(handler)(req, res));
  },
};

export const express5 = (sessions: SessionMiddleware, handler: Handler): RequestListener => hosts['Express 5']?.(sessions, handler) ?? (() => undefined);

interface Row { value: string; revision: string; endsMs: number }

/** A map in memory that can be cut off or slowed down. */
export class SwitchMap implements SessionMap {
  readonly capabilities = { durability: 'process', gone: 'unknown', rollback: false } as const;
  /** What becomes of a call before it reaches the map. */
  before: (method: 'get' | 'put', key: string) => Promise<void> | undefined = () => undefined;
  readonly #rows = new Map<string, Row>();
  #revision = 0;

  async get(key: string): Promise<Found | undefined> {
    await this.before('get', key);
    return this.#present(key);
  }

  async compareAndSet(key: string, expected: string | undefined, { value, lifetimeMs }: Entry): Promise<string | undefined> {
    await this.before('put', key);
    if (this.#present(key)?.revision !== expected) return undefined;
    const revision = String(this.#revision += 1);
    this.#rows.set(key, { value, revision, endsMs: Date.now() + lifetimeMs });
    return revision;
  }

  #present(key: string): Row | undefined {
    const row = this.#rows.get(key);
    return row !== undefined && row.endsMs > Date.now() ? row : undefined;
  }
}

export class SwitchStore extends ClusterStoreBase {
  constructor(readonly map = new SwitchMap()) { super(map); }

  /** Every call about a session is refused from now on; leases go on. */
  cutOff(): void {
    this.map.before = (_, key) => (key.includes('.s.') ? Promise.reject(new Error('connection refused')) : undefined);
  }
}

export interface Warning { readonly code: string; readonly text: string }

/** The warnings that `work` causes in a process that has given none before. */
export async function warned(work: (given: readonly Warning[]) => Promise<unknown>): Promise<Warning[]> {
  const warnings: Warning[] = [];
  forgetWarnings();
  // Jest gives tests a process object of their own, whose 'warning' events are not those of the real one.
  const { emitWarning } = process;
  process.emitWarning = (message: unknown, options?: unknown) => { warnings.push({ code: String(Reflect.get(Object(options) as object, 'code')), text: String(message) }); };
  try {
    await work(warnings);
  } finally {
    process.emitWarning = emitWarning;
  }
  return warnings;
}

export const warningsOf = async (work: (given: readonly Warning[]) => Promise<unknown>): Promise<string[]> => (await warned(work)).map(({ code }) => code);

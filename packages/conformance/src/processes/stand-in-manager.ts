import type { ClusterStore, Health, Manager, Session } from '@cluster/core';

const none = (): never => { throw new Error('the conformance kit drives the store itself: its manager only has a context'); };

/** What a store is started with here: a manager with a context that takes in updates and does nothing else. */
export class StandInManager implements Manager {
  constructor(readonly context: string, readonly store: ClusterStore) {}

  receive(): void { /* a standby copy may be dropped at any time */ }
  on(): this { return this; }
  off(): this { return this; }
  start(): Promise<void> { return none(); }
  drain(): Promise<void> { return none(); }
  stop(): Promise<void> { return none(); }
  [Symbol.asyncDispose](): Promise<void> { return none(); }
  health(): Health { return none(); }
  createSession(): Session { return none(); }
  findSession(): Promise<Session | undefined> { return none(); }
  sendSession(): Promise<void> { return none(); }
  reloadSession(): Promise<void> { return none(); }
  releaseSession(): Promise<void> { return none(); }
  removeSession(): Promise<'confirmed' | 'unconfirmed' | 'moved'> { return none(); }
  changeSessionId(): Promise<Session> { return none(); }
  update<T>(): Promise<T | undefined> { return none(); }
}

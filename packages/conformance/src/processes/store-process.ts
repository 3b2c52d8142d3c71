import type { SessionSnapshot } from '@cluster/core';
import { Child } from './child.js';
import type { Beginning, Json } from './messages.js';
import type { OptionalMethod, RemoteStore, StoreCalls } from './remote-store.js';

/** How a process with a store in it is started. */
export interface StoreProgram {
  readonly module: string;
  readonly context: string;
  readonly config: Json | undefined;
  readonly execArgv: readonly string[];
  /** How long one call may take. */
  readonly callTimeoutMs: number;
}

/** A store in a process of its own. The process never keeps this one alive, and ends with it. */
export class StoreProcess implements RemoteStore {
  lacks: readonly OptionalMethod[] = [];
  readonly #child: Child;
  #stopped = false;

  private constructor(readonly instanceId: string, private readonly program: StoreProgram) {
    this.#child = new Child('worker', instanceId, program.execArgv);
  }

  static async open(instanceId: string, program: StoreProgram): Promise<StoreProcess> {
    const store = new StoreProcess(instanceId, program);
    const { module, context, config, callTimeoutMs } = program;
    store.lacks = await store.#child.callWithin(callTimeoutMs, 'begin', { module, context, instanceId, config } satisfies Beginning);
    return store;
  }

  get runs(): boolean { return this.#child.runs && !this.#stopped; }

  find(...args: Parameters<StoreCalls['find']>) { return this.#call<SessionSnapshot | undefined>('find', args); }
  async send(...args: Parameters<StoreCalls['send']>) { await this.#call('send', args); }
  async remove(...args: Parameters<StoreCalls['remove']>) { await this.#call('remove', args); }
  read(...args: Parameters<StoreCalls['read']>) { return this.#call<SessionSnapshot | undefined>('read', args); }
  async touch(...args: Parameters<StoreCalls['touch']>) { await this.#call('touch', args); }
  async increment(...args: Parameters<StoreCalls['increment']>) { await this.#call('increment', args); }

  stop(): Promise<boolean> {
    this.#stopped = true;
    return this.#child.stop(this.program.callTimeoutMs);
  }

  kill(): Promise<void> { return this.#child.kill(); }

  #call<T = unknown>(method: keyof StoreCalls, args: readonly unknown[]): Promise<T> {
    return this.#child.callWithin<T>(this.program.callTimeoutMs, 'call', method, args);
  }
}

import { performance } from 'node:perf_hooks';
import type { StoreCapabilities } from '@cluster/core';
import { Child } from './child.js';
import type { InstanceBeginning, InstanceCalls } from './instance-calls.js';
import type { Network } from './network.js';
import type { Accepted } from './watched-store.js';

/** One process of an instance, from its start to its end. */
export class Life {
  capabilities: StoreCapabilities | undefined;
  /** It is being stopped, and takes no more requests. */
  isLeaving = false;
  readonly #child: Child;
  #standsStillSinceMs: number | undefined;
  #stoodStillMs = 0;

  private constructor(
    readonly instanceId: string, execArgv: readonly string[], readonly network: Network | undefined, accepted: (change: Accepted) => void,
  ) {
    this.#child = new Child('instance', instanceId, execArgv, (notice) => {
      accepted(notice as Accepted); // what instance.ts says
    });
  }

  static async begin(
    beginning: InstanceBeginning, execArgv: readonly string[], network: Network | undefined, accepted: (change: Accepted) => void, withinMs: number,
  ): Promise<Life> {
    const life = new Life(beginning.instanceId, execArgv, network, accepted);
    try {
      life.capabilities = await life.#child.callWithin(withinMs, 'begin', beginning);
    } catch (error) {
      await life.kill();
      throw error;
    }
    return life;
  }

  get runs(): boolean { return this.#child.runs; }
  get ended(): Promise<void> { return this.#child.ended; }
  get serves(): boolean { return this.runs && !this.isLeaving; }
  get standsStill(): boolean { return this.#standsStillSinceMs !== undefined; }

  /** For how long it has been kept from doing anything, so far. */
  get stoodStillMs(): number {
    return this.#stoodStillMs + (this.#standsStillSinceMs === undefined ? 0 : performance.now() - this.#standsStillSinceMs);
  }

  call<M extends keyof InstanceCalls>(method: M, ...args: Parameters<InstanceCalls[M]>): Promise<Awaited<ReturnType<InstanceCalls[M]>>> {
    return this.#child.call(method, ...args);
  }

  pause(): void {
    this.#standsStillSinceMs ??= performance.now();
    this.#child.signal('SIGSTOP');
  }

  resume(): void {
    this.#child.signal('SIGCONT');
    this.#goesOn();
  }

  /** Its event loop is blocked. */
  async block(ms: number): Promise<void> {
    this.#standsStillSinceMs ??= performance.now();
    await this.call('block', ms).finally(() => { this.#goesOn(); });
  }

  kill(): Promise<void> { return this.#child.kill(); }

  /** Resolves to whether the process then ended by itself. */
  async stop(withinMs: number): Promise<boolean> {
    this.isLeaving = true;
    return this.#child.stop(withinMs);
  }

  #goesOn(): void {
    this.#stoodStillMs = this.stoodStillMs;
    this.#standsStillSinceMs = undefined;
  }
}

import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { SessionSnapshot } from '@cluster/core';
import { thrown, type Json, type Reply, type Request } from './messages.js';
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

const EXIT_MS = 3_000;

interface Pending { readonly resolve: (value: unknown) => void; readonly reject: (error: Error) => void; readonly timer: NodeJS.Timeout }

// Beside this file, compiled or not.
const worker = new URL(`./worker.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url);

/** A store in a process of its own. The process never keeps this one alive, and ends with it. */
export class StoreProcess implements RemoteStore {
  lacks: readonly OptionalMethod[] = [];
  readonly #child: ChildProcess;
  readonly #pending = new Map<number, Pending>();
  #calls = 0;
  #runs = true;

  private constructor(readonly instanceId: string, private readonly program: StoreProgram) {
    this.#child = fork(worker, {
      execArgv: [...program.execArgv], serialization: 'advanced', stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child.on('message', (reply: Reply) => { this.#take(reply); });
    this.#child.on('exit', (code, signal) => { this.#ended(new Error(`the process of ${instanceId} ended: ${signal ?? `exit status ${code}`}`)); });
    this.#child.on('error', (error) => { this.#ended(error); });
    this.#child.unref();
    this.#child.channel?.unref();
  }

  static async open(instanceId: string, program: StoreProgram): Promise<StoreProcess> {
    const store = new StoreProcess(instanceId, program);
    const { module, context, config } = program;
    store.lacks = await store.#request<readonly OptionalMethod[]>({ kind: 'begin', module, context, instanceId, config }, 0);
    return store;
  }

  get runs(): boolean {
    return this.#runs;
  }

  find(...args: Parameters<StoreCalls['find']>) { return this.#call<SessionSnapshot | undefined>('find', args); }
  async send(...args: Parameters<StoreCalls['send']>) { await this.#call('send', args); }
  async remove(...args: Parameters<StoreCalls['remove']>) { await this.#call('remove', args); }
  read(...args: Parameters<StoreCalls['read']>) { return this.#call<SessionSnapshot | undefined>('read', args); }
  async touch(...args: Parameters<StoreCalls['touch']>) { await this.#call('touch', args); }
  async increment(...args: Parameters<StoreCalls['increment']>) { await this.#call('increment', args); }

  async stop(): Promise<boolean> {
    this.#runs = false;
    const exit = once(this.#child, 'exit');
    await this.#request<unknown>({ kind: 'stop' }, 0);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => { timer = setTimeout(() => { resolve(false); }, EXIT_MS); });
    const byItself = await Promise.race([exit.then(() => true), late]);
    clearTimeout(timer);
    if (!byItself) this.#child.kill('SIGKILL');
    return byItself;
  }

  async kill(): Promise<void> {
    this.#runs = false;
    // Held open by the wait for the exit.
    this.#child.ref();
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
  }

  #call<T = unknown>(method: keyof StoreCalls, args: readonly unknown[]): Promise<T> {
    const n = ++this.#calls;
    return this.#request<T>({ kind: 'call', n, method, args }, n);
  }

  /** Replies to a beginning and to a stop have the number 0; they never overlap. */
  #request<T>(request: Request, n: number): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const what = request.kind === 'call' ? request.method : request.kind;
      // This timer keeps the parent alive while it waits, which the process does not.
      const { callTimeoutMs } = this.program;
      const timer = setTimeout(() => { this.#settle(n)?.reject(new Error(`${what}: no answer within ${callTimeoutMs} ms`)); }, callTimeoutMs);
      // The worker answers with what the method of that name resolves to.
      this.#pending.set(n, { resolve: resolve as (value: unknown) => void, reject, timer });
      this.#child.send(request, (error) => { if (error !== null) this.#settle(n)?.reject(error); });
    });
  }

  #settle(n: number): Pending | undefined {
    const pending = this.#pending.get(n);
    this.#pending.delete(n);
    clearTimeout(pending?.timer);
    return pending;
  }

  #take(reply: Reply): void {
    if (reply.kind === 'begun') this.#settle(0)?.resolve(reply.lacks);
    else if (reply.kind === 'stopped') this.#settle(0)?.resolve(undefined);
    else if (reply.kind === 'failed') this.#settle(0)?.reject(thrown(reply.failure));
    else if (reply.kind === 'answer') this.#settle(reply.n)?.resolve(reply.value);
    else this.#settle(reply.n)?.reject(thrown(reply.failure));
  }

  #ended(error: Error): void {
    this.#runs = false;
    for (const n of [...this.#pending.keys()]) this.#settle(n)?.reject(error);
  }
}

import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { StoreName } from './stores.js';

interface Answer { readonly answer?: unknown; readonly error?: string }

/** A process of the bench that answers questions, one at a time; see `answering`. */
export class Child {
  #settle: ((answer: Answer) => void) | undefined;

  private constructor(private readonly child: ChildProcess) {
    child.on('message', (answer) => { this.#settle?.(answer as Answer); }); // sent by `answering` below
    child.on('exit', () => { this.#settle?.({ error: 'a process of the bench ended early' }); });
  }

  /** Starts a file of the bench; `options` are Node's own, beside those that this process has. */
  static async start(file: URL, args: readonly string[] = [], options: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<Child> {
    const child = new Child(fork(file, args, { execArgv: [...process.execArgv, ...options], env: { ...process.env, ...env } }));
    await child.#answer();
    return child;
  }

  /** An instance over a store; see `instance.ts`. */
  static instance(store: StoreName, address: string): Promise<Child> {
    return Child.start(new URL('./instance.ts', import.meta.url), [store, address], ['--expose-gc']);
  }

  /** @throws Error with what the process threw */
  ask<T>(question: unknown): Promise<T> {
    const answered = this.#answer<T>();
    this.child.send({ question });
    return answered;
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill('SIGKILL');
    await once(this.child, 'exit');
  }

  #answer<T>(): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#settle = ({ answer, error }) => {
        this.#settle = undefined;
        if (error === undefined) resolve(answer as T); // as the question's type says
        else reject(new Error(error));
      };
    });
  }
}

/** Answers the questions of the process that started this one, and ends with it. */
export function answering(answer: (question: never) => unknown): void {
  process.on('message', ({ question }: { question: never }) => {
    Promise.resolve(answer(question)).then((answered) => process.send?.({ answer: answered }), (error: unknown) => process.send?.({ error: String(error instanceof Error ? error.stack : error) }));
  });
  process.once('disconnect', () => { process.exit(); });
  process.send?.({});
}

/** CPU time of this process in µs: its own, the kernel's for it, its collector's and its compiler's. */
export function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

import { fork, type ChildProcess } from 'node:child_process';
import { thrown, type Call, type Reply } from './messages.js';

const EXIT_MS = 3_000;

interface Pending { readonly resolve: (value: unknown) => void; readonly reject: (error: Error) => void }

/** What a call is rejected with when the process ended before it answered. */
export class Ended extends Error {
  override readonly name = 'Ended';
}

// Beside this file, compiled or not.
const programAt = (name: string) => new URL(`./${name}.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url);

/** A process that answers calls; see serve.ts. It never keeps this one alive, and ends with it. */
export class Child {
  readonly ended: Promise<void>;
  readonly #process: ChildProcess;
  readonly #pending = new Map<number, Pending>();
  #calls = 0;
  #end: Ended | undefined;

  /** @param program name of the file beside this one; `name`: what errors call the process */
  constructor(program: string, name: string, execArgv: readonly string[], notice: (notice: unknown) => void = () => undefined) {
    this.#process = fork(programAt(program), { execArgv: [...execArgv], serialization: 'advanced', stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#process.on('message', (reply: Reply) => { if ('notice' in reply) notice(reply.notice); else this.#take(reply); });
    this.ended = new Promise((resolve) => {
      const end = (how: string) => {
        this.#end ??= new Ended(`the process of ${name} ended: ${how}`);
        for (const n of [...this.#pending.keys()]) this.#settle(n)?.reject(this.#end);
        resolve();
      };
      this.#process.on('exit', (code, signal) => { end(signal ?? `exit status ${code}`); });
      this.#process.on('error', (error) => { end(error.message); });
    });
    this.#process.unref();
    this.#process.channel?.unref();
  }

  get runs(): boolean { return this.#end === undefined; }

  /** Rejects as the method does, or with {@link Ended}. */
  call<T>(method: string, ...args: unknown[]): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#end !== undefined) {
        reject(this.#end);
        return;
      }
      const n = ++this.#calls;
      // The child answers with what the method of that name resolves to.
      this.#pending.set(n, { resolve: resolve as (value: unknown) => void, reject });
      // A process that has just ended: its exit rejects.
      this.#process.send({ n, method, args } satisfies Call, () => undefined);
    });
  }

  /** As `call`, but rejects after `timeoutMs`; until then it keeps this process alive, which the child does not. */
  async callWithin<T>(timeoutMs: number, method: string, ...args: unknown[]): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => { reject(new Error(`${method}: no answer within ${timeoutMs} ms`)); }, timeoutMs);
    });
    try {
      return await Promise.race([this.call<T>(method, ...args), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  signal(signal: NodeJS.Signals): void { this.#process.kill(signal); }

  /** Ends it at once, as SIGKILL does: nothing is released. */
  async kill(): Promise<void> {
    // Held open by the wait for the exit.
    this.#process.ref();
    this.#process.kill('SIGKILL');
    await this.ended;
  }

  /** Lets it stop what it has; resolves to whether it then ended by itself, and ends it if not. */
  async stop(timeoutMs: number): Promise<boolean> {
    await this.callWithin<unknown>(timeoutMs, 'stop');
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => { timer = setTimeout(() => { resolve(false); }, EXIT_MS); });
    const byItself = await Promise.race([this.ended.then(() => true), late]);
    clearTimeout(timer);
    if (!byItself) await this.kill();
    return byItself;
  }

  #settle(n: number): Pending | undefined {
    const pending = this.#pending.get(n);
    this.#pending.delete(n);
    return pending;
  }

  #take(reply: Exclude<Reply, { readonly notice: unknown }>): void {
    if ('failure' in reply) this.#settle(reply.n)?.reject(thrown(reply.failure));
    else this.#settle(reply.n)?.resolve(reply.value);
  }
}

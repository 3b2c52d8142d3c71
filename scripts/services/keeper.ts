import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** What a server's process is started with. */
export interface Command {
  readonly folder: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

interface Answer { readonly pid: number; readonly sent?: boolean }
type Message =
  | { readonly root: string }
  | { readonly ended: number; readonly how: string }
  | (Answer & { readonly call: number })
  | { readonly call: number; readonly error: string };

interface Call {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
  readonly onEnd?: (how: string) => void;
}

const PROGRAM = fileURLToPath(new URL('./keeper-process.mjs', import.meta.url));

/** The other end of keeper-process.mjs, a process that holds this one's servers and outlives it by the moment it takes to end them. */
export class Keeper {
  readonly #child: ChildProcess;
  readonly #calls = new Map<number, Call>();
  readonly #onEnd = new Map<number, (how: string) => void>();
  #lastCall = 0;

  /** The folder that goes with this keeper. */
  readonly root: Promise<string>;

  constructor() {
    // Detached: Ctrl-C in a terminal is for the one who uses the servers, who may still need them.
    this.#child = fork(PROGRAM, { execArgv: [], detached: true, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    this.root = new Promise((resolve, reject) => {
      // The channel carries what keeper-process.mjs sends.
      this.#child.on('message', (message) => { this.#take(message as Message, resolve); });
      this.#child.once('error', reject);
      this.#child.once('exit', () => {
        const error = new Error('the process that keeps the servers has ended');
        reject(error);
        for (const call of this.#calls.values()) call.reject(error);
        this.#calls.clear();
      });
    });
    this.#child.unref();
  }

  #take(message: Message, resolveRoot: (root: string) => void): void {
    if ('root' in message) {
      resolveRoot(message.root);
      this.#restIfIdle();
    } else if ('ended' in message) {
      this.#onEnd.get(message.ended)?.(message.how);
      this.#onEnd.delete(message.ended);
    } else {
      const call = this.#calls.get(message.call);
      this.#calls.delete(message.call);
      if ('error' in message) call?.reject(new Error(message.error));
      else {
        // Now, since the end may be the next message, and an await comes after that.
        if (call?.onEnd !== undefined) this.#onEnd.set(message.pid, call.onEnd);
        call?.resolve(message);
      }
      this.#restIfIdle();
    }
  }

  /** Resolves to the pid. `onEnd` may be called before that. */
  async start(command: Command, onEnd: (how: string) => void): Promise<number> {
    const { pid } = await this.#ask({ do: 'start', ...command }, onEnd);
    return pid;
  }

  /** False: that server had ended before. Resolves after SIGKILL when it has ended. */
  async signal(pid: number, name: NodeJS.Signals): Promise<boolean> {
    const { sent } = await this.#ask({ do: 'signal', pid, name });
    return sent === true;
  }

  /** Ends every server that it still has, and itself. */
  close(): void {
    if (this.#child.connected) this.#child.disconnect();
  }

  #ask(question: object, onEnd?: (how: string) => void): Promise<Answer> {
    const call = ++this.#lastCall;
    // Who waits for an answer is kept alive by it; a server that runs keeps nobody.
    this.#child.channel?.ref();
    return new Promise((resolve, reject) => {
      this.#calls.set(call, { resolve, reject, ...onEnd !== undefined && { onEnd } });
      this.#child.send({ call, ...question }, (error) => { if (error !== null) reject(error); });
    });
  }

  #restIfIdle(): void {
    if (this.#calls.size === 0) this.#child.channel?.unref();
  }
}

import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const repository = join(import.meta.dirname, '../../..');

/** A child process of a file in `children/`. */
export class Child {
  static readonly #running = new Set<Child>();
  readonly lines: string[] = [];
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  readonly #process: ChildProcess;
  #errors = '';
  #wake: () => void = () => undefined;

  constructor(file: string, ...args: string[]) {
    this.#process = spawn(process.execPath, [
      '--import', join(repository, 'scripts/ts-register.mjs'), '--conditions=@cluster/source', join(import.meta.dirname, 'children', file), ...args,
    ], { stdio: ['ignore', 'pipe', 'pipe'], cwd: repository });
    const { stdout, stderr } = this.#process;
    if (stdout !== null) createInterface({ input: stdout }).on('line', (line) => { this.lines.push(line); this.#wake(); });
    stderr?.on('data', (text: Buffer) => { this.#errors += String(text); });
    this.ended = new Promise((resolve) => {
      this.#process.once('close', (code, signal) => {
        Child.#running.delete(this);
        resolve({ code, signal });
        this.#wake();
      });
    });
    Child.#running.add(this);
  }

  /** Ends what a test has left running. */
  static async killAll(): Promise<void> {
    for (const child of Child.#running) child.kill('SIGKILL');
    await Promise.all([...Child.#running].map((child) => child.ended));
  }

  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** The first line that starts so; rejects if the child ends without it. */
  async line(start: string): Promise<string> {
    for (;;) {
      const found = this.lines.find((line) => line.startsWith(start));
      if (found !== undefined) return found;
      const woken = new Promise<void>((resolve) => { this.#wake = resolve; });
      const end = await Promise.race([woken, this.ended]);
      if (end !== undefined && !this.lines.some((line) => line.startsWith(start))) {
        throw new Error(`child ended without '${start}': ${JSON.stringify(end)} ${this.#errors}`);
      }
    }
  }

  /** Rejects unless it ends with status 0. */
  async success(): Promise<readonly string[]> {
    const { code, signal } = await this.ended;
    if (code !== 0) throw new Error(`child ended with ${code ?? signal ?? ''}: ${this.#errors}`);
    return this.lines;
  }
}

export const temporaryFolder = (): Promise<string> => mkdtemp(join(tmpdir(), 'store-filesystem-'));
export const removeFolder = (path: string): Promise<void> => rm(path, { recursive: true, force: true });

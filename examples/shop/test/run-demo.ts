import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';

const repository = dirname(dirname(dirname(import.meta.dirname)));

export interface Run {
  readonly child: ChildProcess;
  /** Everything printed so far. */
  readonly printed: () => string;
  /** The status it ended with, and everything that it printed. */
  readonly ended: Promise<{ status: number | null; text: string }>;
}

/** Runs a file of the shop from its sources, as `npm start` does, without a terminal. */
export function runDemo(file: string, ...args: string[]): Run {
  const child = spawn(process.execPath, [
    '--conditions=@cluster/source', '--import', './scripts/ts-register.mjs', join('examples/shop', file), ...args,
  ], { cwd: repository, stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  child.stdout.on('data', (part: Buffer) => { text += part.toString(); });
  child.stderr.on('data', (part: Buffer) => { text += part.toString(); });
  // `close` comes when everything that was printed has been read.
  const ended = once(child, 'close').then(() => ({ status: child.exitCode, text }));
  return { child, printed: () => text, ended };
}

/** The pids that the demo printed: its processes of the shop. */
export const pidsIn = (text: string): number[] => [...text.matchAll(/pid (\d+)/g)].map((match) => Number(match[1]));

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

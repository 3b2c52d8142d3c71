import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Health } from '@cluster/core';
import type { Report } from './instance.js';

export const NAMES = ['a', 'b', 'c'] as const;
export type Name = (typeof NAMES)[number];
export type State = 'starting' | 'up' | 'paused' | 'dead';

/** One process of the shop, as seen by the one that started it. */
export interface Member {
  readonly name: Name;
  readonly pid: number | undefined;
  readonly port: number | undefined;
  readonly state: State;
  /** Its last report; of a dead one, the last before its death. */
  readonly health: Health | undefined;
}

type Counts = Readonly<Record<string, number>>;
interface Running { child: ChildProcess; state: State; failure?: string; port?: number; health?: Health; resume?: NodeJS.Timeout }

const SHOP = fileURLToPath(new URL('./instance.ts', import.meta.url));
// What comes of the pause, waits and refusals, stands in the summary, and would print into the timeline.
const QUIET = ['LONG_WAIT', 'STORE_FAILED'].map((code) => `--disable-warning=CLUSTER_HTTP_${code}`);
const READY_WITHIN_MS = 30_000;
const STOP_WITHIN_MS = 10_000;

/** Three processes of the shop on one store: starts, kills, pauses and ends them. */
export class Cluster {
  readonly #running = new Map<Name, Running>();
  readonly #names = new Map<string, Name>();
  readonly #formerCalls: Counts[] = [];
  #stopping = false;

  /** @param entry the file that each process runs, with where the sessions are and its name as arguments */
  constructor(
    private readonly place: string,
    private readonly onReport: (from: Name, report: Report) => void,
    private readonly entry: string = SHOP,
  ) {}

  get members(): Member[] {
    return NAMES.map((name) => this.member(name));
  }

  member(name: Name): Member {
    const running = this.#running.get(name);
    return { name, pid: running?.child.pid, port: running?.port, state: running?.state ?? 'dead', health: running?.health };
  }

  /** The process that an incarnation belongs to, dead or alive. */
  nameOf(incarnation: string): Name | undefined {
    return this.#names.get(incarnation.replace(/\..*/, ''));
  }

  async start(): Promise<void> {
    await Promise.all(NAMES.map((name) => this.startOne(name)));
  }

  /** Starts a process under this name and resolves when it serves. */
  async startOne(name: Name): Promise<void> {
    if (this.#stopping) throw new Error('the cluster is being stopped');
    // stdin is not shared: the terminal belongs to the parent.
    const child = fork(this.entry, [this.place, name], { execArgv: [...process.execArgv, ...QUIET], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const running: Running = { child, state: 'starting' };
    this.#running.set(name, running);
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => { child.kill('SIGKILL'); reject(new Error(`process ${name} did not get ready`)); }, READY_WITHIN_MS);
      child.once('exit', (code, signal) => {
        running.state = 'dead';
        delete running.port;
        clearTimeout(running.resume);
        clearTimeout(late);
        if (running.health !== undefined) this.#formerCalls.push(running.health.storeCalls);
        reject(new Error(`process ${name} ended before it was ready: ${running.failure ?? signal ?? `status ${code}`}`));
      });
      // The channel carries what instance.ts sends.
      child.on('message', (message) => { this.#take(name, running, message as Report, () => { clearTimeout(late); resolve(); }); });
    });
  }

  #take(name: Name, running: Running, report: Report, ready: () => void): void {
    if (report.kind === 'failed') running.failure = report.message;
    if (report.kind === 'health') running.health = report.health;
    if (report.kind === 'ready') {
      running.state = 'up';
      running.port = report.port;
      this.#names.set(report.instanceId, name);
      ready();
    }
    this.onReport(name, report);
  }

  /** kill -9; resolves when the process is gone. */
  async kill(name: Name): Promise<void> {
    const running = this.#running.get(name);
    if (running === undefined || running.state === 'dead') return;
    const gone = once(running.child, 'exit');
    running.child.kill('SIGKILL');
    await gone;
  }

  /** SIGSTOP, and SIGCONT after `forMs`. False if the process is not up. */
  pause(name: Name, forMs: number, onResume: () => void = () => undefined): boolean {
    const running = this.#running.get(name);
    if (running?.state !== 'up') return false;
    running.state = 'paused';
    running.child.kill('SIGSTOP');
    running.resume = setTimeout(() => {
      this.#resume(running);
      onResume();
    }, forMs);
    return true;
  }

  #resume(running: Running): void {
    clearTimeout(running.resume);
    if (running.state !== 'paused') return;
    running.child.kill('SIGCONT');
    running.state = 'up';
  }

  /**
   * Lets every process finish, release its sessions and end; kills those that take longer. Resolves to the number of sessions
   * that are still locked; undefined: a process ended otherwise, so nobody knows.
   */
  async stop(withinMs = STOP_WITHIN_MS): Promise<number | undefined> {
    this.#stopping = true;
    await Promise.all([...this.#running.values()].map(async (running) => {
      if (running.child.exitCode !== null || running.child.signalCode !== null) return;
      // The last report may arrive after the exit, but not after the end of its channel.
      const { child } = running;
      const gone = Promise.all([once(child, 'exit'), child.connected ? once(child, 'disconnect') : undefined]);
      this.#resume(running);
      if (running.child.connected) running.child.send('stop', () => undefined);
      const late = setTimeout(() => { running.child.kill('SIGKILL'); }, withinMs);
      await gone;
      clearTimeout(late);
    }));
    const last = [...this.#running.values()];
    if (last.some(({ child }) => child.exitCode !== 0)) return undefined;
    return last.reduce((sum, { health }) => sum + (health?.held ?? 0), 0);
  }

  /** Calls to the store by method, of every process that has lived here, as last reported. */
  storeCalls(): Record<string, number> {
    const sums: Record<string, number> = {};
    const living = [...this.#running.values()].flatMap(({ state, health }) => (state === 'dead' || health === undefined ? [] : [health.storeCalls]));
    for (const counts of [...this.#formerCalls, ...living]) {
      for (const [method, calls] of Object.entries(counts)) sums[method] = (sums[method] ?? 0) + calls;
    }
    return sums;
  }
}

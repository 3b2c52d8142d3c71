import { mkdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Keeper, type Command } from './keeper.js';

/** What a server has to itself. */
export interface Place { readonly keeper: Keeper; readonly folder: string; readonly port: number; readonly peerPort: number }

/** One start of a server, and how it ended. */
class Life {
  pid?: number;
  end?: string;
  /** Replaced by the promise below before anybody can call it. */
  #over: (how: string) => void = () => undefined;
  readonly ended = new Promise<string>((resolve) => { this.#over = resolve; });

  finish(how: string): void {
    this.end = how;
    this.#over(how);
  }
}

const READY_WITHIN_MS = 30_000;
const PLACES_TRIED = 5;
const POLL_MS = 10;
/** Below the ports that systems give to connecting clients: while a server is down nobody else gets its port. */
const PORTS = { first: 12_000, count: 9_000 };
/** Redis counts the port for peers from the other one in this way. */
const PEER_OFFSET = 10_000;

/**
 * One server on 127.0.0.1. It ends with this process at the latest, also when this process is killed, and so does its folder.
 * It does not keep this process alive.
 */
export abstract class ServerProcess {
  #life = new Life();
  #isStopped = false;

  constructor(protected readonly place: Place) {}

  readonly host = '127.0.0.1';
  get port(): number { return this.place.port; }
  /** For the servers that it forms a cluster with. */
  get peerPort(): number { return this.place.peerPort; }
  get folder(): string { return this.place.folder; }
  /** Undefined while it does not run. */
  get pid(): number | undefined { return this.#life.end === undefined ? this.#life.pid : undefined; }
  /** Resolves when its present process has ended, whoever ended it: `SIGKILL`, `status 1`. A restart begins a new one. */
  get ended(): Promise<string> { return this.#life.ended; }

  protected abstract command(): Omit<Command, 'folder'>;
  /** Whether it answers; a rejection counts as no. */
  protected abstract isReady(): Promise<boolean>;

  /** kill -9; resolves when it is gone. */
  async kill(): Promise<void> {
    if (this.pid !== undefined) await this.place.keeper.signal(this.pid, 'SIGKILL');
  }

  /** SIGTERM; resolves when it has ended by itself. */
  async terminate(): Promise<void> {
    await this.#signal('SIGTERM');
    await until(`the server on port ${this.port} has ended`, async () => this.pid === undefined);
  }

  /** SIGSTOP: its connections stay open, and nothing is answered. */
  async freeze(): Promise<void> { await this.#signal('SIGSTOP'); }

  /** SIGCONT: goes on where it was frozen. */
  async thaw(): Promise<void> { await this.#signal('SIGCONT'); }

  /** Starts it again on its port and in its folder, killing it first if it still runs; resolves when it answers. */
  async restart(): Promise<void> {
    await this.kill();
    try {
      await this.#start();
      await until(`port ${this.port} answers`, async () => {
        if (this.#life.end !== undefined) throw new Error(`the server ended with ${this.#life.end} before it was ready`);
        return this.isReady().catch(() => false);
      });
    } catch (error) {
      await this.kill();
      const advice = String(error).includes('ENOENT') ? '; it is not on the PATH: `npm run services -- ensure` installs what the tests need' : '';
      throw new Error(`${String(error)}${advice}\n${await this.#lastLines()}`, { cause: error });
    }
  }

  async #start(): Promise<void> {
    const { keeper, folder } = this.place;
    const life = new Life();
    this.#life = life;
    life.pid = await keeper.start({ folder, ...this.command() }, (how) => { life.finish(how); });
  }

  /** Ends it and removes its folder. */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
    leave();
  }

  async [Symbol.asyncDispose](): Promise<void> { await this.stop(); }

  async #signal(name: NodeJS.Signals): Promise<void> {
    const sent = this.pid !== undefined && await this.place.keeper.signal(this.pid, name);
    if (!sent) throw new Error(`${name}: expected a server that runs on port ${this.port}, found none; restart() starts it`);
  }

  async #lastLines(): Promise<string> {
    const log = await readFile(join(this.folder, 'log'), 'utf8').catch(() => '');
    return log.trimEnd().split('\n').slice(-8).join('\n');
  }
}

/** Asks again and again until the answer is yes. */
export async function until(what: string, ask: () => Promise<boolean>, withinMs = READY_WITHIN_MS): Promise<void> {
  const endMs = performance.now() + withinMs;
  while (!await ask()) {
    if (performance.now() > endMs) throw new Error(`waited ${withinMs / 1000} s in vain until ${what}`);
    await pause(POLL_MS);
  }
}

let keeper: Keeper | undefined;
let serverCount = 0;
let folderCount = 0;

/** Starts a server in a place of its own; in another one, if somebody else took the port in the meantime. */
export async function launch<S extends ServerProcess>(name: string, make: (place: Place) => S | Promise<S>): Promise<S> {
  for (let tried = 1; ; tried++) {
    const server = await make(await enter(name));
    try {
      await server.restart();
      return server;
    } catch (error) {
      await server.stop();
      if (tried === PLACES_TRIED || await isFree(server.port) && await isFree(server.peerPort)) throw error;
    }
  }
}

async function enter(name: string): Promise<Place> {
  serverCount += 1;
  const own = keeper ??= new Keeper();
  const folder = join(await own.root, `${name}-${++folderCount}`);
  await mkdir(folder);
  const port = await freePort();
  return { keeper: own, folder, port, peerPort: port + PEER_OFFSET };
}

/** The keeper goes with the last server. */
function leave(): void {
  serverCount -= 1;
  if (serverCount > 0) return;
  keeper?.close();
  keeper = undefined;
}

/** A port of 127.0.0.1 that nobody listens on, below those that the system gives to connections. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = PORTS.first + Math.floor(Math.random() * PORTS.count);
    if (await isFree(port) && await isFree(port + PEER_OFFSET)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}

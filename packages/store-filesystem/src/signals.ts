import { constants, readFileSync } from 'node:fs';
import { open, readdir, rename, stat, unlink, type FileHandle } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { ClusterError } from '@cluster/core';
import type { Clock, DriverContext, Message } from '@cluster/core/driver';
import { codeOf } from './disk.js';
import { ABANDONED_MS } from './key-folder.js';

/** How long a signal waits for its receipt: a paused process gives none, and is not dead. */
const RECEIPT_MS = 50;
// A message of 7,500 bytes can grow sixfold as JSON.
const MAX_LINE = 65_536;
const MAX_UNSENT_BYTES = 1_048_576;
const MAX_PATH = process.platform === 'linux' ? 107 : 103;

export interface SignalsOptions {
  readonly folder: string;
  readonly context: DriverContext;
  readonly clock: Clock;
  /** A socket that refuses proves its process dead, since no other host and no other kind of system can be behind it. */
  readonly provesDeath: boolean;
}

type Reached = Peer | 'gone' | 'unsure';

/** The kernel's own name for the time since it started; the same in all containers on it. */
function bootTag(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').slice(0, 8);
  } catch {
    return '0';
  }
}

function parseLine(line: string): Message | undefined {
  try {
    const message: unknown = JSON.parse(line);
    return typeof message === 'string' ? message : undefined;
  } catch {
    return undefined;
  }
}

/** One connection to another instance: messages as lines of JSON, answered by an empty line each, in order. */
class Peer {
  readonly #receipts: ((received: boolean) => void)[] = [];
  open = true;

  constructor(readonly socket: Socket) {
    socket.setEncoding('latin1').unref();
    socket.on('data', (lines: string) => { for (let count = lines.length; count > 0; count--) this.#receipts.shift()?.(true); });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.open = false;
      for (const receipt of this.#receipts.splice(0)) receipt(false);
    });
  }

  /** False: the connection ended before the receipt came. */
  send(message: Message): Promise<boolean> {
    if (!this.open) return Promise.resolve(false);
    // Nothing is being read there, which is no proof of anything.
    if (this.socket.writableLength > MAX_UNSENT_BYTES) return Promise.resolve(true);
    return new Promise((resolve) => {
      this.#receipts.push(resolve);
      this.socket.write(`${JSON.stringify(message)}\n`);
    });
  }
}

/**
 * Signals between the instances of one host, by one Unix socket each in the store's folder: `<instanceId>.<boot>.<random>`.
 * A socket gets this name when it listens already, and the name is never used again, so a name that refuses connections stands
 * for a dead process (or, on Linux, nothing else: a full backlog gives EAGAIN there) and may be removed by whoever sees it.
 * The kernel closes a process's sockets when its last thread has left its last system call: nothing of it is written later.
 * A socket of an earlier boot refuses as well: the host was restarted, and with it the process.
 */
export class Signals {
  readonly #options: SignalsOptions;
  readonly #peers = new Map<string, Promise<Reached>>();
  readonly #accepted = new Set<Socket>();
  readonly #boot = bootTag();
  #folder: FileHandle | undefined;
  #server: Server | undefined;
  #name = '';

  constructor(options: SignalsOptions) {
    this.#options = options;
  }

  /** @throws ClusterError CLUSTER_BAD_OPTION if a living instance has this id, or the folder's path is too long for sockets */
  async open(): Promise<void> {
    const { folder, context } = this.#options;
    this.#folder = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await this.#publish();
      await this.#refuseTwin();
    } catch (error) {
      await this.close();
      throw error;
    }
    context.listening(true);
  }

  /** False: no process listens for this instance. True: it has the message, or that could not be found out at once. */
  async signal(instanceId: string, message: Message): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    // Of real time, and holding the process for as long: sockets do not, and a process that stops must not end in mid-signal.
    const late = new Promise<boolean>((resolve) => { timer = setTimeout(() => { resolve(true); }, RECEIPT_MS); });
    try {
      return await Promise.race([this.#deliver(instanceId, message), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** No process listens for this instance; where that proves nothing, always false. */
  async isGone(instanceId: string): Promise<boolean> {
    return this.#options.provesDeath && (await this.#reach(instanceId)) === 'gone';
  }

  /** Removes sockets of dead processes. */
  async clear(): Promise<void> {
    const names = await readdir(this.#options.folder);
    for (const instanceId of new Set(names.map((name) => name.split('.')[0] ?? ''))) {
      if (instanceId !== '') await this.#reach(instanceId);
    }
    for (const name of names.filter((each) => each.startsWith('.'))) {
      const { mtimeMs } = await stat(join(this.#options.folder, name)).catch(() => ({ mtimeMs: Infinity }));
      if (mtimeMs < this.#options.clock.wallMs() - ABANDONED_MS) await this.#unlink(name);
    }
  }

  async close(): Promise<void> {
    this.#options.context.listening(false);
    if (this.#name !== '') await this.#unlink(this.#name);
    this.#server?.close();
    for (const socket of this.#accepted) socket.destroy();
    for (const peer of await Promise.all(this.#peers.values())) if (typeof peer === 'object') peer.socket.destroy();
    await this.#folder?.close();
    this.#folder = undefined;
  }

  /** Both of two that start at once may refuse; none may overlook the other, for each listens before it looks. */
  async #refuseTwin(): Promise<void> {
    const { instanceId } = this.#options.context;
    for (const name of await this.#namesOf(instanceId)) {
      if (name === this.#name || name.split('.')[1] !== this.#boot) continue;
      const answer = await this.#connect(name);
      if (answer === 'gone') continue;
      if (typeof answer === 'object') answer.destroy();
      throw new ClusterError('CLUSTER_BAD_OPTION',
        `FilesystemStore: instanceId: expected one that no running instance has, found '${instanceId}' in use`);
    }
  }

  async #deliver(instanceId: string, message: Message): Promise<boolean> {
    const isOwn = instanceId === this.#options.context.instanceId;
    for (let attempt = 0; attempt < 2; attempt++) {
      const peer = await this.#reach(instanceId);
      if (peer === 'unsure') return true;
      // Somebody cleaned up in the folder: listen under a new name.
      if (peer === 'gone' && isOwn && attempt === 0 && this.#folder !== undefined) await this.#publish();
      else if (peer === 'gone') return false;
      else if (await peer.send(message)) return true;
    }
    return (await this.#reach(instanceId)) !== 'gone';
  }

  async #reach(instanceId: string): Promise<Reached> {
    const known = this.#peers.get(instanceId);
    if (known !== undefined) {
      const peer = await known;
      if (typeof peer === 'object' && peer.open) return peer;
      if (this.#peers.get(instanceId) === known) this.#peers.delete(instanceId);
    }
    const found = this.#peers.get(instanceId) ?? this.#search(instanceId);
    this.#peers.set(instanceId, found);
    const reached = await found;
    if (typeof reached === 'string' && this.#peers.get(instanceId) === found) this.#peers.delete(instanceId);
    return reached;
  }

  async #search(instanceId: string): Promise<Reached> {
    let unsure = false;
    for (const name of await this.#namesOf(instanceId)) {
      const socket = await this.#connect(name);
      if (typeof socket === 'object') return new Peer(socket);
      if (socket === 'unsure') unsure = true;
    }
    return unsure ? 'unsure' : 'gone';
  }

  async #connect(name: string): Promise<Socket | 'gone' | 'unsure'> {
    if (!this.#options.provesDeath && name.split('.')[1] !== this.#boot) return 'unsure';
    const answer = await new Promise<Socket | string>((resolve) => {
      const socket = connect(this.#address(name));
      socket.once('connect', () => { resolve(socket); });
      socket.once('error', (error) => { resolve(codeOf(error)); });
    });
    if (typeof answer === 'object') return answer;
    if (answer === 'ECONNREFUSED' && this.#options.provesDeath) await this.#unlink(name);
    return answer === 'ECONNREFUSED' || answer === 'ENOENT' ? 'gone' : 'unsure';
  }

  async #publish(): Promise<void> {
    const { context, clock, folder } = this.#options;
    const tag = clock.randomHex(6);
    const draft = `.${tag}`;
    const server = createServer((socket) => { this.#accept(socket); }).unref();
    if (this.#address(draft).length > MAX_PATH) {
      throw new ClusterError('CLUSTER_BAD_OPTION', `FilesystemStore: directory: expected a path short enough for sockets, found ${folder}`);
    }
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      // In a worker of node:cluster the primary would listen otherwise, and outlive the worker.
      server.listen({ path: this.#address(draft), exclusive: true }, resolve);
    });
    this.#server?.close();
    this.#server = server.on('error', () => { context.listening(false); });
    const name = `${context.instanceId}.${this.#boot}.${tag}`;
    await rename(join(folder, draft), join(folder, name));
    this.#name = name;
  }

  #accept(socket: Socket): void {
    let unread = '';
    this.#accepted.add(socket.setEncoding('utf8').unref());
    socket.on('error', () => undefined);
    socket.on('close', () => { this.#accepted.delete(socket); });
    socket.on('data', (text: string) => {
      const lines = (unread + text).split('\n');
      unread = lines.pop() ?? '';
      if (unread.length > MAX_LINE) socket.destroy();
      for (const line of lines) {
        const message = parseLine(line);
        if (message === undefined) return void socket.destroy();
        this.#options.context.receive(message);
        socket.write('\n');
      }
    });
  }

  async #namesOf(instanceId: string): Promise<string[]> {
    return (await readdir(this.#options.folder)).filter((name) => name.startsWith(`${instanceId}.`));
  }

  /** Socket paths have room for about 100 characters; a way round by the open folder is short. */
  #address(name: string): string {
    const path = join(this.#options.folder, name);
    return path.length <= MAX_PATH || process.platform !== 'linux' ? path : `/proc/self/fd/${this.#folder?.fd ?? ''}/${name}`;
  }

  async #unlink(name: string): Promise<void> {
    await unlink(join(this.#options.folder, name)).catch(() => undefined);
  }
}

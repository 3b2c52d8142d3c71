import { accessSync, constants } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { builtNats } from '../install.mjs';
import { askNats, pingNats } from './nats-wire.js';
import { launch, ServerProcess, type Place } from './server-process.js';

/** `'installed'`: the one on the PATH, such as Debian's; `'built'`: the current one, which `services -- ensure` builds where there is Go. */
export type NatsRelease = 'installed' | 'built';

export interface NatsSettings {
  /** Default: the newest that there is. */
  readonly release?: NatsRelease;
  /** Every change is on the disk before it is acknowledged (`sync_interval: always`); since 2.10. */
  readonly syncAlways?: boolean;
  /** Default: true. */
  readonly hasJetStream?: boolean;
  /** Lines of its configuration besides; users need a `no_auth_user`, by which it is asked whether it is ready. */
  readonly lines?: string;
}

/** Else a node tells the others where it listens, and they go there directly. */
const NOWHERE = '127.0.0.1:1';

/** The releases that can be started, the newest one last. */
export function natsReleases(): readonly NatsRelease[] {
  try {
    accessSync(builtNats, constants.X_OK);
    return ['installed', 'built'];
  } catch {
    return ['installed'];
  }
}

/** One NATS server with JetStream on its disk. */
export class NatsServer extends ServerProcess {
  #routes: readonly string[] = [];
  #lines: string;

  private constructor(place: Place, private readonly settings: NatsSettings) {
    super(place);
    this.#lines = settings.lines ?? '';
  }

  static start(settings: NatsSettings = {}): Promise<NatsServer> {
    return launch('nats', async (place) => {
      const server = new NatsServer(place, settings);
      await server.#configure();
      return server;
    });
  }

  get url(): string { return `nats://${this.host}:${this.port}`; }
  /** What the cluster calls it. */
  get name(): string { return `node-${this.port}`; }

  /** Asks JetStream's API, `$JS.API.STREAM.INFO.name`, by a connection of its own. */
  ask(subject: string, question?: object): Promise<object> { return askNats(this.port, subject, question); }

  /** How many messages clients have sent to it so far, by its own count. Not of one in a cluster. */
  async received(): Promise<number> {
    const response = await fetch(`http://${this.host}:${this.peerPort}/varz`);
    const { in_msgs } = await response.json() as { readonly in_msgs: number }; // as its documentation says
    return in_msgs;
  }

  /** Makes it one of a cluster from its next start on, with these ports of 127.0.0.1 leading to the others; it is known to them by those alone. */
  async join(ports: readonly number[]): Promise<void> {
    this.#routes = ports.map((port) => `nats://${this.host}:${port}`);
    await this.#configure();
  }

  /** Gives it these lines of configuration from its next start on. */
  async configure(lines: string): Promise<void> {
    this.#lines = lines;
    await this.#configure();
  }

  async #configure(): Promise<void> {
    const routes = this.#routes.join(', ');
    const { hasJetStream = true, syncAlways = false } = this.settings;
    await writeFile(join(this.folder, 'nats.conf'), `
listen: ${this.host}:${this.port}
server_name: ${this.name}
${this.#lines}
${hasJetStream ? `jetstream {
  store_dir: ${JSON.stringify(join(this.folder, 'jetstream'))}
  max_mem: 256M
  max_file: 1G
  ${syncAlways ? 'sync_interval: always' : ''}
}` : ''}
${routes === '' ? `http: ${this.host}:${this.peerPort}` : `cluster { name: sessions, listen: ${this.host}:${this.peerPort}, advertise: ${NOWHERE}, routes: [${routes}] }`}
`);
  }

  protected command() {
    const { release = natsReleases().at(-1) } = this.settings;
    // Debian puts it where only root's PATH leads.
    const env = { PATH: [process.env.PATH, '/usr/sbin'].join(delimiter) };
    return { command: release === 'built' ? builtNats : 'nats-server', args: ['-c', join(this.folder, 'nats.conf')], env };
  }

  protected isReady(): Promise<boolean> { return pingNats(this.port).then(() => true); }
}

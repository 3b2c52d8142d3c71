import { ask, type Reply } from './redis-wire.js';
import { launch, ServerProcess, type Place } from './server-process.js';

export interface RedisSettings {
  /** Every change is on the disk before it is acknowledged (`appendfsync always`). Default: nothing survives the server. */
  readonly aof?: boolean;
  /** Settings by their names in redis.conf. */
  readonly config?: Readonly<Record<string, string>>;
}

/** One Redis. */
export class RedisServer extends ServerProcess {
  readonly #config: Readonly<Record<string, string>>;
  #primary: RedisServer | undefined;

  private constructor(place: Place, { aof = false, config = {} }: RedisSettings) {
    super(place);
    this.#config = {
      save: '', appendonly: aof ? 'yes' : 'no', appendfsync: 'always',
      // By default a replica waits 5 s for others that may want the same content.
      'repl-diskless-sync-delay': '0',
      ...config,
    };
  }

  static async start(settings: RedisSettings = {}): Promise<RedisServer> {
    return launch('redis', (place) => new RedisServer(place, settings));
  }

  get url(): string { return `redis://${this.host}:${this.port}`; }

  /** Sends a command on a connection of its own. */
  async send(...command: readonly string[]): Promise<Reply> { return ask(this.port, command); }

  /** A setting as it is from now until the next start, by its name in redis.conf: `maxmemory`, `maxmemory-policy`. */
  async config(name: string, value: string): Promise<void> { await this.send('CONFIG', 'SET', name, value); }

  /** A field of INFO; undefined: there is none of that name. */
  async info(field: string): Promise<string | undefined> {
    const text = String(await this.send('INFO', 'everything'));
    return text.split('\r\n').find((line) => line.startsWith(`${field}:`))?.slice(field.length + 1);
  }

  /** Makes it a replica of another one from its next start on, or of none. */
  follow(primary: RedisServer | undefined): void { this.#primary = primary; }

  protected command() {
    const settings = { port: String(this.port), bind: this.host, dir: this.folder, ...this.#config };
    const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
    const replicaOf = this.#primary === undefined ? [] : ['--replicaof', this.#primary.host, String(this.#primary.port)];
    return { command: 'redis-server', args: [...args, ...replicaOf] };
  }

  protected async isReady(): Promise<boolean> { return await ask(this.port, ['PING'], 1000) === 'PONG'; }
}

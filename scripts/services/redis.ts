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

  private constructor(place: Place, { aof = false, config = {} }: RedisSettings) {
    super(place);
    this.#config = {
      save: '', appendonly: aof ? 'yes' : 'no', appendfsync: 'always', ...config,
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

  protected command() {
    const settings = { port: String(this.port), bind: this.host, dir: this.folder, ...this.#config };
    return { command: 'redis-server', args: Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]) };
  }

  protected async isReady(): Promise<boolean> { return await ask(this.port, ['PING'], 1000) === 'PONG'; }
}

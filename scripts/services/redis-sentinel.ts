import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RedisServer, type RedisSettings } from './redis.js';
import { ask } from './redis-wire.js';
import { launch, ServerProcess, until } from './server-process.js';

const NAME = 'sessions';
const DOWN_AFTER_MS = 1000;
/** A former primary that comes back is made a replica after four times `publish-period`. */
const PERIODS_MS = { 'info-period': 500, 'publish-period': 250 };
/** A Sentinel that was itself without CPU for 2 s waits for 30 s before it acts. */
const FAILOVER_WITHIN_MS = 60_000;

class Sentinel extends ServerProcess {
  protected command() { return { command: 'redis-server', args: ['sentinel.conf', '--sentinel'] }; }
  protected async isReady(): Promise<boolean> { return await ask(this.port, ['PING'], 1000) === 'PONG'; }

  static async start(primary: RedisServer): Promise<Sentinel> {
    const sentinel = await launch('sentinel', async (place) => {
      // Sentinel keeps what it learns in this file.
      await writeFile(join(place.folder, 'sentinel.conf'), `
port ${place.port}
bind 127.0.0.1
sentinel monitor ${NAME} ${primary.host} ${primary.port} 1
sentinel down-after-milliseconds ${NAME} ${DOWN_AFTER_MS}
sentinel failover-timeout ${NAME} 3000
`);
      return new Sentinel(place);
    });
    // From 7.0 on. Older ones look at a healthy server every 10 s only, so that everything takes that much longer.
    await ask(sentinel.port, ['SENTINEL', 'DEBUG', ...Object.entries(PERIODS_MS).flatMap(([name, ms]) => [name, String(ms)])]).catch(() => undefined);
    return sentinel;
  }
}

/** A primary, a replica, and a Sentinel that lets the one take the other's place. */
export class RedisSentinel {
  private constructor(readonly servers: readonly [RedisServer, RedisServer], readonly sentinel: Sentinel) {}

  /** What clients call the primary. */
  readonly name = NAME;
  /** Where clients ask for it. */
  get sentinels(): readonly { readonly host: string; readonly port: number }[] { return [{ host: this.sentinel.host, port: this.sentinel.port }]; }

  static async start(settings: RedisSettings = {}): Promise<RedisSentinel> {
    const started: ServerProcess[] = [];
    const kept = <S extends ServerProcess>(server: S): S => { started.push(server); return server; };
    try {
      const primary = kept(await RedisServer.start(settings));
      const replica = kept(await RedisServer.start(settings));
      replica.follow(primary);
      await replica.restart();
      await linked(replica);
      const all = new RedisSentinel([primary, replica], kept(await Sentinel.start(primary)));
      await all.#known(replica);
      return all;
    } catch (error) {
      await Promise.all(started.map((server) => server.stop()));
      throw error;
    }
  }

  /** The server that Sentinel sends clients to. */
  async primary(): Promise<RedisServer> {
    const address = await ask(this.sentinel.port, ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', NAME]);
    const port = Array.isArray(address) ? Number(address[1]) : undefined;
    const found = this.servers.find((server) => server.port === port);
    if (found === undefined) throw new Error(`Sentinel names a primary on port ${port ?? '?'}, which is none of ours`);
    return found;
  }

  async replica(): Promise<RedisServer> { return this.#other(await this.primary()); }

  /** From now on the replica learns nothing, whatever the primary acknowledges, until `failOver` or `heal`. */
  async cutReplica(): Promise<void> {
    const primary = await this.primary();
    // Frozen, it cannot connect again; what was on its way is dropped with the connection.
    await this.#other(primary).freeze();
    await primary.send('CLIENT', 'KILL', 'TYPE', 'replica');
  }

  /** Kills the primary (kill -9); resolves to the replica that took its place, when it accepts changes. */
  async failOver(): Promise<RedisServer> {
    const former = await this.primary();
    const next = this.#other(former);
    await former.kill();
    await next.thaw();
    await this.#promoted(next);
    next.follow(undefined);
    former.follow(next);
    return next;
  }

  /** Lets primary and replica change places, both alive; resolves to the new primary when the former one refuses changes. */
  async switchOver(): Promise<RedisServer> {
    const former = await this.primary();
    const next = this.#other(former);
    await ask(this.sentinel.port, ['SENTINEL', 'FAILOVER', NAME]);
    await this.#promoted(next);
    next.follow(undefined);
    former.follow(next);
    await linked(former);
    return next;
  }

  /** Starts and thaws what is down; resolves when the replica follows the primary and could take its place. */
  async heal(): Promise<void> {
    const primary = await this.primary();
    const replica = this.#other(primary);
    for (const server of [primary, replica]) await (server.pid === undefined ? server.restart() : server.thaw());
    await linked(replica);
    await this.#known(replica);
  }

  async stop(): Promise<void> {
    await Promise.all([this.sentinel, ...this.servers].map((server) => server.stop()));
  }

  async [Symbol.asyncDispose](): Promise<void> { await this.stop(); }

  #other(server: RedisServer): RedisServer { return this.servers[server === this.servers[0] ? 1 : 0]; }

  async #promoted(next: RedisServer): Promise<void> {
    await until(`port ${next.port} is the primary`, async () =>
      (await next.info('role').catch(() => undefined)) === 'master' && await this.primary() === next, FAILOVER_WITHIN_MS);
  }

  /** Before it has heard of it, Sentinel answers a failure with "no good replica". */
  async #known(replica: RedisServer): Promise<void> {
    await until(`Sentinel knows the replica on port ${replica.port}`, async () => {
      const replicas = await ask(this.sentinel.port, ['SENTINEL', 'REPLICAS', NAME]);
      return Array.isArray(replicas) && replicas.some((fields) => isGood(fields, replica.port));
    }, FAILOVER_WITHIN_MS);
  }
}

/** Names and values in turn. */
function isGood(fields: unknown, port: number): boolean {
  if (!Array.isArray(fields)) return false;
  const value = (name: string): unknown => fields[fields.indexOf(name) + 1];
  return value('port') === String(port) && value('flags') === 'slave' && value('master-link-status') === 'ok';
}

// Sentinel cuts the connections of a server that it turns into a replica.
const linked = (replica: RedisServer) => until(`the replica on port ${replica.port} is up to date`,
  async () => await replica.info('master_link_status').catch(() => undefined) === 'up', FAILOVER_WITHIN_MS);

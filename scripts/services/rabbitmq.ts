import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { promisify } from 'node:util';
import { rabbitScript } from '../install.mjs';
import type { Certified } from './access.js';
import { launch, ServerProcess, type Place } from './server-process.js';

const COOKIE = 'clusterservices';
const LOOPBACK = '{127,0,0,1}';

/** Tells nodes of Erlang where the others listen. Otherwise the first node starts one that stays behind. */
class PortMapper extends ServerProcess {
  static start(): Promise<PortMapper> { return launch('epmd', (place) => new PortMapper(place)); }

  protected command() { return { command: 'epmd', args: ['-port', String(this.port), '-address', this.host] }; }

  protected async isReady(): Promise<boolean> {
    const socket = connect(this.port, this.host);
    try {
      await once(socket, 'connect');
      return true;
    } finally {
      socket.destroy();
    }
  }
}

/** One node of RabbitMQ, as the current user and in a folder of its own. */
export class RabbitServer extends ServerProcess {
  #ownMapper: PortMapper | undefined;

  private constructor(place: Place, private readonly mapper: PortMapper, private readonly tls?: Certified) { super(place); }

  /** With `tls` it takes connections by TLS alone. */
  static async start({ tls }: { readonly tls?: Certified } = {}): Promise<RabbitServer> {
    const mapper = await PortMapper.start();
    try {
      const server = await launch('rabbitmq', async (place) => {
        const made = new RabbitServer(place, mapper, tls);
        await made.#configure();
        return made;
      });
      server.#ownMapper = mapper;
      return server;
    } catch (error) {
      await mapper.stop();
      throw error;
    }
  }

  /** So many nodes of one cluster, one after another: started at the same time they wait for each other, in two of six tries for more than 30 s. */
  static async together(count: number): Promise<readonly RabbitServer[]> {
    const mapper = await PortMapper.start();
    const nodes: RabbitServer[] = [];
    try {
      while (nodes.length < count) {
        nodes.push(await launch('rabbitmq', async (place) => {
          const node = new RabbitServer(place, mapper);
          await node.#configure(nodes);
          return node;
        }));
      }
    } catch (error) {
      await Promise.all([...nodes, mapper].map((each) => each.stop()));
      throw error;
    }
    const [first] = nodes;
    if (first !== undefined) first.#ownMapper = mapper;
    return nodes;
  }

  get url(): string { return `${this.tls === undefined ? 'amqp' : 'amqps'}://${this.host}:${this.port}`; }
  /** Of the process that the nodes find each other by; of the first node of a cluster. */
  get mapperPid(): number | undefined { return this.#ownMapper?.pid; }
  get name(): string { return `node-${this.port}@localhost`; }

  override async stop(): Promise<void> {
    await super.stop();
    await this.#ownMapper?.stop();
  }

  /** Resolves to what one of RabbitMQ's own commands prints. */
  async tell(command: 'rabbitmqctl' | 'rabbitmq-streams', ...args: readonly string[]): Promise<string> {
    const options = { cwd: this.folder, env: { ...process.env, ...this.#env } };
    const { stdout } = await promisify(execFile)(join(dirname(rabbitScript), command), ['-q', '--node', this.name, ...args], options);
    return stdout;
  }

  /** @param others that run, of the cluster that it joins */
  async #configure(others: readonly RabbitServer[] = []): Promise<void> {
    const { host, port, folder, tls } = this;
    await mkdir(join(folder, 'data'), { recursive: true });
    const file = (name: string) => join(folder, `${name}.pem`);
    const listeners = tls === undefined ? [`listeners.tcp.1 = ${host}:${port}`] : [
      'listeners.tcp = none', `listeners.ssl.1 = ${host}:${port}`, `ssl_options.keyfile = ${file('key')}`, `ssl_options.certfile = ${file('certificate')}`,
    ];
    for (const [name, pem] of Object.entries(tls ?? {})) await writeFile(file(name), String(pem));
    const formation = others.length === 0 ? [] : [
      'cluster_formation.peer_discovery_backend = classic_config',
      ...[...others, this].map(({ name }, at) => `cluster_formation.classic_config.nodes.${at + 1} = ${name}`),
    ];
    const lines = [...listeners, 'log.console = true', 'log.console.level = warning', 'log.file = false', ...formation];
    await writeFile(join(folder, 'rabbitmq.conf'), `${lines.join('\n')}\n`);
    await writeFile(join(folder, 'plugins'), '[].\n');
    await writeFile(join(folder, '.erlang.cookie'), COOKIE, { mode: 0o400 });
  }

  get #env() {
    const { folder } = this;
    return {
      HOME: folder, ERL_EPMD_PORT: String(this.mapper.port), ERL_EPMD_ADDRESS: this.host,
      RABBITMQ_NODENAME: this.name, RABBITMQ_DIST_PORT: String(this.peerPort), RABBITMQ_MNESIA_BASE: join(folder, 'data'), RABBITMQ_LOG_BASE: folder, RABBITMQ_LOGS: '-',
      RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'plugins'), RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq'), RABBITMQ_CONF_ENV_FILE: '/dev/null',
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: `+S 2:2 +sbwt none -kernel inet_dist_use_interface ${LOOPBACK}`,
      // The mapper runs as long as they do. One that a node or a command started would stay behind.
      ERL_FLAGS: '-start_epmd false',
      // A command starts a scheduler for each core otherwise, which wait by spinning: beside other load it then takes up to 13.5 s instead of 1.7 s.
      RABBITMQ_CTL_ERL_ARGS: '+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none',
      // The script then becomes the server instead of waiting for it.
      RUNNING_UNDER_SYSTEMD: '1',
    };
  }

  protected command() { return { command: rabbitScript, args: [], env: this.#env }; }

  protected async isReady(): Promise<boolean> {
    if (this.tls === undefined) await pingRabbit(this.port);
    else {
      const socket = connectTls({ port: this.port, host: this.host, ca: this.tls.certificate });
      await once(socket, 'secureConnect').finally(() => { socket.destroy(); });
    }
    return true;
  }
}

const GREETING = Buffer.from('AMQP\0\0\x09\x01', 'latin1');

/** Resolves when a broker answers on this port. */
export async function pingRabbit(port: number, timeoutMs = 5_000): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  try {
    socket.write(GREETING);
    const [answer] = await once(socket, 'data', { signal: AbortSignal.timeout(timeoutMs) }) as [Buffer]; // no encoding is set
    if (answer[0] !== 1) throw new Error('no broker');
  } finally {
    socket.destroy();
  }
}

import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { kafkaFolder } from '../install.mjs';
import { launch, ServerProcess, type Place } from './server-process.js';

export interface KafkaSettings {
  /** Notices after 9 s that a broker is gone, as Kafka does by default; else after 2 s. */
  readonly isSlow?: boolean;
  /** How clients connect; anything else needs settings of its own. */
  readonly protocol?: 'PLAINTEXT' | 'SASL_SSL';
  /** Settings by their names in server.properties. */
  readonly config?: Readonly<Record<string, string>>;
}

/** Also a broker that was killed and comes back is taken for another one with its name until then. */
const FAST = {
  'broker.session.timeout.ms': '2000', 'broker.heartbeat.interval.ms': '500', 'controller.quorum.fetch.timeout.ms': '1000',
  'controller.quorum.election.timeout.ms': '500', 'controller.quorum.election.backoff.max.ms': '500', 'replica.lag.time.max.ms': '2000',
};

/** The same for every node of a cluster. */
const CLUSTER_ID = 'Y2x1c3Rlci1zZXJ2aWNlcw';
const ARCHIVE = join(kafkaFolder, 'classes.jsa');
/** Small, and quick to start; in this order, or the archive is not used. */
const JAVA = ['-Xmx160m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC'];

/** One broker of Kafka, which is its own controller or one of several. */
export class KafkaServer extends ServerProcess {
  #voters: readonly KafkaServer[] = [this];
  #archive: string | undefined;

  private constructor(place: Place, private readonly settings: KafkaSettings) { super(place); }

  static async start(settings: KafkaSettings = {}): Promise<KafkaServer> {
    await archived();
    return launch('kafka', async (place) => {
      const server = new KafkaServer(place, settings);
      await server.#configure();
      return server;
    });
  }

  /** One that writes the archive of its classes when it ends. */
  static archiving(file: string): Promise<KafkaServer> {
    return launch('kafka', async (place) => {
      const server = new KafkaServer(place, {});
      server.#archive = file;
      await server.#configure();
      return server;
    });
  }

  /** So many brokers of one cluster. */
  static async together(count: number, settings: KafkaSettings = {}): Promise<readonly KafkaServer[]> {
    await archived();
    const servers: KafkaServer[] = [];
    let allKnown = (): void => undefined;
    const known = new Promise<void>((resolve) => { allKnown = resolve; });
    const start = () => launch('kafka', async (place) => {
      if (servers.length === count) throw new Error('a port of a node was taken by somebody else before it listened');
      const server = new KafkaServer(place, settings);
      server.#voters = servers;
      servers.push(server);
      if (servers.length === count) allKnown();
      await known;
      await server.#configure();
      return server;
    });
    const starting = await Promise.allSettled(Array.from({ length: count }, start));
    const failed = starting.find((each) => each.status === 'rejected');
    if (failed === undefined) return servers;
    await Promise.all(servers.map((server) => server.stop()));
    throw failed.reason;
  }

  /** `host:port`, as Kafka's clients take it. */
  get url(): string { return `${this.host}:${this.port}`; }
  /** What Kafka calls it. */
  get nodeId(): number { return this.port; }

  async #configure(): Promise<void> {
    const copies = String(Math.min(3, this.#voters.length));
    const inSync = this.#voters.length > 1 ? '2' : '1';
    const { protocol = 'PLAINTEXT' } = this.settings;
    const properties = {
      'process.roles': 'broker,controller',
      'node.id': String(this.nodeId),
      'controller.quorum.voters': this.#voters.map(({ nodeId, host, peerPort }) => `${nodeId}@${host}:${peerPort}`).join(','),
      'listeners': `${protocol}://${this.url},CONTROLLER://${this.host}:${this.peerPort}`,
      'advertised.listeners': `${protocol}://${this.url}`,
      'controller.listener.names': 'CONTROLLER', 'inter.broker.listener.name': protocol,
      'listener.security.protocol.map': `${protocol}:${protocol},CONTROLLER:PLAINTEXT`,
      'log.dirs': join(this.folder, 'data'),
      'auto.create.topics.enable': 'false',
      // Else a consumer that is the first of its group waits 3 s for others.
      'group.initial.rebalance.delay.ms': '0',
      'default.replication.factor': copies, 'min.insync.replicas': inSync,
      'offsets.topic.replication.factor': copies, 'offsets.topic.num.partitions': '4',
      'transaction.state.log.replication.factor': copies, 'transaction.state.log.min.isr': inSync, 'transaction.state.log.num.partitions': '4',
      // Little memory, and what can be compacted is compacted soon.
      'log.cleaner.threads': '1', 'log.cleaner.dedupe.buffer.size': '2097152', 'log.cleaner.backoff.ms': '200',
      'log.initial.task.delay.ms': '500', 'log.retention.check.interval.ms': '1000',
      ...this.settings.isSlow !== true && FAST,
      ...this.settings.config,
    };
    const lines = Object.entries(properties).map(([name, value]) => `${name}=${value}`);
    await writeFile(join(this.folder, 'server.properties'), `${lines.join('\n')}\n`);
  }

  protected command() {
    const archive = this.#archive === undefined ? `-XX:SharedArchiveFile=${ARCHIVE}` : `-XX:ArchiveClassesAtExit=${this.#archive}`;
    const java = ['java', ...JAVA, archive, '-cp', join(kafkaFolder, 'libs', '*')].map((word) => `'${word}'`).join(' ');
    const format = `${java.replace(archive, '-Xshare:auto')} kafka.tools.StorageTool format -t ${CLUSTER_ID} -c server.properties`;
    return { command: 'sh', args: ['-c', `test -f data/meta.properties || ${format} && exec ${java} kafka.Kafka server.properties`] };
  }

  protected isReady(): Promise<boolean> { return pingKafka(this.port).then(() => true); }
}

/** `ApiVersions` of version 0, without a client's name: what any broker answers first. */
const PING = Buffer.from('0000000a0012000000000001ffff', 'hex');

/** Resolves when a broker answers on this port. */
export async function pingKafka(port: number, timeoutMs = 5_000): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  try {
    socket.end(PING);
    await once(socket, 'data', { signal: AbortSignal.timeout(timeoutMs) });
  } finally {
    socket.destroy();
  }
}

/** Where there is no archive yet: a broker makes one, once per machine and user. */
async function archived(): Promise<void> {
  if (existsSync(ARCHIVE)) return;
  const file = `${ARCHIVE}.${process.pid}`;
  await using server = await KafkaServer.archiving(file);
  await server.terminate();
  // Without one it starts as well, in 3 s.
  await rename(file, ARCHIVE).catch(() => undefined);
}

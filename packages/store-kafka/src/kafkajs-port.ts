import { randomBytes } from 'node:crypto';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import kafkajs, { type Consumer, type Kafka, type KafkaConfig, type Producer } from 'kafkajs';
import { refusalOf } from './kafka-error.js';
import type { KafkaConnect } from './options.js';
import type { KafkaPort, KafkaRecord, Reader, Reading, TopicSettings } from './port.js';
import { openTopic } from './topic.js';

const REQUEST_MS = 2_000;
/** How long a broker waits for something to send; what comes is sent at once. */
const FETCH_MS = 500;
/** A broker that answers no fetch for so long stands still, or is not reached. */
const SILENT_MS = FETCH_MS + 1_500;
const CLOSE_MS = 500;
const RETRY = { initialRetryTime: 50, maxRetryTime: 250, retries: 3 } as const;
const ONCE = { ...RETRY, retries: 0 } as const;

type SocketFactory = NonNullable<KafkaConfig['socketFactory']>;

/** Some connections that can be cut all at once: kafkajs waits for answers when it closes them. */
class Line {
  readonly kafka: Kafka;
  readonly #sockets = new Set<Socket>();
  #isCut = false;

  constructor({ socketFactory = dial, ...connect }: KafkaConnect) {
    this.kafka = new kafkajs.Kafka({
      clientId: 'cluster', connectionTimeout: REQUEST_MS, authenticationTimeout: REQUEST_MS, requestTimeout: REQUEST_MS,
      // What options.ts calls so is what kafkajs takes.
      ...connect as KafkaConfig,
      retry: RETRY, logLevel: kafkajs.logLevel.NOTHING, logCreator: () => () => undefined,
      socketFactory: (address) => {
        const socket = (socketFactory as SocketFactory)(address);
        socket.setNoDelay(true);
        this.#sockets.add(socket.once('close', () => this.#sockets.delete(socket)));
        if (this.#isCut) end(socket);
        return socket;
      },
    });
  }

  /** Lets it end politely for a moment. */
  async close(politely: () => Promise<unknown>): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise((resolve) => { timer = setTimeout(resolve, CLOSE_MS); });
    await Promise.race([politely().catch(() => undefined), late]);
    clearTimeout(timer);
    this.cut();
  }

  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) end(socket);
  }
}

/** Without an error kafkajs would not hear of it, and wait for answers. */
const end = (socket: Socket): Socket => socket.destroy(new Error('the connection was closed by the store'));

const dial: SocketFactory = ({ host, port, ssl, onConnect }) => {
  // Its type leaves out that there may be none.
  const tls = ssl as ConnectionOptions | boolean | null | undefined;
  const socket = tls === undefined || tls === null || tls === false ? connectTcp(port, host, onConnect)
    : connectTls({ host, port, ...isIP(host) === 0 && { servername: host }, ...tls === true ? {} : tls }, onConnect);
  return socket.setKeepAlive(true, 60_000);
};

/** kafkajs, with its own repetitions turned off: they would put a record twice under its key. */
export class KafkajsPort implements KafkaPort {
  readonly #line: Line;
  readonly #producer: Producer;
  #topic = '';
  #partitions = 0;

  constructor(private readonly connect: KafkaConnect) {
    this.#line = new Line(connect);
    // Idempotent it loses acknowledged records (docs/decisions/kafka.md).
    this.#producer = this.#line.kafka.producer({
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner, idempotent: false, allowAutoTopicCreation: false, retry: ONCE,
    });
  }

  async open(settings: TopicSettings): Promise<{ maxBatchBytes: number }> {
    this.#topic = settings.topic;
    this.#partitions = settings.partitions;
    const line = new Line(this.connect);
    const admin = line.kafka.admin();
    try {
      const found = await openTopic(admin, settings);
      await this.#producer.connect();
      return found;
    } finally {
      await line.close(() => admin.disconnect());
    }
  }

  async send(partition: number, records: readonly KafkaRecord[]): Promise<number> {
    try {
      const [answer] = await this.#producer.send({
        topic: this.#topic, acks: -1, timeout: REQUEST_MS, messages: records.map(({ key, value = null }) => ({ key, value, partition })),
      });
      return Number(answer?.baseOffset);
    } catch (error) {
      throw refusalOf(error, this.#topic) ?? error;
    }
  }

  async read(reader: Reader): Promise<Reading> {
    const reading = new KafkajsReading(new Line(this.connect), this.#topic, this.#partitions, reader);
    try {
      await reading.begin();
      return reading;
    } catch (error) {
      void reading.stop();
      throw refusalOf(error, this.#topic) ?? error;
    }
  }

  close(): Promise<void> { return this.#line.close(() => this.#producer.disconnect()); }
}

/** One consumer, alone in a group of its own: kafkajs reads in no other way. */
class KafkajsReading implements Reading {
  readonly #consumer: Consumer;
  readonly #fetches = new Map<number, number>();
  #watch: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(private readonly line: Line, private readonly topic: string, private readonly partitions: number, private readonly reader: Reader) {
    this.#consumer = line.kafka.consumer({
      groupId: `${topic}.${randomBytes(8).toString('hex')}`, allowAutoTopicCreation: false, maxWaitTimeInMs: FETCH_MS, minBytes: 1,
      sessionTimeout: 30_000, retry: { ...RETRY, restartOnFailure: async () => false },
    });
  }

  /** Resolves when it is in its group. */
  async begin(): Promise<void> {
    const consumer = this.#consumer;
    const { events } = consumer;
    // Also when it was thrown out of the group and joins again.
    consumer.on(events.GROUP_JOIN, () => { for (let number = 0; number < this.partitions; number += 1) this.seek(number, this.reader.next(number)); });
    consumer.on(events.FETCH_START, ({ payload: { nodeId } }) => { this.#fetches.set(nodeId, performance.now()); });
    consumer.on(events.FETCH, ({ payload: { nodeId } }) => { this.#fetches.delete(nodeId); });
    const joined = new Promise<void>((resolve, reject) => {
      consumer.on(events.GROUP_JOIN, () => { resolve(); });
      consumer.on(events.CRASH, ({ payload: { error } }) => { 
        reject(error);
        if (this.#watch !== undefined) this.#end(error);
      });
    });
    joined.catch(() => undefined);
    await consumer.connect();
    await consumer.subscribe({ topic: this.topic, fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachBatch: async (payload) => {
        if (this.#isOver || payload.isStale()) return;
        const { partition, messages } = payload.batch;
        this.reader.take(partition, messages.map(({ offset, key, value, timestamp }) => (
          { offset: Number(offset), key: key?.toString() ?? '', value: value?.toString(), timeMs: Number(timestamp) })));
        await payload.heartbeat();
      },
    });
    await joined;
    this.#watch = setInterval(() => { this.#look(); }, FETCH_MS);
  }

  seek(partition: number, offset: number): void { this.#consumer.seek({ topic: this.topic, partition, offset: String(offset) }); }

  async stop(): Promise<void> {
    this.#isOver = true;
    clearInterval(this.#watch);
    const disconnected = this.#consumer.disconnect();
    // Else it waits for the fetch that is on its way. Nobody else is in its group, so it need not leave it.
    this.line.cut();
    await this.line.close(() => disconnected);
  }

  #look(): void {
    const silentSinceMs = performance.now() - SILENT_MS;
    for (const sinceMs of this.#fetches.values()) if (sinceMs < silentSinceMs) this.#end(new Error(`a broker answered no fetch for ${SILENT_MS} ms`));
  }

  #end(error: Error): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.reader.ended(error);
  }
}


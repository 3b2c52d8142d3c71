import { randomBytes } from 'node:crypto';
import kafkajs, { type Consumer, type Producer, type RequestTimeoutEvent } from 'kafkajs';
import { insist, isWithoutCoordinator, messageOf, refusalOf } from './kafka-error.js';
import { Line, RETRY, SilentBrokers } from './line.js';
import type { Connection } from './options.js';
import type { KafkaPort, KafkaRecord, Reader, Reading, TopicSettings } from './port.js';
import { openTopic } from './topic.js';

/** One of several brokers may stand still just then. */
const OPEN_MS = 5_000;
const SEND_MS = 2_000;
/** How long a broker waits for something to send; what comes is sent at once. */
const FETCH_MS = 500;
/** So many times that without an answer, and this reader is given up. */
const MOST_LOOKS = 4;
/** A broker as it is by default waits 3 s for others to join. */
const JOIN_MS = 6_000;
/** What a broker answers without waiting for anybody. */
const AT_ONCE: readonly string[] = ['ApiVersions', 'Metadata', 'GroupCoordinator', 'ListOffsets'];
const NO_COORDINATOR = 'no broker says who looks after groups; one that has just been started may say so soon, and none does to a user '
  + 'without Read on groups whose names begin with that of the topic';

/** kafkajs, with its own repetitions turned off: they would put a record twice under its key. */
export class KafkajsPort implements KafkaPort {
  readonly #silent = new SilentBrokers();
  readonly #line: Line;
  readonly #producer: Producer;
  readonly #timedOut = ({ payload: { apiName, broker } }: RequestTimeoutEvent): void => { if (AT_ONCE.includes(apiName)) this.#silent.add(broker); };
  /** Those that have not joined their group yet: nobody else knows them. */
  readonly #beginning = new Set<KafkajsReading>();
  #topic = '';
  #partitions = 0;

  constructor(private readonly connection: Connection) {
    this.#line = new Line(connection, this.#silent);
    // Idempotent it loses acknowledged records (docs/decisions/kafka.md).
    this.#producer = this.#line.kafka.producer({
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner, idempotent: false, allowAutoTopicCreation: false, retry: { ...RETRY, retries: 0 },
    });
    this.#producer.on(this.#producer.events.REQUEST_TIMEOUT, this.#timedOut);
  }

  async open(settings: TopicSettings): Promise<{ maxBatchBytes: number }> {
    this.#topic = settings.topic;
    this.#partitions = settings.partitions;
    const found = await insist(`the topic '${settings.topic}' cannot be used`, OPEN_MS, async () => {
      const line = new Line(this.connection, this.#silent);
      const admin = line.kafka.admin();
      admin.on(admin.events.REQUEST_TIMEOUT, this.#timedOut);
      try {
        const topic = await openTopic(admin, settings);
        await this.#producer.connect();
        return topic;
      } catch (error) {
        throw this.#failure(error);
      } finally {
        await line.close(() => admin.disconnect());
      }
    });
    this.#line.watch('and leave the broker alone');
    return found;
  }

  async send(partition: number, records: readonly KafkaRecord[]): Promise<number> {
    try {
      const [answer] = await this.#producer.send({
        topic: this.#topic, acks: -1, timeout: SEND_MS, messages: records.map(({ key, value = null }) => ({ key, value, partition })),
      });
      return Number(answer?.baseOffset);
    } catch (error) {
      throw this.#failure(error);
    }
  }

  async read(reader: Reader): Promise<Reading> {
    const line = new Line(this.connection, this.#silent);
    const reading = new KafkajsReading(line, this.#timedOut, this.#topic, this.#partitions, reader);
    this.#beginning.add(reading);
    try {
      await reading.begin();
      return reading;
    } catch (error) {
      await reading.stop();
      throw isWithoutCoordinator(error) ? new Error(NO_COORDINATOR, { cause: error }) : this.#failure(error);
    } finally {
      this.#beginning.delete(reading);
    }
  }

  /** What kafkajs says does not always tell of whom. */
  #failure(error: unknown): Error {
    const refusal = refusalOf(error, this.#topic);
    if (refusal !== undefined) return refusal;
    const message = messageOf(error);
    const brokers = this.#silent.known;
    const isNamed = brokers.length === 0 || brokers.some((broker) => message.includes(broker));
    return new Error(isNamed ? message : `${message} (${brokers.join(', ')})`, { cause: error });
  }

  async close(): Promise<void> {
    await Promise.all([this.#line.close(() => this.#producer.disconnect()), ...[...this.#beginning].map((reading) => reading.stop())]);
  }
}

/** One consumer, alone in a group of its own: kafkajs reads in no other way. */
class KafkajsReading implements Reading {
  readonly #consumer: Consumer;
  /** By broker, how many looks its fetch has been without an answer. */
  readonly #fetching = new Map<number, number>();
  #timer: NodeJS.Timeout | undefined;
  #hasBegun = false;
  #isOver = false;
  #giveUp: (error: Error) => void = () => { /* it has not begun to join */ };

  constructor(
    private readonly line: Line, private readonly timedOut: (event: RequestTimeoutEvent) => void, private readonly topic: string, private readonly partitions: number,
    private readonly reader: Reader,
  ) {
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
    consumer.on(events.GROUP_JOIN, ({ payload: { memberAssignment } }) => {
      for (let number = 0; number < this.partitions; number += 1) this.seek(number, this.reader.next(number));
      const assigned = memberAssignment[this.topic]?.length ?? 0;
      if (assigned < this.partitions) this.#end(new Error('somebody else is in the group of this reader'));
    });
    consumer.on(events.REQUEST_TIMEOUT, this.timedOut);
    // A fetch into a connection that is just being lost is repeated by kafkajs, each time for the whole of requestTimeout.
    consumer.on(events.FETCH_START, ({ payload: { nodeId } }) => { if (!this.#fetching.has(nodeId)) this.#fetching.set(nodeId, 0); });
    consumer.on(events.FETCH, ({ payload: { nodeId } }) => { this.#fetching.delete(nodeId); });
    let timer: NodeJS.Timeout | undefined;
    const joined = new Promise<void>((resolve, reject) => {
      this.#giveUp = reject;
      timer = setTimeout(() => { reject(new Error(`no group was joined within ${JOIN_MS} ms`)); }, JOIN_MS);
      consumer.on(events.GROUP_JOIN, () => { resolve(); });
      consumer.on(events.CRASH, ({ payload: { error } }) => {
        reject(error);
        this.#end(error);
      });
    });
    joined.catch(() => undefined);
    try {
      await Promise.race([joined, this.#run()]);
      await joined;
    } finally {
      clearTimeout(timer);
    }
    this.line.watch('cut');
    this.#hasBegun = true;
    this.#timer = setInterval(() => { this.#look(); }, FETCH_MS).unref();
  }

  #look(): void {
    for (const [nodeId, looks] of this.#fetching) {
      if (looks === MOST_LOOKS) this.#end(new Error('a fetch was not answered'));
      else this.#fetching.set(nodeId, looks + 1);
    }
  }

  async #run(): Promise<void> {
    await this.#consumer.connect();
    await this.#consumer.subscribe({ topic: this.topic, fromBeginning: true });
    await this.#consumer.run({
      autoCommit: false,
      eachBatch: async (payload) => {
        if (this.#isOver || payload.isStale()) return;
        const { partition, messages } = payload.batch;
        this.reader.take(partition, messages.map(({ offset, key, value, timestamp }) => (
          { offset: Number(offset), key: key?.toString() ?? '', value: value?.toString(), timeMs: Number(timestamp) })));
        await payload.heartbeat();
      },
    });
  }

  seek(partition: number, offset: number): void {
    try {
      this.#consumer.seek({ topic: this.topic, partition, offset: String(offset) });
    } catch {
      // It has just crashed, and is about to say so; who reads after it asks where to begin.
    }
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    clearInterval(this.#timer);
    this.#giveUp(new Error('it was stopped before it had joined its group'));
    const disconnected = this.#consumer.disconnect();
    // Else it waits for the fetch that is on its way. Nobody else is in its group, so it need not leave it.
    this.line.cut();
    await this.line.close(() => disconnected);
  }

  #end(error: Error): void {
    // Before it has begun, begin() rejects.
    if (this.#isOver || !this.#hasBegun) return;
    this.#isOver = true;
    clearInterval(this.#timer);
    this.reader.ended(refusalOf(error, this.topic) ?? error);
  }
}


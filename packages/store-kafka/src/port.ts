/** What the topic is made with, and must have. */
export interface TopicSettings {
  readonly topic: string;
  readonly partitions: number;
  readonly replicas: number;
  /** How many bytes one batch must be able to have, if the topic is made. */
  readonly leastBatchBytes?: number;
}

/** A record on its way into the topic; without a value it has the log remove what stands under its key. */
export interface KafkaRecord {
  readonly key: string;
  readonly value: string | undefined;
}

/** A record of the topic, as every reader gets it. */
export interface StoredRecord extends KafkaRecord {
  readonly offset: number;
  /** When the broker appended it, by its own clock. */
  readonly timeMs: number;
}

/** What is read, and to whom it goes. */
export interface Reader {
  /** Where to go on in a partition; asked again by whoever comes back to it after a loss of connection. */
  next(partition: number): number;
  /** Records of one partition by rising offsets, none of those that are there left out. */
  take(partition: number, records: Iterable<StoredRecord>): void;
  /** It reads no more, and is to be stopped; a `ClusterError`: it may not read. Called at most once, and only after `read` has resolved. */
  ended(error: Error): void;
}

export interface Reading {
  /** What is handed over next of this partition begins at that offset. */
  seek(partition: number, offset: number): void;
  /** Nothing is handed over any more, from the call on. */
  stop(): Promise<void>;
}

/**
 * What the store needs of a client of Kafka. The one that comes with it is made of kafkajs; `new KafkaStore({ client })` takes
 * another one. It has no patience of its own: who tries again is the store.
 */
export interface KafkaPort {
  /**
   * Connects, and finds the topic or makes it. Resolves to how many bytes one batch may have there.
   * @throws ClusterError saying what is expected and what was found, if the topic cannot be used
   */
  open(settings: TopicSettings): Promise<{ readonly maxBatchBytes: number }>;
  /**
   * Sends these records in one batch, once, and resolves to the first one's offset when every replica in sync has them. It must not
   * send them again by itself, and its producer must be neither idempotent nor transactional. Rejects with a `ClusterError` if
   * none of them can get into the topic any more, and with any other error if that is not known.
   */
  send(partition: number, records: readonly KafkaRecord[]): Promise<number>;
  /** Reads all partitions, without a group that it shares with anybody; resolves when it does. */
  read(reader: Reader): Promise<Reading>;
  /** Ends everything that it has opened. */
  close(): Promise<void>;
}

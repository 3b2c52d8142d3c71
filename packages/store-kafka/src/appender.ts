import { ClusterError } from '@cluster/core';
import type { KafkaRecord } from './port.js';

/** Kafka's clients need one fetch for each record that is missing at the end of a batch. */
const MOST_AT_ONCE = 50;
const AGAIN_MS = { first: 25, most: 200 } as const;
/** What a batch has besides keys and values, and each record in it. */
const OVERHEAD_BYTES = { batch: 100, record: 40 } as const;

interface Waiting {
  readonly key: string;
  readonly value: string | undefined;
  readonly bytes: number;
  readonly sinceMs: number;
  /** How often it was sent. */
  tries: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Puts records at the end of one partition: one batch is on its way, and what comes meanwhile is the next one. */
export class Appender {
  #waiting: Waiting[] = [];
  #isBusy = false;
  #failure: ClusterError | undefined;
  #timer: NodeJS.Timeout | undefined;
  #lastError: Error | undefined;

  /**
   * @param patienceMs how long a record is sent again and again; who asked for it asks again then
   * @param send as `KafkaPort.send`
   */
  constructor(private readonly maxBatchBytes: number, private readonly patienceMs: number, private readonly send: (batch: readonly KafkaRecord[]) => Promise<void>) {}

  append(key: string, value: string | undefined): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const bytes = Buffer.byteLength(key) + Buffer.byteLength(value ?? '') + OVERHEAD_BYTES.record;
    const mostBytes = this.maxBatchBytes - OVERHEAD_BYTES.batch;
    if (bytes > mostBytes) {
      return Promise.reject(new ClusterError('CLUSTER_TOO_LARGE', `Kafka: a record of ${bytes} bytes; the topic takes ${mostBytes}. `
        + "Raise the topic's max.message.bytes, or lower maxRecordBytes"));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ key, value, bytes, sinceMs: performance.now(), tries: 0, resolve, reject });
      // What is appended in the same turn goes with it.
      if (!this.#isBusy) this.#begin(0);
    });
  }

  stop(error: ClusterError): void {
    this.#failure ??= error;
    clearTimeout(this.#timer);
    for (const { reject, tries } of this.#waiting.splice(0)) reject(tries === 0 ? error : outcomeUnknown(error));
  }

  #begin(failures: number): void {
    this.#isBusy = true;
    if (failures === 0) queueMicrotask(() => { void this.#send(failures); });
    else this.#timer = setTimeout(() => { void this.#send(failures); }, Math.min(AGAIN_MS.first * 2 ** failures, AGAIN_MS.most));
  }

  async #send(failures: number): Promise<void> {
    this.#giveUp();
    const batch = this.#batch();
    if (batch.length === 0) {
      this.#isBusy = false;
      return;
    }
    try {
      for (const each of batch) each.tries += 1;
      await this.send(batch.map(recordOf));
      for (const { resolve } of batch) resolve();
      this.#begin(0);
    } catch (error) {
      this.#failed(batch, error instanceof Error ? error : new Error(String(error)));
      this.#begin(ClusterError.is(error) ? 0 : failures + 1);
    }
  }

  #failed(batch: readonly Waiting[], error: Error): void {
    if (!ClusterError.is(error) && this.#failure === undefined) {
      this.#waiting.unshift(...batch);
      this.#lastError = error;
      return;
    }
    // Of one that was sent before it is not known whether that one is there.
    for (const { tries, reject } of batch) reject(tries === 1 ? error : outcomeUnknown(error));
  }

  #giveUp(): void {
    const lateMs = performance.now() - this.patienceMs;
    this.#waiting = this.#waiting.filter(({ sinceMs, tries, reject }) => {
      if (sinceMs > lateMs) return true;
      const cause = this.#lastError;
      reject(tries > 0 ? outcomeUnknown(cause) : new ClusterError('CLUSTER_UNAVAILABLE',
        `Kafka took nothing for ${this.patienceMs} ms: ${cause?.message ?? 'it does not answer'}; nothing was changed`, { cause }));
      return false;
    });
  }

  #batch(): Waiting[] {
    let left = this.maxBatchBytes - OVERHEAD_BYTES.batch;
    let count = 0;
    while (count < Math.min(this.#waiting.length, MOST_AT_ONCE)) {
      left -= this.#waiting[count]?.bytes ?? 0;
      if (left < 0) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }
}

/** What a record removes stands under that very key, and may be removed twice. */
const recordOf = ({ key, value, tries }: Waiting): KafkaRecord => ({ key: tries === 1 || value === undefined ? key : `${key}~${tries}`, value });

const outcomeUnknown = (cause: Error | undefined): Error => new Error(`Kafka: it is not known whether a record was taken: ${cause?.message ?? 'no answer'}`, { cause });

import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import kafkajs, { type Kafka, type KafkaConfig } from 'kafkajs';
import type { Connection } from './options.js';
import { quietQueues } from './quiet-queue.js';

quietQueues();

const CLOSE_MS = 500;
const LOOK_MS = 500;
/** So many looks at a question without an answer, and its broker stands still, or is not reached. */
const LOOKS = 4;
const LEFT_ALONE_MS = 3_000;
export const RETRY = { initialRetryTime: 50, maxRetryTime: 250, retries: 3 } as const;

type SocketFactory = NonNullable<KafkaConfig['socketFactory']>;

/** Brokers that did not answer. Nobody connects to them for a while, as if they were gone: each attempt would wait for an answer. */
export class SilentBrokers {
  readonly #known = new Set<string>();
  readonly #untilMs = new Map<string, number>();

  know(broker: string): void { this.#known.add(broker); }

  add(broker: string): void { this.#untilMs.set(broker, performance.now() + LEFT_ALONE_MS); }

  /** All brokers that were spoken to, or tried. */
  get known(): readonly string[] { return [...this.#known]; }

  has(broker: string): boolean {
    // Where there is no other one it is tried all the same.
    return this.#is(broker) && [...this.#known].some((other) => !this.#is(other));
  }

  #is(broker: string): boolean { return (this.#untilMs.get(broker) ?? -Infinity) > performance.now(); }
}

/** A broker that only coordinates a group may wait for others, and is well. */
type Watch = 'cut' | 'and leave the broker alone';

interface Watched { readonly broker: string; answeredBytes: number; looks: number }

/** Some connections of one client of kafkajs, which can be cut: kafkajs waits for answers when it closes them. */
export class Line {
  readonly kafka: Kafka;
  readonly #sockets = new Map<Socket, Watched>();
  readonly #timer: NodeJS.Timeout;
  #isCut = false;
  #watch: Watch | undefined;

  constructor({ socketFactory = dial, ...connection }: Connection, private readonly silent: SilentBrokers) {
    this.kafka = new kafkajs.Kafka({
      // What options.ts calls so is what kafkajs takes.
      ...connection as KafkaConfig,
      retry: RETRY, logLevel: kafkajs.logLevel.NOTHING, logCreator: () => () => undefined,
      socketFactory: (address) => this.#watched((socketFactory as SocketFactory)(address), `${address.host}:${address.port}`),
    });
    this.#timer = setInterval(() => { this.#look(); }, LOOK_MS).unref();
  }

  /** From now on a connection is cut if no answer comes. */
  watch(watch: Watch): void { this.#watch = watch; }

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
    clearInterval(this.#timer);
    for (const socket of this.#sockets.keys()) end(socket, 'the store closed the connection');
  }

  #watched(socket: Socket, broker: string): Socket {
    this.silent.know(broker);
    const watched: Watched = { broker, answeredBytes: 0, looks: 0 };
    this.#sockets.set(socket.setNoDelay(true), watched);
    socket.once('close', () => this.#sockets.delete(socket));
    socket.on('data', () => {
      watched.answeredBytes = socket.bytesWritten;
      watched.looks = 0;
    });
    if (this.#isCut) end(socket, 'the store closed the connection');
    else if (this.silent.has(broker)) end(socket, `${broker} did not answer a moment ago`);
    return socket;
  }

  #look(): void {
    for (const [socket, watched] of this.#sockets) {
      watched.looks = socket.bytesWritten > watched.answeredBytes ? watched.looks + 1 : 0;
      if (this.#watch === undefined || watched.looks < LOOKS) continue;
      if (this.#watch === 'and leave the broker alone') this.silent.add(watched.broker);
      end(socket, `${watched.broker} does not answer`);
    }
  }
}

/** Without an error kafkajs would not hear of it, and wait for answers. */
const end = (socket: Socket, why: string): void => { socket.destroy(new Error(why)); };

const dial: SocketFactory = ({ host, port, ssl, onConnect }) => {
  // Its type leaves out that there may be none.
  const tls = ssl as ConnectionOptions | boolean | null | undefined;
  const socket = tls === undefined || tls === null || tls === false ? connectTcp(port, host, onConnect)
    : connectTls({ host, port, ...isIP(host) === 0 && { servername: host }, ...tls === true ? {} : tls }, onConnect);
  return socket.setKeepAlive(true, 60_000);
};

import type { Channel, ChannelModel } from 'amqplib';
import { messageOf, unavailable } from './link.js';

export interface StreamSettings { readonly replicas: number; readonly bytes: number }

const SEGMENTS = 8;
const LEAST_SEGMENT = 65_536;

const argumentsOf = ({ replicas, bytes }: StreamSettings) => ({
  'x-queue-type': 'stream', 'x-max-length-bytes': bytes, 'x-stream-max-segment-size-bytes': Math.max(LEAST_SEGMENT, Math.ceil(bytes / SEGMENTS)),
  'x-initial-cluster-size': replicas,
});

/** What is refused closes its channel, so each question has one of its own. */
export async function inChannel<T>(connection: ChannelModel, ask: (channel: Channel) => Promise<T>): Promise<T> {
  const channel = await connection.createChannel();
  channel.on('error', () => undefined);
  try {
    return await ask(channel);
  } finally {
    await channel.close().catch(() => undefined);
  }
}

/** Only then: of a stream whose nodes are just starting RabbitMQ says 404 as well. */
const isAbsent = (error: unknown): boolean => / no queue /.test(messageOf(error));

/**
 * Makes the stream of a context and the one that says where to begin, unless they are there; if the first one was not, the second says
 * nothing of use.
 * @throws ClusterError CLUSTER_UNAVAILABLE if it is another one than was asked for, or there is no right to it
 */
export async function openStreams(connection: ChannelModel, stream: string, begins: string, settings: StreamSettings): Promise<void> {
  const { connection: { serverProperties } } = connection;
  const { version } = serverProperties;
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < 3 || (major === 3 && minor < 9)) throw unavailable(`expected version 3.9 or later, which has streams, found ${version}`);
  try {
    const isThere = await inChannel(connection, (channel) => channel.checkQueue(stream)).then(() => true, (error: unknown) => {
      if (isAbsent(error)) return false;
      throw error;
    });
    if (!isThere) await inChannel(connection, (channel) => channel.deleteQueue(begins));
    const small = { replicas: settings.replicas, bytes: SEGMENTS * LEAST_SEGMENT };
    await inChannel(connection, (channel) => channel.assertQueue(stream, { durable: true, arguments: argumentsOf(settings) }));
    await inChannel(connection, (channel) => channel.assertQueue(begins, { durable: true, arguments: argumentsOf(small) }));
  } catch (error) {
    throw unavailable(`the stream '${stream}' cannot be used: ${messageOf(error)}. Give the user rights to configure, write and read it and '${begins}', `
      + 'give the options that it was made with, or name another one', error);
  }
}

import { describe, expect, it } from '@jest/globals';
import kafkajs from 'kafkajs';
import { KafkaStore, type KafkaStoreOptions } from '../src/index.js';
import { KafkajsPort } from '../src/kafkajs-port.js';
import { connectionOf } from '../src/options.js';

/** What a caller without types could pass. */
const made = (options: object): KafkaStore => new KafkaStore(options as KafkaStoreOptions);
const here = { connect: { brokers: ['127.0.0.1:1'] }, replicas: 1 };

describe('the options', () => {
  it('are refused all at once, each with what was expected and found', () => {
    expect(() => made({ connect: 'a:9092', client: 1, topic: 'a/b', partitions: 0, replicas: 1.5, maxBytes: -1, instanceId: 'no spaces', url: 1 }))
      .toThrow(expect.objectContaining({
        code: 'CLUSTER_BAD_OPTION',
        message: "KafkaStore: connect: expected an object, the options of kafkajs' Kafka, found a string; "
          + 'client: expected a function that makes a client of Kafka as the store needs it, found 1; '
          + "topic: expected 1 to 64 of the characters A-Z a-z 0-9 . _ -, found 'a/b'; "
          + 'partitions: expected a whole number from 1 up, found 0; replicas: expected a whole number from 1 up, found 1.5; '
          + 'maxBytes: expected a whole number from 1 up, found -1; '
          + "instanceId: expected 1 to 64 of the characters A-Z a-z 0-9 _ -, found 'no spaces'; "
          + 'url: no such option; known are connect, client, topic, partitions, replicas, maxBytes, instanceId',
      }));
  });

  const LIST = "brokers: expected a list of addresses, 'host:port' each, or a function that makes one, found";
  const USER = "sasl: expected { mechanism: 'plain', 'scram-sha-256' or 'scram-sha-512', username, password }, or what kafkajs takes for 'aws', 'oauthbearer' or an "
    + 'authenticationProvider, found';
  it.each<[bad: object, message: string]>([
    [{ brokers: undefined }, "brokers is required: expected a list of addresses, 'host:port' each, or a function that makes one"],
    [{ brokers: 'a:9092' }, `${LIST} 'a:9092'`],
    [{ brokers: [] }, `${LIST} an array of 0`],
    [{ brokers: ['a:9092', 'b'] }, `${LIST} 'b'`],
    [{ brokers: ['a:9092', 9092] }, `${LIST} 9092`],
    [{ brokers: ['kafka://a:9092'] }, `${LIST} 'kafka://a:9092'`],
    [{ brokers: ['kafka://shop:hidden@a:9092'] }, `${LIST} 'kafka://***@a:9092'`],
    [{ brokers: ['shop:hidden@a:9092'] }, `${LIST} '***@a:9092'`],
    [{ brokers: ['[::1]:9092'] }, `${LIST} '[::1]:9092'`],
    [{ clientId: '' }, "clientId: expected a name, found ''"],
    [{ ssl: 'hidden' }, 'ssl: expected true, false, or what node:tls takes, found a string'],
    [{ sasl: 'hidden' }, `${USER} a string`],
    [{ sasl: { username: 'shop', password: 'hidden' } }, `${USER} no mechanism`],
    [{ sasl: { mechanism: 'scram', username: 'shop', password: 'hidden' } }, `${USER} the mechanism 'scram'`],
    [{ sasl: { mechanism: 'plain', username: undefined, password: 'hidden' } }, `${USER} 'plain' without username`],
    [{ sasl: { mechanism: 'SCRAM-SHA-512', username: '', password: '' } }, `${USER} 'SCRAM-SHA-512' without username and password`],
    [{ sasl: { mechanism: 'oauthbearer', oauthBearerProvider: 'hidden', token: 'hidden' } }, `${USER} 'oauthbearer' without oauthBearerProvider`],
    [{ connectionTimeout: 0 }, 'connectionTimeout: expected a whole number of ms from 1 to 2147483647, found 0'],
    [{ authenticationTimeout: '1' }, "authenticationTimeout: expected a whole number of ms from 1 to 2147483647, found '1'"],
    [{ reauthenticationThreshold: -1 }, 'reauthenticationThreshold: expected a whole number of ms from 0 to 2147483647, found -1'],
    [{ requestTimeout: 1.5 }, 'requestTimeout: expected a whole number of ms from 1 to 2147483647, found 1.5'],
    [{ socketFactory: {} }, "socketFactory: expected a function, as kafkajs' socketFactory, found {}"],
    [{ logLevel: 1 }, 'logLevel: no such option; known are brokers, clientId, ssl, sasl, connectionTimeout, authenticationTimeout, reauthenticationThreshold, requestTimeout, socketFactory'],
    ...['idempotent', 'transactionalId', 'acks', 'retry'].map((option): [object, string] => (
      [{ [option]: 1 }, `${option}: no such option; leave it out: with others than the store's own, acknowledged changes can be lost`])),
  ])('to connect by name the entry that is wrong, and no secret: %j', (bad, message) => {
    expect(() => made({ connect: { brokers: ['a:1'], ...bad } })).toThrow(expect.objectContaining({ code: 'CLUSTER_BAD_OPTION', message: `KafkaStore: connect: ${message}` }));
  });

  it.each([
    { brokers: ['a:9092', 'kafka_1.local:9093'] }, { brokers: async () => ['a:1'] }, { brokers: ['a:1'], ssl: true }, { brokers: ['a:1'], ssl: { ca: 'x' }, clientId: 'shop' },
    { brokers: ['a:1'], sasl: { mechanism: 'PLAIN', username: 'a', password: 'b' } }, { brokers: ['a:1'], sasl: { mechanism: 'own', authenticationProvider: () => undefined } },
    { brokers: ['a:1'], sasl: { mechanism: 'oauthbearer', oauthBearerProvider: () => undefined }, requestTimeout: 1, socketFactory: () => undefined, reauthenticationThreshold: 0 },
  ])('to connect by may be %o', (connect) => {
    expect(() => made({ connect })).not.toThrow();
  });

  it('are either how to connect or a client', () => {
    expect(() => made(new kafkajs.Kafka({ brokers: ['a:1'] }))).toThrow(/^KafkaStore: expected an object of options, such as \{ connect: .*, found an object of the class Client$/);
    expect(() => made({})).toThrow('KafkaStore: expected either connect or client, found neither');
    expect(() => made({ ...here, client: () => new KafkajsPort(connectionOf(here.connect)) })).toThrow('KafkaStore: expected either connect or client, found both');
  });
});

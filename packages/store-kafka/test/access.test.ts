import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import kafkajs, { type AclEntry, type Admin } from 'kafkajs';
import { DistributedManager } from '@cluster/core';
import { certified, refusalOf, testUser } from '../../../scripts/services/access.js';
import { KafkaServer } from '../../../scripts/services/kafka.js';
import { KafkaStore } from '../src/index.js';

const { AclOperationTypes: Operation, AclResourceTypes: Resource, ResourcePatternTypes: Pattern } = kafkajs;

/** One for each test that needs rights of its own. */
const USERS = ['admin', 'shop', 'blind', 'finder', 'reader', 'writer', 'alone'] as const;
type User = typeof USERS[number];
const passwordOf = (user: User) => `secret-of-${user}`;

const { key, certificate } = certified();
const line = (text: string) => text.trim().replaceAll('\n', '\\n');
const config = {
  'ssl.keystore.type': 'PEM', 'ssl.keystore.key': line(key), 'ssl.keystore.certificate.chain': line(certificate),
  'ssl.truststore.type': 'PEM', 'ssl.truststore.certificates': line(certificate),
  'sasl.enabled.mechanisms': 'PLAIN', 'sasl.mechanism.inter.broker.protocol': 'PLAIN',
  'listener.name.sasl_ssl.plain.sasl.jaas.config': 'org.apache.kafka.common.security.plain.PlainLoginModule required '
    + `username="admin" password="${passwordOf('admin')}" ${USERS.map((user) => `user_${user}="${passwordOf(user)}"`).join(' ')};`,
  'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
  // The controller is spoken to by nobody else, and by its own broker without a name.
  'super.users': 'User:admin;User:ANONYMOUS',
};

let server: KafkaServer;
let admin: Admin;
const as = (user: User, password = passwordOf(user)) => ({ brokers: [server.url], ssl: { ca: certificate }, sasl: { mechanism: 'plain' as const, username: user, password } });
beforeAll(async () => {
  server = await KafkaServer.start({ protocol: 'SASL_SSL', config });
  admin = new kafkajs.Kafka({ ...as('admin'), logLevel: kafkajs.logLevel.NOTHING }).admin();
  await admin.connect();
});
afterAll(async () => {
  await admin.disconnect();
  await server.stop();
});

type Right = 'Read' | 'Write' | 'Describe' | 'DescribeConfigs' | 'Create' | 'Read on groups';
const OPERATIONS: Readonly<Record<Right, AclEntry['operation']>> = {
  'Read': Operation.READ, 'Write': Operation.WRITE, 'Describe': Operation.DESCRIBE, 'DescribeConfigs': Operation.DESCRIBE_CONFIGS, 'Create': Operation.CREATE,
  'Read on groups': Operation.READ,
};
const allow = (user: User, topic: string, rights: readonly Right[]) => admin.createAcls({ acl: rights.map((right) => ({
  principal: `User:${user}`, host: '*', operation: OPERATIONS[right], permissionType: kafkajs.AclPermissionTypes.ALLOW, resourceName: topic,
  ...right === 'Read on groups' ? { resourceType: Resource.GROUP, resourcePatternType: Pattern.PREFIXED } : { resourceType: Resource.TOPIC, resourcePatternType: Pattern.LITERAL },
})) });

const managerOf = (user: User, topic: string, password?: string) => new DistributedManager(
  new KafkaStore({ connect: as(user, password), topic, replicas: 1 }), { context: 'shop' });

describe('a user by SASL over TLS', () => {
  testUser(it, {
    allow: () => allow('shop', 'shop', ['Read', 'Write', 'Describe', 'DescribeConfigs', 'Create', 'Read on groups']),
    managerOf: (password) => managerOf('shop', 'shop', password),
    refusal: /^Kafka refused \(topic 'shop'\): the user is not known, or the password is wrong; nothing was changed$/,
  });

  it.each<{ user: User; rights: readonly Right[] }>([
    { user: 'blind', rights: ['Read on groups'] },
    { user: 'finder', rights: ['Read', 'Write', 'Describe', 'Read on groups'] },
    { user: 'reader', rights: ['Read', 'Describe', 'DescribeConfigs', 'Read on groups'] },
    { user: 'writer', rights: ['Write', 'Describe', 'DescribeConfigs', 'Read on groups'] },
  ])('that has no more than $rights is refused by start, which names the rights on the topic', async ({ user, rights }) => {
    await allow(user, 'shop', rights);
    expect(await refusalOf(managerOf(user, 'shop'))).toMatchObject({
      code: 'CLUSTER_UNAVAILABLE',
      message: "Kafka refused (topic 'shop'): the user may not use the topic; it needs Read, Write, Describe and DescribeConfigs there; nothing was changed",
    });
  });

  it('that may not read in groups is refused by start, which names that right', async () => {
    await allow('alone', 'shop', ['Read', 'Write', 'Describe', 'DescribeConfigs']);
    expect(await refusalOf(managerOf('alone', 'shop'))).toMatchObject({
      code: 'CLUSTER_UNAVAILABLE',
      message: "Kafka: the topic 'shop' cannot be read: no broker says who looks after groups; one that has just been started may say so soon, and none does to a user "
        + 'without Read on groups whose names begin with that of the topic',
    });
  });

  it('that may not make the topic is refused by start, which names that right', async () => {
    await allow('alone', 'fresh', ['Read', 'Write', 'Describe', 'DescribeConfigs', 'Read on groups']);
    expect(await refusalOf(managerOf('alone', 'fresh'))).toMatchObject({
      code: 'CLUSTER_UNAVAILABLE',
      message: "Kafka: there is no topic 'fresh', and it cannot be made: Not authorized to access topics: [Topic authorization failed]. "
        + 'The user needs Create on it, or somebody else makes it',
    });
  });
});

describe('a broker whose certificate nobody vouches for', () => {
  it('is refused by start, with the reason', async () => {
    const manager = new DistributedManager(new KafkaStore({ connect: { ...as('shop'), ssl: true }, topic: 'shop', replicas: 1 }));
    expect(await refusalOf(manager)).toMatchObject({
      code: 'CLUSTER_UNAVAILABLE', message: `Kafka: the topic 'shop' cannot be used: Connection error: self-signed certificate (${server.url})`,
    });
  });
});

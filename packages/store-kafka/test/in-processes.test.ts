import { afterAll, describe, it } from '@jest/globals';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import kafkajs from 'kafkajs';
import { testProcesses, type ProcessHarness } from '@cluster/conformance';
import { KafkaServer } from '../../../scripts/services/kafka.js';
import { LeaderFaults } from '../../../scripts/services/leader-faults.js';

// KAFKA_NODES=3 runs it over three brokers, which takes several minutes; every elected leader costs some seconds.
const NODES = process.env['KAFKA_NODES'] === '3' ? 3 : 1;
// KAFKA_FAILOVER=default leaves the brokers' own time-outs: it takes them 9 s to notice that one of them is gone.
const isSlow = process.env['KAFKA_FAILOVER'] === 'default';
const TOPIC = 'cluster';
const register = join(import.meta.dirname, '../../../scripts/ts-register.mjs');

type Fault = NonNullable<ProcessHarness['faults']>[number];
type Address = Readonly<Record<'host', string> & Record<'port', number>>;

const nodes = NODES === 1 ? [await KafkaServer.start({ isSlow })] : await KafkaServer.together(NODES, { isSlow });
const [first] = nodes;
if (first === undefined) throw new Error('one was just started');
const client = new kafkajs.Kafka({
  brokers: nodes.map(({ url }) => url), logLevel: kafkajs.logLevel.NOTHING, requestTimeout: 2_000, retry: { retries: 2, initialRetryTime: 50, maxRetryTime: 200 },
});
const admin = client.admin();

afterAll(async () => {
  await admin.disconnect();
  await Promise.all(nodes.map((node) => node.stop()));
});

/** The broker takes no record from now on, or again. */
async function limitBatches(bytes: number): Promise<void> {
  const config = { 'cleanup.policy': 'compact', 'message.timestamp.type': 'LogAppendTime', 'max.message.bytes': String(bytes) };
  const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }));
  await admin.connect();
  await admin.alterConfigs({ validateOnly: false, resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: TOPIC, configEntries }] });
}

/** Another consumer joins the group of each instance, and takes what is read there away for a while. */
const intruded: Fault = {
  title: 'others join the groups in which the instances read',
  lastsMs: 100,
  begin: async () => {
    await admin.connect();
    const { groups } = await admin.listGroups();
    const { groups: described } = await admin.describeGroups(groups.map(({ groupId }) => groupId).filter((id) => id.startsWith(`${TOPIC}.`)));
    await Promise.all(described.filter(({ members }) => members.length > 0).map(async ({ groupId }) => {
      const intruder = client.consumer({ groupId, maxWaitTimeInMs: 100 });
      await intruder.connect();
      await intruder.subscribe({ topic: TOPIC });
      await intruder.run({ eachMessage: async () => undefined });
      await sleep(200);
      await intruder.disconnect();
    }));
  },
  end: () => undefined,
};

const faults = new LeaderFaults(nodes, async () => {
  await admin.connect();
  const { topics } = await admin.fetchTopicMetadata({ topics: [TOPIC] });
  const [partition] = topics[0]?.partitions ?? [];
  return { leader: nodes.find(({ nodeId }) => nodeId === partition?.leader), copies: partition?.isr.length ?? 0 };
});

const overThree: readonly Fault[] = [
  faults.ofTheLeader('is killed', (leader) => leader.kill(), (leader) => leader.restart()),
  faults.ofTheLeader('stands still', (leader) => leader.freeze(), (leader) => leader.thaw()),
  faults.ofTheLeader('is stopped politely', (leader) => leader.terminate(), (leader) => leader.restart()),
  faults.all,
];

/** Brokers tell their clients where they listen, which would lead around the proxies. */
const instead = (addresses: readonly Address[]) => Object.fromEntries(nodes.map(({ url, host, port }, at) => [url, addresses[at] ?? { host, port }]));

const addresses: Pick<NonNullable<ProcessHarness['server']>, 'address' | 'config'> = {
  address: () => nodes.map(({ host, port }) => ({ host, port })),
  config: (...found) => ({ brokers: nodes.map(({ url }) => url), replicas: NODES, instead: instead(found) }),
};

const overOne: NonNullable<ProcessHarness['server']> = {
  ...addresses,
  kill: () => first.kill(),
  start: () => first.restart(),
  freeze: () => first.freeze(),
  thaw: () => first.thaw(),
  frozenMs: 5_000,
  refuseWrites: () => limitBatches(1),
  takeWrites: () => limitBatches(2_097_152),
};

describe(`over ${NODES === 1 ? 'one Kafka' : 'three Kafka brokers'}`, () => {
  testProcesses({ describe, it }, {
    module: new URL('children/create-store.ts', import.meta.url), execArgv: ['--conditions=@cluster/source', '--import', register],
    // Who has lost a broker finds the next one by questions that wait 2 s for an answer; where one stands still, by two of them.
    recoveryMs: NODES === 1 ? 3_000 : 6_000,
    ...NODES === 1 ? { server: overOne, faults: [intruded] } : { server: addresses, faults: overThree },
  });
});

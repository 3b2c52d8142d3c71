import { afterAll, describe, it } from '@jest/globals';
import { join } from 'node:path';
import { testProcesses, type ProcessHarness } from '@cluster/conformance';
import { LeaderFaults } from '../../../scripts/services/leader-faults.js';
import { RabbitServer } from '../../../scripts/services/rabbitmq.js';

// RABBITMQ_NODES=3 runs it over three nodes, which takes several minutes; a new leader takes some seconds.
const NODES = process.env['RABBITMQ_NODES'] === '3' ? 3 : 1;
const register = join(import.meta.dirname, '../../../scripts/ts-register.mjs');

const nodes = NODES === 1 ? [await RabbitServer.start()] : await RabbitServer.together(NODES);
const [first] = nodes;
if (first === undefined) throw new Error('one was just started');

afterAll(() => Promise.all(nodes.map((node) => node.stop())));

const faults = new LeaderFaults(nodes, async (away) => {
  const asked = nodes.find((node) => node !== away) ?? first;
  const [stream] = JSON.parse(await asked.tell('rabbitmqctl', 'list_queues', 'leader', 'online', '--formatter', 'json')) as { leader: string; online: string[] }[];
  return { leader: nodes.find(({ name }) => name === stream?.leader), copies: stream?.online.length ?? 0 };
});

const overThree: NonNullable<ProcessHarness['faults']> = [
  faults.ofTheLeader('is killed', (leader) => leader.kill(), (leader) => leader.restart()),
  faults.ofTheLeader('is stopped politely', (leader) => leader.terminate(), (leader) => leader.restart()),
  faults.all,
];

const addresses: Pick<NonNullable<ProcessHarness['server']>, 'address' | 'config'> = {
  address: () => nodes.map(({ host, port }) => ({ host, port })),
  config: (...found) => ({ urls: (found.length > 0 ? found : nodes).map(({ host, port }) => `amqp://${host}:${port}`), replicas: NODES }),
};

const overOne: NonNullable<ProcessHarness['server']> = {
  ...addresses,
  kill: () => first.kill(),
  start: () => first.restart(),
  freeze: () => first.freeze(),
  thaw: () => first.thaw(),
  frozenMs: 5_000,
  // An alarm: it has no memory left.
  refuseWrites: async () => { await first.tell('rabbitmqctl', 'set_vm_memory_high_watermark', '0'); },
  takeWrites: async () => { await first.tell('rabbitmqctl', 'set_vm_memory_high_watermark', '0.4'); },
};

describe(`over ${NODES === 1 ? 'one RabbitMQ' : 'three RabbitMQ nodes'}`, () => {
  testProcesses({ describe, it }, {
    module: new URL('children/create-store.ts', import.meta.url), execArgv: ['--conditions=@cluster/source', '--import', register],
    recoveryMs: 10_000, ...NODES === 1 ? { server: overOne } : { server: addresses, faults: overThree },
  });
});

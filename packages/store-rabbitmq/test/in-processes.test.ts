import { afterAll, describe, it } from '@jest/globals';
import { join } from 'node:path';
import { testProcesses, type ProcessHarness } from '@cluster/conformance';
import { RabbitServer } from '../../../scripts/services/rabbitmq.js';
import { until } from '../../../scripts/services/server-process.js';

// RABBITMQ_NODES=3 runs it over three nodes, which takes several minutes; a new leader takes some seconds.
const NODES = process.env['RABBITMQ_NODES'] === '3' ? 3 : 1;
const register = join(import.meta.dirname, '../../../scripts/ts-register.mjs');

type Fault = NonNullable<ProcessHarness['faults']>[number];

const nodes = NODES === 1 ? [await RabbitServer.start()] : await RabbitServer.together(NODES);
const [first] = nodes;
if (first === undefined) throw new Error('one was just started');

afterAll(() => Promise.all(nodes.map((node) => node.stop())));

/** Where the stream is led, and how many of its nodes have a replica that runs, as a node says. */
async function lead(by: RabbitServer): Promise<{ readonly leader: RabbitServer | undefined; readonly online: number }> {
  const [stream] = JSON.parse(await by.tell('rabbitmqctl', 'list_queues', 'leader', 'online', '--formatter', 'json')) as { leader: string; online: string[] }[];
  return { leader: nodes.find(({ name }) => name === stream?.leader), online: stream?.online.length ?? 0 };
}

async function settled(): Promise<RabbitServer> {
  let found: RabbitServer | undefined;
  await until('every node has a replica', async () => {
    const { leader, online } = await lead(first as RabbitServer).catch(() => ({ leader: undefined, online: 0 })); // it was started above
    found = leader;
    return leader?.pid !== undefined && online === NODES;
  }, 60_000);
  if (found === undefined) throw new Error('settled without a leader');
  return found;
}

let mendTheLast = async (): Promise<void> => undefined;

/** Over when another node leads: then every instance answers again within its time, with the node that led still away. */
const ofTheLeader = (title: string, begin: (leader: RabbitServer) => Promise<void>, mend: (leader: RabbitServer) => Promise<void>): Fault => {
  let away: RabbitServer;
  return {
    title: `the node that leads ${title}`,
    begin: async () => {
      await mendTheLast();
      away = await settled();
      mendTheLast = () => mend(away);
      await begin(away);
    },
    end: async () => {
      const other = nodes.find((node) => node !== away) ?? away;
      await until('another node leads', async () => {
        const { leader } = await lead(other).catch(() => ({ leader: undefined }));
        return leader !== undefined && leader !== away;
      });
    },
  };
};

const all: Fault = {
  title: 'all nodes are killed, and started again',
  begin: async () => {
    await mendTheLast();
    mendTheLast = async () => undefined;
    await settled();
    await Promise.all(nodes.map((node) => node.kill()));
  },
  end: async () => {
    await Promise.all(nodes.map((node) => node.restart()));
    await settled();
  },
};

const overThree: readonly Fault[] = [
  ofTheLeader('is killed', (leader) => leader.kill(), (leader) => leader.restart()),
  ofTheLeader('is stopped politely', (leader) => leader.terminate(), (leader) => leader.restart()),
  all,
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

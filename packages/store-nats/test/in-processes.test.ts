import { afterAll, describe, it } from '@jest/globals';
import { join } from 'node:path';
import { testProcesses, type ProcessHarness } from '@cluster/conformance';
import { NatsCluster } from '../../../scripts/services/nats-cluster.js';
import { NatsServer } from '../../../scripts/services/nats.js';
import { until } from '../../../scripts/services/server-process.js';

// NATS_NODES=3 runs it over three servers, which takes two minutes and more; every elected leader costs some seconds.
const isCluster = process.env['NATS_NODES'] === '3';
const STREAM = 'KV_cluster';
const register = join(import.meta.dirname, '../../../scripts/ts-register.mjs');
const urls = (addresses: readonly { readonly host: string; readonly port: number }[]) => addresses.map(({ host, port }) => `nats://${host}:${port}`);

type Part = Pick<ProcessHarness, 'server' | 'faults'>;

function overOne(server: NatsServer): Part {
  /** The stream behind the bucket takes no message from now on, or again. */
  const limitSize = async (max_msg_size: number): Promise<void> => {
    // JetStream's own form.
    const { config } = await server.ask(`$JS.API.STREAM.INFO.${STREAM}`) as { readonly config: object };
    const answer = await server.ask(`$JS.API.STREAM.UPDATE.${STREAM}`, { ...config, max_msg_size });
    if ('error' in answer) throw new Error(JSON.stringify(answer.error));
  };
  return {
    server: {
      address: () => ({ host: server.host, port: server.port }),
      config: (...addresses) => ({ servers: urls(addresses) }),
      kill: () => server.kill(),
      start: () => server.restart(),
      freeze: () => server.freeze(),
      thaw: () => server.thaw(),
      refuseWrites: () => limitSize(1),
      takeWrites: () => limitSize(-1),
    },
  };
}

function overThree(cluster: NatsCluster): Part {
  /** A fault of the node that leads. When another one does, it is mended. */
  const ofTheLeader = (title: string, begin: (leader: NatsServer) => Promise<void>, mend: (leader: NatsServer) => Promise<void>) => {
    let leader: NatsServer;
    return {
      title: `the leader ${title}`,
      begin: async () => {
        leader = await cluster.settled(STREAM);
        await begin(leader);
      },
      end: async () => {
        await until('another node leads', async () => ![undefined, leader].includes(await cluster.leaderOf(STREAM)));
        await mend(leader);
      },
    };
  };
  return {
    server: {
      address: () => cluster.nodes.map(({ host, port }) => ({ host, port })),
      config: (...addresses) => ({ servers: urls(addresses), replicas: 3 }),
    },
    faults: [
      ofTheLeader('is killed', (leader) => leader.kill(), (leader) => leader.restart()),
      ofTheLeader('stands still', (leader) => leader.freeze(), (leader) => leader.thaw()),
      ofTheLeader('is stopped politely', (leader) => leader.terminate(), (leader) => leader.restart()),
    ],
  };
}

const nats = isCluster ? await NatsCluster.start() : await NatsServer.start();

afterAll(() => nats.stop());

describe(isCluster ? 'over three NATS servers' : 'over one NATS', () => {
  testProcesses({ describe, it }, {
    module: new URL('children/create-store.ts', import.meta.url), execArgv: ['--conditions=@cluster/source', '--import', register],
    ...nats instanceof NatsCluster ? overThree(nats) : overOne(nats),
  });
});

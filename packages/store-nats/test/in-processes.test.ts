import { afterAll, describe, it } from '@jest/globals';
import { join } from 'node:path';
import { testProcesses, type ProcessHarness } from '@cluster/conformance';
import { NatsCluster } from '../../../scripts/services/nats-cluster.js';
import { natsReleases, NatsServer } from '../../../scripts/services/nats.js';
import { until } from '../../../scripts/services/server-process.js';

// Over three servers some clauses are run; NATS_NODES=3 runs them all, which takes two minutes and more, as every elected leader costs seconds.
const isCluster = process.env['NATS_NODES'] === '3';
const SOME = [/^while nothing goes wrong/, /the leader is killed/, /the leader is cut off/, /^instances that are stopped/];
// NATS_RELEASE=installed runs it over the server on the PATH, which may be one that does not do with replicas.
const release = process.env['NATS_RELEASE'] === 'installed' ? 'installed' : natsReleases().at(-1) ?? 'installed';
const STREAM = 'KV_cluster';
const register = join(import.meta.dirname, '../../../scripts/ts-register.mjs');
const urls = (addresses: readonly { readonly host: string; readonly port: number }[]) => addresses.map(({ host, port }) => `nats://${host}:${port}`);

type Part = Pick<ProcessHarness, 'server' | 'faults'>;
type Fault = NonNullable<ProcessHarness['faults']>[number];

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

/** What happens to a node, and how it is mended. */
interface Harm { readonly title: string; begin(node: NatsServer): Promise<void> | void; mend(node: NatsServer): Promise<void> | void }

function overThree(cluster: NatsCluster): Part {
  let mendTheLast = async (): Promise<void> => undefined;
  const settled = async (): Promise<NatsServer> => {
    await mendTheLast();
    mendTheLast = async () => undefined;
    return cluster.settled(STREAM);
  };

  /** Over when another node leads: then every instance answers again within its time, with the node that led still away. */
  const ofTheLeader = ({ title, begin, mend }: Harm): Fault => {
    let leader: NatsServer;
    return {
      title: `the leader ${title}`,
      begin: async () => {
        leader = await settled();
        await begin(leader);
      },
      end: async () => {
        await until('another node leads', async () => ![undefined, leader].includes(await cluster.leaderOf(STREAM)));
        mendTheLast = async () => { await mend(leader); };
      },
    };
  };

  let follower: NatsServer | undefined;
  const ofAnother: Fault = {
    title: 'a node that does not lead is killed, and started again',
    begin: async () => {
      const leader = await settled();
      follower = cluster.nodes.find((node) => node !== leader);
      await follower?.kill();
    },
    end: () => follower?.restart(),
  };

  return {
    server: {
      address: () => cluster.nodes.map(({ host, port }) => ({ host, port })),
      config: (...addresses) => ({ servers: urls(addresses), replicas: 3 }),
    },
    faults: [
      ofTheLeader({ title: 'is killed', begin: (leader) => leader.kill(), mend: (leader) => leader.restart() }),
      ofTheLeader({ title: 'stands still', begin: (leader) => leader.freeze(), mend: (leader) => leader.thaw() }),
      ofTheLeader({ title: 'is stopped politely', begin: (leader) => leader.terminate(), mend: (leader) => leader.restart() }),
      // Whose clients still reach it, and go elsewhere.
      ofTheLeader({ title: 'is cut off from the other nodes', begin: (leader) => { cluster.isolate(leader); }, mend: () => { cluster.rejoin(); } }),
      ofAnother,
    ],
  };
}

const one = isCluster ? undefined : await NatsServer.start({ release });
// Where no current server could be built there is none that replicates.
const three = isCluster || release === 'built' ? await NatsCluster.start({ release }) : undefined;

afterAll(async () => { await Promise.all([one?.stop(), three?.stop()]); });

const harness = { module: new URL('children/create-store.ts', import.meta.url), execArgv: ['--conditions=@cluster/source', '--import', register] };
/** Registers those of its tests that are among some. */
const some: Parameters<typeof testProcesses>[0]['it'] = (title, ...rest) => { if (SOME.some((each) => each.test(title))) it(title, ...rest); };

if (one !== undefined) describe(`over one NATS (${release})`, () => { testProcesses({ describe, it }, { ...harness, ...overOne(one) }); });

if (three !== undefined) {
  describe(`over three NATS servers (${release})`, () => { testProcesses({ describe, it: isCluster ? it : some }, { ...harness, ...overThree(three) }); });
}

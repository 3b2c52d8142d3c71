import type { ProcessClause } from './clauses.js';
import { disturbed, type Disturbance } from './disturbance.js';
import type { ProcessBench } from './process-bench.js';
import type { StoreServer } from './store-server.js';

const FROZEN_MS = 8_000;

/** What can be done to a server by two methods of the harness. */
interface Harm {
  readonly title: string;
  readonly begin: 'kill' | 'freeze' | 'refuseWrites';
  readonly end: 'start' | 'thaw' | 'takeWrites';
  readonly also?: (bench: ProcessBench, server: StoreServer) => Promise<Partial<Disturbance>> | Partial<Disturbance>;
}

const harms: readonly Harm[] = [
  {
    title: 'a server that is killed and started again has every acknowledged change, if the store declares that it survives that',
    begin: 'kill', end: 'start',
    async also({ instances }) {
      const [life] = await instances.all();
      // A store written by hand declares nothing.
      return { mayLose: (life?.capabilities?.durability ?? 'process') === 'process' };
    },
  },
  {
    title: 'a server that stands still for long, and then does what it was asked meanwhile, costs no acknowledged change',
    begin: 'freeze', end: 'thaw',
    also: (_bench, { frozenMs = FROZEN_MS }) => ({ lastsMs: frozenMs }),
  },
  {
    title: 'while a server refuses writes no change is acknowledged that it did not take',
    begin: 'refuseWrites', end: 'takeWrites',
  },
];

function whyNot(server: StoreServer | undefined, { begin, end }: Harm): string | undefined {
  if (server === undefined) return 'the store has no server';
  return server[begin] === undefined || server[end] === undefined ? `the harness has no server.${begin} and server.${end}` : undefined;
}

const serverClause = (server: StoreServer | undefined, harm: Harm): ProcessClause => ({
  title: harm.title,
  exempt: () => whyNot(server, harm),
  async run(bench) {
    if (server === undefined) return;
    const { counts } = bench.recorder;
    const also = await harm.also?.(bench, server);
    await disturbed(bench, { begin: () => server[harm.begin]?.(), end: () => server[harm.end]?.(), ...also });
    bench.proof.ok(counts.unserved > 0, 'at least one request cannot be served meanwhile, else nothing was wrong');
  },
});

export const serverClausesOf = (server: StoreServer | undefined): readonly ProcessClause[] => harms.map((harm) => serverClause(server, harm));
